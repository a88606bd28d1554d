"""Built-in metric `waveform`: what the samples alone show. Clipping, noise floor, missing highs, pitch, loudness."""

from collections.abc import Sequence

import numpy as np

from voicelathe.evaluate.listening import sound
from voicelathe.evaluate.metrics.base import RATE_HZ, Clip, Samples, Values
from voicelathe.records import Figure
from voicelathe.speech import pitch

FRAME = RATE_HZ // 50
PLATEAU = 0.985  # of the highest sample: clipping leaves many samples there, speech a handful
HIGHS_HZ = 4000.0
INAUDIBLE_FLOOR_DB = -30.0  # no veto below, however quiet the real recordings are
SEMITONES = 3.0
MIN_FRAMES = 10


class Waveform:
    """Numbers of the waveform; needs no model."""

    name = "waveform"
    languages = None
    needs_real = False
    figures = (
        Figure("clipped_share", "share", "lower", "clipped", "samples at the level of the highest one"),
        Figure("floor_db", "dB", "lower", "noisy", "quietest frames below the loudest ones"),
        Figure("highs_db", "dB", None, "muffled", "power above 4 kHz below the whole power"),
        Figure(
            "harmonicity_db",
            "dB",
            "higher",
            "artefacts",
            "periodic part of the clearest frames over the rest",
        ),
        Figure("f0_median_hz", "Hz", None, "pitch", "middle of the voiced frames"),
        Figure("f0_range_st", "semitones", None, None, "5th to 95th percentile of the pitch"),
        Figure("loudness_lufs", "LUFS", None, None, "before the page matches it"),
    )

    def missing(self) -> str | None:
        return None

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        return [_measure(clip.samples) for clip in clips]

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        if figure == "clipped_share":
            return None, 2.0 * max(real) + 0.005
        if figure == "floor_db":
            return None, max(max(real) + 8.0, INAUDIBLE_FLOOR_DB)
        if figure == "highs_db":
            return min(real) - 10.0, None
        if figure == "harmonicity_db":
            return min(real) - 4.0, None
        low, high = min(real), max(real)
        middle, step = float(np.median(real)), 2 ** (SEMITONES / 12)
        return min(middle / step, 0.95 * low), max(middle * step, 1.05 * high)


def _measure(samples: Samples) -> Values:
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    if peak == 0.0 or len(frames) < MIN_FRAMES:
        return {figure.name: None for figure in Waveform.figures}
    levels = 10.0 * np.log10((frames**2).mean(axis=1) + 1e-12)
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    highs = power[np.fft.rfftfreq(len(samples), 1 / RATE_HZ) >= HIGHS_HZ].sum()
    heard = pitch.listen(samples)
    voiced = heard.track_hz[np.isfinite(heard.track_hz)]
    return {
        "clipped_share": float((np.abs(samples) >= PLATEAU * peak).mean()),
        "floor_db": float(np.percentile(levels, 5) - np.percentile(levels, 95)),
        "highs_db": float(10.0 * np.log10((highs + 1e-12) / (power.sum() + 1e-12))),
        "harmonicity_db": pitch.harmonicity_db(heard),
        "f0_median_hz": pitch.median_hz(heard.track_hz),
        "f0_range_st": float(12.0 * np.log2(np.percentile(voiced, 95) / np.percentile(voiced, 5)))
        if len(voiced) >= MIN_FRAMES
        else None,
        "loudness_lufs": sound.loudness_lufs(sound.DecodedSample(samples, RATE_HZ)),
    }
