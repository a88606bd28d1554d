"""How high is the voice? Fundamental frequency by normalised autocorrelation (after Boersma 1993), 10 ms steps, plain numpy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ

Samples = NDArray[np.float32]

LOW_HZ, HIGH_HZ = 60.0, 400.0
FRAME_S, STEP_S = 0.05, 0.01  # three periods of the lowest voice
VOICED = 0.5  # height of the autocorrelation peak
QUIET_DB = -25.0  # below the loudest frame nothing is voiced
OCTAVE_COST = 0.04  # per octave: of two equal peaks the shorter period is the voice


@dataclass(frozen=True)
class PitchTrack:
    """What every 10 ms frame shows; all empty for less than 50 ms."""

    track_hz: NDArray[np.float64]  # F0, NaN where unvoiced
    height: NDArray[np.float64]  # of the autocorrelation's peak, 1 for perfectly periodic
    audible: NDArray[np.bool_]  # loud enough to count


def track_hz(samples: Samples) -> NDArray[np.float64]:
    """F0 of every 10 ms frame, NaN where unvoiced; empty for less than 50 ms."""
    return listen(samples).track_hz


def harmonicity_db(voice: PitchTrack) -> float | None:
    """Power of the periodic part over the rest, in the clearest quarter of the audible frames (upper quartile).

    Independent noise, lost phase and averaged spectra lower it. None for less than 100 ms of sound.
    """
    if voice.audible.sum() < 10:
        return None
    share = float(np.clip(np.percentile(voice.height[voice.audible], 75), 1e-3, 1 - 1e-3))
    return float(10.0 * np.log10(share / (1.0 - share)))


def listen(samples: Samples) -> PitchTrack:
    """Pitch and periodicity of a clip, frame by frame; 25 ms of CPU for 5 s."""
    size, step = round(FRAME_S * RATE_HZ), round(STEP_S * RATE_HZ)
    if len(samples) < size:
        return PitchTrack(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)[::step]
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = (frames**2).mean(axis=1)
    first, last = round(RATE_HZ / HIGH_HZ), round(RATE_HZ / LOW_HZ)
    lags = np.arange(first, last + 1)
    candidates = _autocorrelation(frames)[:, first : last + 1]
    ends = np.pad(candidates, ((0, 0), (1, 1)), constant_values=-1.0)
    is_peak = (candidates >= ends[:, :-2]) & (candidates >= ends[:, 2:])
    strength = np.where(is_peak, candidates + OCTAVE_COST * np.log2(RATE_HZ / lags / LOW_HZ), -1.0)
    best = strength.argmax(axis=1)
    height = candidates[np.arange(len(best)), best]
    audible = (power > 0) & (power > power.max() * 10 ** (QUIET_DB / 10))
    return PitchTrack(np.where((height >= VOICED) & audible, RATE_HZ / lags[best], np.nan), height, audible)


def median_hz(track: NDArray[np.float64]) -> float | None:
    """The middle of the voiced frames; None with fewer than 50 ms of them."""
    voiced = track[np.isfinite(track)]
    return float(np.median(voiced)) if len(voiced) >= 5 else None


def _autocorrelation(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Autocorrelation [frames, lags] of windowed frames over that of the window, 1 at lag 0."""
    size = frames.shape[1]
    window = np.hanning(size)

    def correlate(signal: NDArray[np.float64]) -> NDArray[np.float64]:
        spectrum = np.fft.rfft(signal, 2 * size, axis=-1)
        return np.fft.irfft(np.abs(spectrum) ** 2, axis=-1)[..., :size]

    own, shape = correlate(frames * window), correlate(window)
    scale = np.maximum(own[:, :1], 1e-20)
    return np.asarray((own / scale) / np.maximum(shape / shape[0], 1e-3))
