"""Which clips does a long recording make? Cuts lie in pauses, ends of sentences come first, and lengths stay within the limits.

The cheapest way through the recording is found exactly (dynamic programming over the pauses). A share of the short sentences that stand
alone between pauses is kept as clips of their own: a voice that never trained on short lines breaks down on them.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from voicelathe import rng
from voicelathe.data.cutting import matching, placing
from voicelathe.data.cutting.clips import Atom, ClipLimits, Maker, Naming
from voicelathe.data.cutting.cues import Parsed
from voicelathe.data.cutting.matching import Matched, Word
from voicelathe.records import Cue, Listened, ProposedClip, Stretch
from voicelathe.speech import edges

Levels = NDArray[np.uint8]

MIN_PAUSE_S = 0.12  # a silence to cut in; shorter ones are stops inside words
CLEAR_PAUSE_S = 0.3  # on both sides of a short sentence that stands alone
# What a way through the recording costs. Only their order matters: a length over the limit is avoided at any price, then text that
# was not heard in its clip, then a cut inside a sentence, then a clip that is too short.
TOO_LONG, UNTEXTED, IN_SENTENCE, IN_CUE, SHORT_PAUSE, TOO_SHORT = 1000.0, 8.0, 1.0, 1.5, 1.0, 1.0
KEPT_SHORT = -3.0
JOINED = (
    0.1  # two sentences in one clip, where each could be one: a clip is a sentence unless that is too short
)
SNAP_S = 0.15  # around the end of a word, where a cut without a pause looks for the quietest place


@dataclass(frozen=True)
class Wrong:
    """A sentence of a cue in whose place something else was heard."""

    line: int
    text: str
    heard: str


@dataclass(frozen=True)
class Cut:
    """What became of one recording."""

    clips: list[ProposedClip]
    speech_s: float
    uncovered: list[Stretch]  # speech without a text
    not_heard: list[Cue]  # text without speech
    shift_s: float | None
    wrong: list[Wrong]


def propose(
    number: int, name: str, found: Listened, parsed: Parsed, of: Levels, limits: ClipLimits, naming: Naming
) -> Cut:
    """Clips of one recording."""
    language = naming.language
    cues, stretches = parsed.cues, found.stretches
    words = matching.words_of(cues, language)
    matched, heard_at = None, []
    if found.words is not None:
        matched = matching.match(cues, words, found.words, language)
        heard_at = placing.of_heard(found.words, stretches)
        places = placing.by_hearing(words, matched, heard_at)
    else:
        places = placing.by_times(words, cues, stretches)
    atoms = [
        part
        for one in _atoms(words, cues, places, stretches)
        for part in _parted(one, words, found, matched, of, limits)
    ]
    chains = _chains(atoms, words, cues)
    kept = [run for chain in chains for run in _best(chain, words, cues, limits, name, matched is None)]
    bad = frozenset(() if matched is None else matched.wrong())
    maker = Maker(number, name, found, parsed, words, bad, heard_at, limits, naming)
    clips = [maker.clip(place, run) for place, run in enumerate(kept, 1)]
    used = {at for run in kept for one in run for at in range(one.first_stretch, one.last_stretch + 1)}
    uncovered = [one for at, one in enumerate(stretches) if at not in used]
    placed = {words[at].cue for run in kept for one in run for at in range(one.first, one.last + 1)}
    not_heard = [cue for at, cue in enumerate(cues) if at not in placed]
    speech_s = sum(one.end_s - one.start_s for one in stretches)
    wrong = [] if matched is None else [_wrong(at, words, cues, matched, found) for at in sorted(bad)]
    return Cut(
        clips,
        speech_s,
        uncovered,
        not_heard,
        _shift_s(atoms, words, cues),
        [one for one in wrong if one.heard],
    )


def _wrong(
    phrase: int, words: Sequence[Word], cues: Sequence[Cue], matched: Matched, found: Listened
) -> Wrong:
    """The words of the text, and the heard words that stand in their place."""
    assert found.words is not None
    mine = range(
        bisect_left(words, phrase, key=lambda word: word.phrase),
        bisect_right(words, phrase, key=lambda word: word.phrase),
    )
    cue = cues[words[mine[0]].cue]
    spans = [span for at in mine if (span := matched.spans[at]) is not None]
    heard = found.words[min(span[0] for span in spans) : max(span[1] for span in spans) + 1] if spans else []
    text = cue.text[words[mine[0]].start : words[mine[-1]].end]
    return Wrong(cue.line, text, " ".join(word.text for word in heard))


def _atoms(
    words: Sequence[Word],
    cues: Sequence[Cue],
    places: Sequence[tuple[placing.Place, placing.Place]],
    stretches: Sequence[Stretch],
) -> list[Atom]:
    """Runs of words between pauses; words without a place are left out."""
    made: list[Atom] = []
    for at, (first, last) in enumerate(places):
        if first is None or last is None:
            continue
        one = Atom(at, at, first, last, stretches[first].start_s, stretches[last].end_s)
        before = made[-1] if made else None
        if before is not None and (first <= before.last_stretch or one.start_s - before.end_s < MIN_PAUSE_S):
            top = max(last, before.last_stretch)
            made[-1] = Atom(before.first, at, before.first_stretch, top, before.start_s, stretches[top].end_s)
        else:
            made.append(one)
    return made


def _parted(
    one: Atom, words: Sequence[Word], found: Listened, matched: Matched | None, of: Levels, limits: ClipLimits
) -> list[Atom]:
    """An atom over the limit, cut where a word ends; whole where nothing says when its words end."""
    length_s = one.end_s - one.start_s
    if length_s <= limits.max_s or matched is None or found.words is None:
        return [one]
    parts: list[Atom] = []
    first, start_s = one.first, one.start_s
    num = math.ceil(length_s / limits.max_s)
    for part in range(1, num):
        target_s = one.start_s + part * length_s / num
        ends = [
            (abs(found.words[span[1]].end_s - target_s), at, found.words[span[1]].end_s)
            for at in range(first, one.last)
            if (span := matched.spans[at]) is not None
        ]
        near = min((end for end in ends if start_s < end[2] < one.end_s), default=None)
        if near is None:
            break
        cut_s = edges.quietest(of, near[2] - SNAP_S, near[2] + SNAP_S)
        if not start_s < cut_s < one.end_s:
            break
        parts.append(Atom(first, near[1], one.first_stretch, one.last_stretch, start_s, cut_s, True))
        first, start_s = near[1] + 1, cut_s
    return [
        *parts,
        Atom(first, one.last, one.first_stretch, one.last_stretch, start_s, one.end_s, bool(parts)),
    ]


def _chains(atoms: Sequence[Atom], words: Sequence[Word], cues: Sequence[Cue]) -> list[list[Atom]]:
    """Runs of atoms of one speaker: no clip holds two voices."""
    chains: list[list[Atom]] = []
    for one in atoms:
        speaker = cues[words[one.first].cue].speaker
        if chains and cues[words[chains[-1][-1].last].cue].speaker == speaker:
            chains[-1].append(one)
        else:
            chains.append([one])
    return chains


# --- the cheapest way ------------------------------------------------------------------------------------------------


def _best(
    chain: Sequence[Atom],
    words: Sequence[Word],
    cues: Sequence[Cue],
    limits: ClipLimits,
    name: str,
    only_cues: bool,
) -> list[list[Atom]]:
    """The runs of atoms that become clips."""
    breaks = [_break_cost(one, other, words, cues) for one, other in pairwise(chain)] + [0.0]
    alone = _kept_alone(chain, breaks, limits, name)
    best = [0.0] + [math.inf] * len(chain)
    came = [0] * (len(chain) + 1)
    for start, first in enumerate(chain):
        inside = 0.0
        for end in range(start, len(chain)):
            if end > start:
                untexted = chain[end].first_stretch - chain[end - 1].last_stretch > 1
                inside += (UNTEXTED if untexted else 0.0) + JOINED
            length_s = chain[end].end_s - first.start_s
            cost = best[start] + inside + _length_cost(length_s, limits) + breaks[end]
            cost += KEPT_SHORT if start == end and start in alone else 0.0
            if cost < best[end + 1]:
                best[end + 1], came[end + 1] = cost, start
            if length_s > limits.max_s:
                break
    runs: list[list[Atom]] = []
    end = len(chain)
    while end:
        runs.append(list(chain[came[end] : end]))
        end = came[end]
    return runs[::-1]


def _length_cost(length_s: float, limits: ClipLimits) -> float:
    if length_s > limits.max_s:
        return TOO_LONG + length_s - limits.max_s
    return TOO_SHORT * (limits.min_s - length_s) if length_s < limits.min_s else 0.0


def _break_cost(one: Atom, other: Atom, words: Sequence[Word], cues: Sequence[Cue]) -> float:
    """A cut between two atoms: nothing at the end of a sentence in a clear pause."""
    last, following = words[one.last], words[other.first]
    cost = SHORT_PAUSE * max(0.0, 1.0 - (other.start_s - one.end_s) / CLEAR_PAUSE_S)
    if one.is_cut and other.is_cut and other.start_s == one.end_s:
        cost += IN_CUE
    if matching.ends_sentence(cues[last.cue].text[: last.end]):
        return cost
    return cost + (IN_SENTENCE if last.cue != following.cue else IN_CUE)


def _kept_alone(chain: Sequence[Atom], breaks: Sequence[float], limits: ClipLimits, name: str) -> set[int]:
    """Short sentences between clear pauses that are drawn to stay alone: a share of all sentences, by their place in the text."""
    ends = [cost == 0.0 for cost in breaks]
    short = [
        at
        for at, one in enumerate(chain)
        if one.end_s - one.start_s < limits.min_s and ends[at] and (at == 0 or ends[at - 1])
    ]
    num = round(limits.short_share * sum(ends))
    drawn = sorted(short, key=lambda at: rng.unit(limits.seed, "short clip", name, chain[at].first))
    return set(drawn[:num])


def _shift_s(atoms: Sequence[Atom], words: Sequence[Word], cues: Sequence[Cue]) -> float | None:
    """By how much the subtitles come before the speech: the median over cues that begin behind a pause."""
    late = []
    for one in atoms:
        word, start_s = words[one.first], cues[words[one.first].cue].start_s
        if start_s is not None and not cues[word.cue].text[: word.start].strip():
            late.append(one.start_s - start_s)
    return round(float(np.median(late)), 3) if late else None
