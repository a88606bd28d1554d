"""Do most texts begin with the same words? Then another trainer's prompt was left in them ("You are a helpful assistant."), which nobody says.

Texts are counted once each: a corpus of "Turn on the lamp", said ten times, is no such thing. Greetings and formats of numbers begin
alike, too, so it takes more than half of many different texts, and several words or a sign that ends a label.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST_TEXTS, LEAST_SHARE, LEAST_CHARS, LEAST_WORDS = 8, 0.5, 8, 2
ENDS = re.compile(r"[\s:>\]|.!?]")
LABEL = re.compile(r"[:>\]|]$")  # "Anna:", "<|zh|>", "[calm]"


@dataclass(frozen=True)
class Beginning:
    """Words with which most texts begin."""

    words: str
    num: int  # different texts that begin so
    of: int  # different texts


def common(texts: Iterable[str]) -> list[Beginning]:
    """The beginning that more than half of the different texts share, as long as it is; none, or one."""
    different = list(dict.fromkeys(texts))
    if len(different) < LEAST_TEXTS:
        return []
    ((start, num),) = Counter(text[:LEAST_CHARS] for text in different).most_common(1)
    if len(start) < LEAST_CHARS or num <= LEAST_SHARE * len(different):
        return []
    words = _longest(
        [text for text in different if text.startswith(start)], int(LEAST_SHARE * len(different))
    )
    is_told = len(words.split()) >= LEAST_WORDS or LABEL.search(words)
    return (
        [Beginning(words, sum(text.startswith(words) for text in different), len(different))]
        if is_told
        else []
    )


def _longest(texts: Sequence[str], least: int) -> str:
    """The longest beginning, up to the end of a word, that more than `least` of the texts have."""
    found = ""
    held = list(texts)
    while True:
        longer = Counter(_with_next_word(text, len(found)) for text in held if len(text) > len(found))
        if not longer:
            return found.strip()
        (words, num), *_ = longer.most_common(1)
        if num <= least or words == found:
            return found.strip()
        found, held = words, [text for text in held if text.startswith(words)]


def _with_next_word(text: str, length: int) -> str:
    end = ENDS.search(text, length + 1)
    return text[: end.end()] if end else text
