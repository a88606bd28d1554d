"""In what unit are the times of a file that only has numbers? Seconds as a rule; some tools write hundredths or thousandths.

The recording tells: cues would end behind its end and last far too long, and in another unit all of them lie in it, at a pace at which people speak.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from voicelathe.data.text import characters
from voicelathe.records import Cue

SLACK_S = 2.0  # that a cue may last longer than the recording
USUAL_PACE = 12.0  # letters a second, pauses included
LEAST_SHARE = 0.1  # of the recording that the cues reach into
MOST_OFF = 5.0  # times faster or slower


@dataclass(frozen=True)
class Unit:
    """Of times, in seconds."""

    name: str
    seconds: float


SECONDS = Unit("seconds", 1.0)
OTHERS = (Unit("hundredths of a second", 0.01), Unit("thousandths of a second", 0.001))


def of(cues: Sequence[Cue], duration_s: float) -> Unit | None:
    """The unit of the cues of a recording; None for seconds, and where no unit fits."""
    timed = [
        (one.start_s, one.end_s, one.text)
        for one in cues
        if one.start_s is not None and one.end_s is not None
    ]
    is_whole = all(start.is_integer() and end.is_integer() for start, end, _ in timed)
    last = max((end for _, end, _ in timed), default=0.0)
    if not is_whole or last <= duration_s + SLACK_S:
        return None
    letters = sum(characters.usual_letters(text) for *_, text in timed)
    pace = letters / sum(end - start for start, end, _ in timed)
    if _off(pace, SECONDS) <= MOST_OFF:
        return None  # the recording is cut off, or another one
    fitting = [
        one
        for one in OTHERS
        if LEAST_SHARE * duration_s <= last * one.seconds <= duration_s + SLACK_S
        and _off(pace, one) <= MOST_OFF
    ]
    return min(fitting, key=lambda one: _off(pace, one), default=None)


def _off(pace: float, unit: Unit) -> float:
    return math.exp(abs(math.log(pace / unit.seconds / USUAL_PACE)))
