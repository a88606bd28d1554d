"""Where exactly does the sound of speech begin and end? Levels of 10 ms around the stretches that the voice activity found.

Silero marks speech in pieces of 32 ms and adds 30 ms on both sides. A cut wants more: the first and last 10 ms that stand out of the
silence beside them. A stop has its own silence inside a word, so a short gap is no end.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ
from voicelathe.speech.activity import Segment

Levels = NDArray[np.uint8]  # dB below full scale, rounded: 0 is the loudest, QUIETEST silence

STEP_S = 0.01
STEP = round(RATE_HZ * STEP_S)
QUIETEST = 120
SLOW_S = (
    0.016  # a running mean over so much is taken away: half of what swings at 40 Hz, and all that is slower
)
OVER_FLOOR_DB = 8  # what is so much louder than the silence beside it is sound
UNDER_SPEECH_DB = 42  # and what is more under the speech is none
REACH_S = 0.3  # so far out of the activity's stretch a beginning or an end is looked for
INSIDE_S = 0.12  # a place that surely is speech
BEFORE_GAP_S, BEHIND_GAP_S = (
    0.05,
    0.13,
)  # silence that ends the search: a final stop is released after some 0.1 s
PAUSE_S = 0.16  # silence inside a stretch that parts it; no stop is that long
FLOOR_SHARE = 0.2  # of the silence beside the speech that is taken for its floor


def levels(samples: NDArray[np.float32]) -> Levels:
    """Level of each 10 ms; the last piece may be shorter. Without what is slower than SLOW_S, as an offset or the rumble of a room."""
    if not len(samples):
        return np.zeros(0, np.uint8)
    swift = samples - _running_mean(samples, round(SLOW_S * RATE_HZ))
    change = np.diff(swift, prepend=swift[:1])  # hisses, with which many words begin and end, count more
    power = np.square(swift, dtype=np.float64) + np.square(change, dtype=np.float64)
    whole = np.pad(power, (0, -len(power) % STEP), mode="edge").reshape(-1, STEP)
    below = -10.0 * np.log10(np.maximum(whole.mean(axis=1), 1e-12))
    return np.asarray(np.clip(np.round(below), 0, QUIETEST), np.uint8)


def _running_mean(samples: NDArray[np.float32], width: int) -> NDArray[np.float64]:
    half = width // 2
    total = np.cumsum(np.pad(samples.astype(np.float64), (half + 1, half), mode="edge"))
    return np.asarray((total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1))


def sharpened(found: Sequence[Segment], of: Levels) -> list[Segment]:
    """The stretches with their beginnings and ends where the sound begins and ends, parted where it pauses; they never cross."""
    made: list[Segment] = []
    for place, one in enumerate(found):
        before_s = found[place - 1].end_s if place else 0.0
        after_s = found[place + 1].start_s if place + 1 < len(found) else len(of) * STEP_S
        for start_s, end_s in _sharp(one, before_s, after_s, of):
            start_s = max(start_s, made[-1].end_s if made else 0.0)
            if end_s > start_s:
                made.append(Segment(round(start_s, 3), round(end_s, 3)))
    return made


def _sharp(one: Segment, before_s: float, after_s: float, of: Levels) -> list[tuple[float, float]]:
    first, last = round(one.start_s / STEP_S), min(len(of), round(one.end_s / STEP_S))
    if last - first < 3:
        return [(one.start_s, one.end_s)]
    low = max(first - round(REACH_S / STEP_S), round((before_s + one.start_s) / 2 / STEP_S), 0)
    high = min(last + round(REACH_S / STEP_S), round((one.end_s + after_s) / 2 / STEP_S), len(of))
    speech = int(np.percentile(of[first:last], 10))
    inside = min(round(INSIDE_S / STEP_S), (last - first) // 2)
    limits = _limit(of[low:first], speech), _limit(of[last:high], speech)
    middle = (first + last) // 2
    loud = (
        _loud(of, first + inside, first, middle, limits[0]),
        _loud(of, last - 1 - inside, last, middle, limits[1]),
    )
    begin = _edge(of, loud[0], low - 1, limits[0], round(BEFORE_GAP_S / STEP_S))
    end = _edge(of, loud[1], high, limits[1], round(BEHIND_GAP_S / STEP_S)) + 1
    parts = _parted(of[begin:end] >= max(limits))
    return [((begin + start) * STEP_S, (begin + stop) * STEP_S) for start, stop in parts]


def _parted(is_quiet: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last piece of what lies between pauses, which the voice activity may have bridged."""
    parts: list[tuple[int, int]] = []
    start, quiet = 0, 0
    for at, silent in enumerate(is_quiet):
        if not silent and quiet >= round(PAUSE_S / STEP_S):
            parts.append((start, at - quiet))
            start = at
        quiet = quiet + 1 if silent else 0
    return [*parts, (start, len(is_quiet))]


def _limit(silence: Levels, speech: int) -> int:
    """Pieces that are louder (a smaller number) than this are sound."""
    if len(silence) < 3:
        return speech + UNDER_SPEECH_DB
    floor = int(np.percentile(silence, 100 * (1 - FLOOR_SHARE)))
    return min(floor - OVER_FLOOR_DB, speech + UNDER_SPEECH_DB)


def _loud(of: Levels, start: int, edge: int, middle: int, limit: int) -> int:
    """The first loud piece on the way to the edge of the stretch, else to its middle; where there is none, the place to start from."""
    for goal in (edge, middle):
        step = 1 if goal > start else -1
        for at in range(start, goal, step):
            if of[at] < limit:
                return at
    return start


def _edge(of: Levels, start: int, stop: int, limit: int, gap: int) -> int:
    """The last loud piece on the way from inside the speech to `stop`, before a silence of `gap` pieces."""
    step = 1 if stop > start else -1
    found, quiet = start, 0
    for at in range(start, stop, step):
        if of[at] < limit:
            found, quiet = at, 0
        else:
            quiet += 1
            if quiet >= gap:
                break
    return found


def quietest(of: Levels, start_s: float, end_s: float) -> float:
    """The middle of the quietest 30 ms between two times; the earliest of several."""
    first, last = max(0, round(start_s / STEP_S)), min(len(of), round(end_s / STEP_S))
    if last - first < 3:
        return (start_s + end_s) / 2
    smooth = np.convolve(of[first:last].astype(np.float64), np.ones(3) / 3, "valid")
    return float((first + 1.5 + int(np.argmax(smooth))) * STEP_S)
