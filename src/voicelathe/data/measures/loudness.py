"""How loud is a clip, what of it is silence, and do its channels hold the same sound? All of it relative to the clip itself.

An absolute level takes the soft beginning of a quiet recording for silence and the noise of a normal room for speech. So silence is what
lies close above the clip's own floor, or far below its loudest part.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicelathe.config import schema
from voicelathe.data.audio.decoding import Stored
from voicelathe.data.audio.waveform import as_float

Floats = NDArray[np.float64]

LOUD_FRAMES, FLOOR_SHARE = 5, 0.05  # a tenth of a second; the quietest twentieth
LEAST_DB = 10.0  # under the loudest part: a clip that is loud throughout has no silence
DIGITAL_SILENCE = 1e-9  # -90 dBFS, the last bit of 16
SHORTEST_SOUND = 2  # frames: a click of 20 ms is no beginning of speech
FRAME_S = 0.02
SMALLEST = 1e-20


@dataclass(frozen=True)
class Loudness:
    """Levels of the loudest and the quietest part; None for digital silence."""

    speech_dbfs: float | None
    floor_dbfs: float | None


@dataclass(frozen=True)
class Silence:
    """Seconds of silence at the start and at the end, and the share of silent frames."""

    leading_s: float
    trailing_s: float
    share: float


@dataclass(frozen=True)
class Channels:
    """How the channels of a clip differ; all None for one channel."""

    loss_db: float | None = None
    spread_db: float | None = None
    likeness: float | None = None
    loudest: int | None = None


def of(energies: Floats) -> Loudness:
    """Levels of mean squares of 20 ms frames."""
    loud = np.partition(energies, -min(LOUD_FRAMES, len(energies)))[-min(LOUD_FRAMES, len(energies)) :].mean()
    floor = np.quantile(energies, FLOOR_SHARE)
    if loud < DIGITAL_SILENCE:
        return Loudness(None, None)
    return Loudness(_db(float(loud)), _db(float(max(floor, SMALLEST))))


def frame_energies(mono: Floats, rate_hz: int) -> tuple[Floats, float]:
    """Mean square of each 20 ms frame, the last one perhaps shorter, and the exact length of a frame in seconds."""
    frame = max(1, round(FRAME_S * rate_hz))
    num_full = len(mono) // frame
    energies = np.square(mono[: num_full * frame]).reshape(num_full, frame).mean(axis=1)
    if len(mono) > num_full * frame:
        energies = np.append(energies, np.square(mono[num_full * frame :]).mean())
    return energies, frame / rate_hz


def silence(
    energies: Floats, level: Loudness, frame_s: float, duration_s: float, limits: schema.Measure
) -> Silence:
    """What is silent in a clip of these frames. All of it for digital silence."""
    if level.speech_dbfs is None or level.floor_dbfs is None:
        return Silence(round(duration_s, 3), round(duration_s, 3), 1.0)
    under_db = max(
        level.floor_dbfs + limits.silence_over_floor_db, level.speech_dbfs - limits.silence_under_speech_db
    )
    limit = max(10.0 ** (min(under_db, level.speech_dbfs - LEAST_DB) / 10.0), DIGITAL_SILENCE)
    is_loud = _without_clicks(energies >= limit)
    first, last = int(is_loud.argmax()), len(is_loud) - int(is_loud[::-1].argmax())
    return Silence(
        round(first * frame_s, 3),
        round(max(0.0, duration_s - last * frame_s), 3),
        round(1.0 - float(is_loud.mean()), 4),
    )


def _without_clicks(is_loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Only loud frames that have a loud neighbour; all of them where none has."""
    padded = np.concatenate([[False], is_loud, [False]])
    found = is_loud & (padded[:-SHORTEST_SOUND] | padded[SHORTEST_SOUND:])
    return found if found.any() else is_loud


def channels(samples: Stored, rate_hz: int) -> Channels:
    """Compare the channels of samples [frames, channels]."""
    if samples.shape[1] == 1:
        return Channels()
    sound = np.nan_to_num(as_float(samples), posinf=0.0, neginf=0.0).astype(np.float64)
    sound = sound - sound.mean(axis=0)
    powers, mean_power = np.square(sound).mean(axis=0), float(np.square(sound.mean(axis=1)).mean())
    if powers.max() < DIGITAL_SILENCE:
        return Channels(0.0, 0.0, None, 0)
    lowest = max(float(powers.min()), SMALLEST)
    return Channels(
        loss_db=round(10.0 * math.log10(float(powers.mean()) / max(mean_power, SMALLEST)), 2),
        spread_db=round(10.0 * math.log10(float(powers.max()) / lowest), 2),
        likeness=_likeness(sound[:, :2], rate_hz) if powers.min() >= DIGITAL_SILENCE else None,
        loudest=int(powers.argmax()),
    )


def _likeness(both: Floats, rate_hz: int) -> float | None:
    """Correlation of the levels in dB over 20 ms frames: near 1 for one voice in two microphones, under 0 for two who take turns."""
    frame = max(1, round(FRAME_S * rate_hz))
    num = len(both) // frame
    if num < 2 * LOUD_FRAMES:
        return None
    energies = np.square(both[: num * frame]).reshape(num, frame, 2).mean(axis=1)
    levels = 10.0 * np.log10(np.maximum(energies, energies.max(axis=0) * 1e-5))
    spreads = levels.std(axis=0)
    if spreads.min() < 1e-6:
        return None
    return round(float(np.corrcoef(levels.T)[0, 1]), 3)


def _db(power: float) -> float:
    return round(10.0 * math.log10(power), 2)
