"""Power in mel bands, as librosa computes them, in plain numpy: what the small models of this package were trained on."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ

Samples = NDArray[np.float32]


def bands(samples: Samples, *, frame: int, step: int, bands: int) -> Samples:
    """Power [T, bands] of centred Hann frames of `frame` samples every `step`, Slaney's mel scale, edges padded with zeros."""
    padded = np.pad(samples.astype(np.float32), (frame // 2, frame // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::step]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return np.asarray(power @ filters(frame, bands).T, np.float32)


@cache
def filters(frame: int, bands: int) -> NDArray[np.float64]:
    """Triangles on Slaney's mel scale (linear below 1 kHz), each of equal area: [bands, frame // 2 + 1]."""
    hz_per_mel, break_mel, log_step = 200.0 / 3.0, 15.0, np.log(6.4) / 27.0
    top = break_mel + np.log(RATE_HZ / 2 / 1000.0) / log_step
    mels = np.linspace(0.0, top, bands + 2)
    edges = np.where(mels < break_mel, mels * hz_per_mel, 1000.0 * np.exp(log_step * (mels - break_mel)))
    bins = np.fft.rfftfreq(frame, 1.0 / RATE_HZ)
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]
