"""How was a line spoken? Seconds of sound, level and pitch of one sample, by which opposite controls are compared; plain numpy."""

from dataclasses import dataclass

import numpy as np

from voicelathe.speech import RATE_HZ, pitch
from voicelathe.speech.pitch import Samples

FRAME_S = 0.02
LOUDEST_FRAMES = 5  # a tenth of a second
BELOW_DB = 35.0  # under the loudest tenth of a second there is no speech
SILENT = 1e-9  # mean square of the last bit of 16


@dataclass(frozen=True)
class Manner:
    """Of one sample. `pitch_hz` is None where nothing is voiced."""

    seconds: float  # from the first sound to the last
    level_dbfs: float  # mean power of the frames that hold sound
    pitch_hz: float | None  # the median


def of(samples: Samples) -> Manner | None:
    """Of mono samples at 16 kHz; None for silence and for less than a tenth of a second."""
    size = round(FRAME_S * RATE_HZ)
    frames = len(samples) // size
    if frames < LOUDEST_FRAMES:
        return None
    energies = np.square(samples[: frames * size].astype(np.float64)).reshape(frames, size).mean(axis=1)
    loudest = float(np.sort(energies)[-LOUDEST_FRAMES:].mean())
    if loudest < SILENT:
        return None
    heard = np.flatnonzero(energies > loudest * 10.0 ** (-BELOW_DB / 10.0))
    level = 10.0 * np.log10(energies[heard].mean())
    seconds = (heard[-1] - heard[0] + 1) * FRAME_S
    return Manner(round(float(seconds), 4), round(float(level), 4), pitch.median_hz(pitch.track_hz(samples)))
