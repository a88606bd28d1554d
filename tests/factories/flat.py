"""Speech made monotonous, or without its pauses: pitch-synchronous overlap and add, in plain numpy."""

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ, activity, pitch

Samples = NDArray[np.float32]


def flattened(samples: Samples, share: float = 1.0) -> Samples:
    """The same words with the pitch moved toward its median by this share of the way (in logarithms)."""
    track = pitch.track_hz(samples)
    voiced = np.isfinite(track)
    at = np.arange(len(samples)) / RATE_HZ
    logs = np.interp(at, np.flatnonzero(voiced) * pitch.STEP_S + pitch.FRAME_S / 2, np.log(track[voiced]))
    wanted = np.exp(logs + share * (np.median(np.log(track[voiced])) - logs))
    marks = _marks(samples, np.exp(logs))
    made, weight = np.zeros(len(samples)), np.zeros(len(samples))
    place = float(marks[0])
    while place < len(samples):
        mark = marks[np.argmin(np.abs(marks - place))]
        half = int(RATE_HZ / np.exp(logs[mark]))
        grain = np.arange(
            max(-half, -mark, -int(place)), min(half, len(samples) - 1 - mark, len(samples) - 1 - int(place))
        )
        window = 0.5 + 0.5 * np.cos(np.pi * grain / half)
        made[int(place) + grain] += samples[mark + grain] * window
        weight[int(place) + grain] += window
        place += RATE_HZ / wanted[int(place)]
    return (made / np.maximum(weight, 0.3)).astype(np.float32)


def _marks(samples: Samples, hz: NDArray[np.float64]) -> NDArray[np.int_]:
    """One place in every period, at its largest sample."""
    found, place = [], 0.0
    while place < len(samples):
        period = RATE_HZ / hz[int(place)]
        low, high = int(max(0.0, place - period / 5)), int(min(len(samples), place + period / 5 + 1))
        found.append(low + int(np.argmax(np.abs(samples[low:high]))))
        place = max(place, float(found[-1])) + period
    return np.unique(found)


def without_pauses(samples: Samples) -> Samples:
    return activity.only_speech(samples, activity.segments(samples))


def with_pauses(samples: Samples, seconds: float = 0.4) -> Samples:
    """A silence of this length in the middle of the longest stretch of speech."""
    longest = max(activity.segments(samples), key=lambda one: one.end_s - one.start_s)
    middle = round((longest.start_s + longest.end_s) / 2 * RATE_HZ)
    quiet = 1e-4 * np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ))
    return np.concatenate([samples[:middle], quiet.astype(np.float32), samples[middle:]])
