"""How high is the voice? Fundamental frequency by normalised autocorrelation (after Boersma 1993), 10 ms steps, plain numpy."""

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ

Samples = NDArray[np.float32]

LOW_HZ, HIGH_HZ = 60.0, 400.0
FRAME_S, STEP_S = 0.05, 0.01  # three periods of the lowest voice
VOICED = 0.5  # height of the autocorrelation peak
QUIET_DB = -35.0  # below the loudest frame nothing is voiced
OCTAVE_COST = 0.04  # per octave: of two equal peaks the shorter period is the voice


def track_hz(samples: Samples) -> NDArray[np.float64]:
    """F0 of every 10 ms frame, NaN where unvoiced; empty for less than 50 ms."""
    size, step = round(FRAME_S * RATE_HZ), round(STEP_S * RATE_HZ)
    if len(samples) < size:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)[::step]
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = (frames**2).mean(axis=1)
    correlation = _autocorrelation(frames)
    first, last = round(RATE_HZ / HIGH_HZ), round(RATE_HZ / LOW_HZ)
    lags = np.arange(first, last + 1)
    candidates = correlation[:, first : last + 1]
    ends = np.pad(candidates, ((0, 0), (1, 1)), constant_values=-1.0)
    is_peak = (candidates >= ends[:, :-2]) & (candidates >= ends[:, 2:])
    strength = np.where(is_peak, candidates + OCTAVE_COST * np.log2(RATE_HZ / lags / LOW_HZ), -1.0)
    best = strength.argmax(axis=1)
    height = candidates[np.arange(len(best)), best]
    audible = power > power.max() * 10 ** (QUIET_DB / 10) if power.max() > 0 else np.zeros(len(power), bool)
    return np.where((height >= VOICED) & audible, RATE_HZ / lags[best], np.nan)


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
