"""Do most texts begin with the same words? Then another trainer's prompt was left in them ("You are a helpful assistant."), which nobody says.

Texts are counted once each: a corpus of "Turn on the lamp", said ten times, is no such thing. Greetings and formats of numbers begin
alike, too, so it takes more than half of many different texts, and several words or a sign that ends a label. Whether such words are said, as
"Computer, ..." is in commands, the audio tells: they take time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from voicelathe.data import columns
from voicelathe.data.audit.rule import drop, shown, warn
from voicelathe.data.corpus import Corpus, Floats, Mask
from voicelathe.data.text import characters
from voicelathe.records import Finding

LEAST_TEXTS, LEAST_SHARE, LEAST_CHARS, LEAST_WORDS = 8, 0.5, 8, 2
ENDS = re.compile(r"[\s:>\]|.!?]")
# Who speaks, as far as the colon: up to three words. RE2 reads it, too.
WHO = "^[^\\s:\uff1a]{1,20}(?: [^\\s:\uff1a]{1,20}){0,2} ?(?::\\s|\uff1a)"
WHO_SPEAKS = re.compile(WHO)
LEAST_USES = 2  # of a label, so that it is one
LABEL = re.compile(r"[:>\]|]$")  # "Anna:", "<|zh|>", "[calm]"
MOST_COMPARED = 200  # rows whose time for a letter is learned from
LETTER_S = (0.02, 0.3)  # that one letter may take; outside of it the rows say nothing
SAID_SHARE = 0.5  # of the time that the words would take

COMMON_BEGINNING = drop(
    "common_beginning",
    "Most texts begin with the same words, and the audio has no time for them: another trainer's prompt, which the model would learn to say.",
)
COMMON_BEGINNING_SAID = warn(
    "common_beginning_said",
    "Most texts begin with the same words, and the audio may well say them: kept, listen to some.",
)
RULES = (COMMON_BEGINNING, COMMON_BEGINNING_SAID)


@dataclass(frozen=True)
class Beginning:
    """Words with which most texts begin."""

    words: str
    num: int  # different texts that begin so
    of: int  # different texts


def common(texts: Iterable[str]) -> list[Beginning]:
    """The beginning that more than half of the different texts share, as long as it is; else labels of who speaks that do so together."""
    different = list(dict.fromkeys(texts))
    return [] if len(different) < LEAST_TEXTS else _shared(different) or _labels(different)


def _labels(different: Sequence[str]) -> list[Beginning]:
    found = Counter(label[0].strip() for text in different if (label := WHO_SPEAKS.match(text)))
    used = [(label, num) for label, num in found.most_common() if num >= LEAST_USES]
    is_usual = sum(num for _, num in used) > LEAST_SHARE * len(different)
    return [Beginning(label, num, len(different)) for label, num in used] if is_usual else []


def _shared(different: Sequence[str]) -> list[Beginning]:
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
    end = ENDS.search(text, length)
    return text[: end.end()] if end else text


def judge(corpus: Corpus) -> list[Finding]:
    """Findings for every row that begins as most do. Whether that is said is learned from all of them: a prompt makes good rows look bad."""
    import pyarrow.compute as pc

    findings = []
    for one in common_of(corpus):
        begins = columns.mask(pc.starts_with(corpus.rows["text"], one.words))
        extra_s, needed_s = _times(corpus, begins, one.words)
        is_unsaid = extra_s < SAID_SHARE * needed_s
        rule = COMMON_BEGINNING if is_unsaid else COMMON_BEGINNING_SAID
        time = (
            ""
            if np.isnan(extra_s)
            else f"; there are {max(extra_s, 0.0):.1f} s for it, and it takes {needed_s:.1f}"
        )
        seen = f"{shown(one.words)} begins {one.num} of {one.of} different texts{time}"
        ids = corpus.rows["clip_id"].filter(begins).to_pylist()
        findings += [rule.finding(clip_id, (seen, "different beginnings")) for clip_id in ids]
    return findings


def common_of(corpus: Corpus) -> list[Beginning]:
    """`common` of all texts; most corpora are told by their columns alone."""
    import pyarrow.compute as pc

    different = pc.unique(corpus.rows["text"].drop_null())
    if len(different) < LEAST_TEXTS:
        return []
    counts = pc.value_counts(pc.utf8_slice_codeunits(different, 0, LEAST_CHARS)).field("counts")
    num_labelled = pc.sum(pc.match_substring_regex(different, WHO)).as_py() or 0
    may_be = max(pc.max(counts).as_py(), num_labelled) > LEAST_SHARE * len(different)
    return common(different.to_pylist()) if may_be else []


def _times(corpus: Corpus, chosen: Mask, words: str) -> tuple[float, float]:
    """Seconds that rows have beyond what the rest of their text takes, and those that the words would take; NaN where nothing can be learned.

    The time of a letter is the median of the slopes between any two rows (Theil, 1950; Sen, 1968).
    """
    fewest, most = corpus.num_letters
    rest = (fewest + most) / 2 - characters.usual_letters(words)
    at = np.flatnonzero(chosen & np.isfinite(rest) & np.isfinite(corpus.speech_s))[:MOST_COMPARED]
    if len(at) < LEAST_TEXTS:
        return np.nan, np.nan
    letter_s = _slope(rest[at], corpus.speech_s[at])
    if not LETTER_S[0] <= letter_s <= LETTER_S[1]:
        return np.nan, np.nan
    return float(np.median(corpus.speech_s[at] - letter_s * rest[at])), letter_s * characters.usual_letters(
        words
    )


def _slope(letters: Floats, seconds: Floats) -> float:
    pairs = np.array(list(combinations(range(len(letters)), 2)))
    apart = letters[pairs[:, 1]] - letters[pairs[:, 0]]
    is_apart = np.abs(apart) >= 1
    slopes = (seconds[pairs[:, 1]] - seconds[pairs[:, 0]])[is_apart] / apart[is_apart]
    return float(np.median(slopes)) if len(slopes) else float("nan")
