"""Which heard word is which word of the text? Characters are compared, so that a misheard word still finds its place.

Runs of characters that occur once in both are found first and hold the rest in place, as in a patience diff; between them Levenshtein's
edits are exact. So three hours of speech cost little memory, and a subtitle that is wrong does not move its neighbours.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

from voicelathe.records import Cue, HeardWord
from voicelathe.speech import transcripts
from voicelathe.speech.transcripts import UNSPACED, normalise, primary

ANCHOR_CHARS, UNSPACED_ANCHOR_CHARS = 14, 6
MAX_CELLS = 400_000_000  # of a table of edits, 100 MB; more is two texts that have nothing in common
MIN_SAME_SHARE = (
    0.6  # of a cue's characters that must be heard in their order: unrelated sentences share a third
)
UNDER_MEDIAN = 0.2  # and so much less than the median of the recording, where the recogniser hears badly
CHANCE = 0.4  # hardly any two unrelated sentences share so much
MAX_MORE_SHARE, FREE_CHARS = 0.5, 12  # heard inside a cue and not in its text
SENTENCE_END = tuple(".!?…。！？;；:：")
CLOSING = "\"'”’»)]}」』"
UNIT = re.compile(r"[A-Za-z0-9]+|\S")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a cue by its place in the cue's text; a character in languages without spaces."""

    cue: int
    phrase: int  # sentence within one cue, counted over all cues: what is judged right or wrong
    start: int
    end: int


@dataclass(frozen=True)
class Matched:
    """Where the words of the text were heard."""

    spans: list[tuple[int, int] | None]  # of each word: first and last heard word; None where nothing fits
    same: list[float]  # of each phrase: share of its characters that were heard in their order
    more: list[int]  # of each phrase: characters heard inside it that its text does not have

    def wrong(self) -> list[int]:
        """Phrases in whose place something else was said."""
        usual = median(self.same) if self.same else 1.0
        limit = min(MIN_SAME_SHARE, max(CHANCE, usual - UNDER_MEDIAN))
        judged = enumerate(zip(self.same, self.more, strict=True))
        return [at for at, (same, more) in judged if same < limit or more > FREE_CHARS]


def words_of(cues: Sequence[Cue], language: str) -> list[Word]:
    """The words of all cues, in order."""
    pattern = UNIT if primary(language) in UNSPACED else re.compile(r"\S+")
    made: list[Word] = []
    phrase = -1
    for number, cue in enumerate(cues):
        begins = True
        for found in pattern.finditer(cue.text):
            phrase += begins
            made.append(Word(number, phrase, found.start(), found.end()))
            begins = ends_sentence(cue.text[: found.end()])
    return made


def ends_sentence(text: str) -> bool:
    return text.rstrip(CLOSING).endswith(SENTENCE_END)


def match(cues: Sequence[Cue], words: Sequence[Word], heard: Sequence[HeardWord], language: str) -> Matched:
    """Place every word of the text among the heard words."""
    text, owners = _letters([cues[one.cue].text[one.start : one.end] for one in words], language)
    said, said_by = _letters([one.text for one in heard], language)
    size = UNSPACED_ANCHOR_CHARS if primary(language) in UNSPACED else ANCHOR_CHARS
    pairs: list[tuple[int, int] | None] = [None] * len(text)  # place in `said`, and whether it is the same
    for first, other, same in _pairs(text, said, size):
        pairs[first] = (other, same)
    spans = _spans(len(words), owners, pairs, said_by)
    return Matched(spans, *_by_phrase(words, owners, pairs))


def _letters(words: Sequence[str], language: str) -> tuple[str, list[int]]:
    """All words normalised and joined, and for each character the word that it is of."""
    parts = [_normalised(word, language) for word in words]
    return "".join(parts), [number for number, part in enumerate(parts) for _ in part]


@lru_cache(maxsize=50_000)
def _normalised(word: str, language: str) -> str:
    return normalise(word, language).replace(" ", "")


