"""In which stretch of speech does each word of the text lie? What is cut are the silences between stretches, so this decides the clips."""

from collections.abc import Sequence
from itertools import pairwise

from voicelathe.data.cutting.matching import Matched, Word
from voicelathe.records import Cue, HeardWord, Stretch

Place = int | None
FREE_S = 0.02  # silences that are shorter are none: two stretches that touch


def of_heard(heard: Sequence[HeardWord], stretches: Sequence[Stretch]) -> list[Place]:
    """The stretch of each heard word: the one it covers most of, else the nearest. In order of time, never going back."""
    found: list[Place] = []
    last = 0
    for word in heard:
        if not stretches:
            found.append(None)
            continue
        while last + 1 < len(stretches) and _fit(word, stretches[last + 1]) > _fit(word, stretches[last]):
            last += 1
        found.append(last)
    return found


def _fit(word: HeardWord, stretch: Stretch) -> float:
    """Seconds that both share; below zero the distance between the middle of the word and the stretch."""
    shared = min(word.end_s, stretch.end_s) - max(word.start_s, stretch.start_s)
    if shared > 0:
        return shared
    middle = (word.start_s + word.end_s) / 2
    return -max(stretch.start_s - middle, middle - stretch.end_s, 0.0)


def by_hearing(words: Sequence[Word], matched: Matched, places: Sequence[Place]) -> list[tuple[Place, Place]]:
    """First and last stretch of each word by what was heard; words that were not heard go with their neighbours in the cue."""
    found: list[tuple[Place, Place]] = [
        (None, None) if span is None else (places[span[0]], places[span[1]]) for span in matched.spans
    ]
    _fill(words, found)
    _fill(list(reversed(words)), found, backwards=True)
    return _rising(found)


def _fill(words: Sequence[Word], found: list[tuple[Place, Place]], backwards: bool = False) -> None:
    """Give an unplaced word the stretch of the word before it in its cue (behind it, going backwards)."""
    order = range(len(found) - 1, -1, -1) if backwards else range(len(found))
    steps = list(zip(words, order, strict=True))
    for (one, at), (other, next_at) in pairwise(steps):
        known = found[at][0 if backwards else 1]
        if found[next_at][0] is None and known is not None and one.cue == other.cue:
            found[next_at] = (known, known)


def _rising(found: Sequence[tuple[Place, Place]]) -> list[tuple[Place, Place]]:
    """No word before the one in front of it."""
    made: list[tuple[Place, Place]] = []
    top = 0
    for first, last in found:
        if first is None or last is None:
            made.append((None, None))
            continue
        made.append((max(first, top), max(last, top)))
        top = made[-1][1] or 0
    return made


def by_times(
    words: Sequence[Word], cues: Sequence[Cue], stretches: Sequence[Stretch]
) -> list[tuple[Place, Place]]:
    """First and last stretch of each word by the times of its cue alone; all words of a cue share them."""
    linked = _linked(cues, stretches)
    found: list[tuple[Place, Place]] = [
        (None, None) if not linked[word.cue] else (linked[word.cue][0], linked[word.cue][-1])
        for word in words
    ]
    return _rising(found)


def _linked(cues: Sequence[Cue], stretches: Sequence[Stretch]) -> list[list[int]]:
    """A stretch is of the cue that it shares most with, and of others whose half or whose own half it is."""
    linked: list[list[int]] = [[] for _ in cues]
    first = 0
    for number, stretch in enumerate(stretches):
        while first < len(cues) and (cues[first].end_s or 0.0) <= stretch.start_s:
            first += 1
        shares = []
        at = first
        while at < len(cues) and (cues[at].start_s or 0.0) < stretch.end_s:
            start_s, end_s = cues[at].start_s or 0.0, cues[at].end_s or 0.0
            shared = min(end_s, stretch.end_s) - max(start_s, stretch.start_s)
            shares.append((shared, min(end_s - start_s, stretch.end_s - stretch.start_s), at))
            at += 1
        best = max(shares, default=None)
        for shared, shorter, cue in shares:
            if best is not None and shared > 0 and (cue == best[2] or shared >= shorter / 2):
                linked[cue].append(number)
    return linked