def _spans(
    num: int, owners: Sequence[int], pairs: Sequence[tuple[int, int] | None], said_by: Sequence[int]
) -> list[tuple[int, int] | None]:
    """Of each word the heard words that its characters fell on: equal ones where there are any, else whatever stands there."""
    equal: list[list[int]] = [[] for _ in range(num)]
    other: list[list[int]] = [[] for _ in range(num)]
    for place, pair in enumerate(pairs):
        if pair is not None:
            (equal if pair[1] else other)[owners[place]].append(said_by[pair[0]])
    chosen = (one or two for one, two in zip(equal, other, strict=True))
    return [(min(found), max(found)) if found else None for found in chosen]


def _by_phrase(
    words: Sequence[Word], owners: Sequence[int], pairs: Sequence[tuple[int, int] | None]
) -> tuple[list[float], list[int]]:
    num = words[-1].phrase + 1 if words else 0
    length, same = [0] * num, [0] * num
    bounds: list[tuple[int, int] | None] = [None] * num
    for place, pair in enumerate(pairs):
        phrase = words[owners[place]].phrase
        length[phrase] += 1
        if pair is not None and pair[1]:
            same[phrase] += 1
            low, high = bounds[phrase] or (pair[0], pair[0])
            bounds[phrase] = (min(low, pair[0]), max(high, pair[0]))
    inside = [0 if found is None else found[1] - found[0] + 1 for found in bounds]
    more = [
        one - of if of and one > (1 + MAX_MORE_SHARE) * of else 0
        for one, of in zip(inside, length, strict=True)
    ]
    return [one / of if of else 1.0 for one, of in zip(same, length, strict=True)], more


# --- characters ------------------------------------------------------------------------------------------------------


def _pairs(text: str, said: str, size: int) -> Iterator[tuple[int, int, int]]:
    """Place in the text, place in what was said, and 1 where both hold the same character."""
    at, said_at = 0, 0
    for first, other, length in [*_anchors(text, said, size), (len(text), len(said), 0)]:
        for tag, low, high, said_low, _ in _edits(text[at:first], said[said_at:other]):
            if tag in ("equal", "replace"):
                for step in range(high - low):
                    yield at + low + step, said_at + said_low + step, int(tag == "equal")
        for step in range(length):
            yield first + step, other + step, 1
        at, said_at = first + length, other + length


def _edits(text: str, said: str) -> list[tuple[str, int, int, int, int]]:
    return transcripts.edits(text, said) if 0 < len(text) * len(said) <= MAX_CELLS else []


def _anchors(text: str, said: str, size: int) -> list[tuple[int, int, int]]:
    """Runs that stand once in both, in the same order: place in the text, place in what was said, length."""
    ours, theirs = _once(text, size), _once(said, size)
    shared = sorted((place, theirs[run]) for run, place in ours.items() if run in theirs)
    found: list[tuple[int, int, int]] = []
    for place, other in _rising(shared):
        if found and place - found[-1][0] == other - found[-1][1] <= found[-1][2]:
            found[-1] = (found[-1][0], found[-1][1], place + size - found[-1][0])
        elif not found or (place >= found[-1][0] + found[-1][2] and other >= found[-1][1] + found[-1][2]):
            found.append((place, other, size))
    return found


def _once(text: str, size: int) -> dict[str, int]:
    """Where each run of characters stands that stands nowhere else."""
    places: dict[str, int] = {}
    for at in range(len(text) - size + 1):
        run = text[at : at + size]
        places[run] = -1 if run in places else at
    return {run: at for run, at in places.items() if at >= 0}


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs whose second numbers rise."""
    tops: list[int] = []  # the smallest last number of a part of each length
    ends: list[int] = []  # and which pair that is
    before = [-1] * len(pairs)
    for number, (_, other) in enumerate(pairs):
        at = bisect_left(tops, other)
        before[number] = ends[at - 1] if at else -1
        tops[at : at + 1], ends[at : at + 1] = [other], [number]
    chain: list[tuple[int, int]] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]
