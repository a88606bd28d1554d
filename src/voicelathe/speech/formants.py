"""Where are the vowels? First and second formant of every 10 ms frame, by linear prediction, in plain numpy.

Resonances are the roots of the prediction polynomial near the unit circle (Atal and Hanauer 1971). Values are logarithms, voiced
frames only, in deviations from the clip's own mean: another throat shifts and stretches them all alike, another accent does not.
"""

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ, pitch

Samples = NDArray[np.float32]
Track = NDArray[np.float64]

LPC_RATE_HZ = 10_000  # five formants of a man, four of a woman, lie below half of it
ORDER = 10  # two coefficients a formant
PRE_EMPHASIS = 0.97
FRAME_S, STEP_S = 0.05, 0.01  # as in pitch
LOWEST_HZ, HIGHEST_HZ = 180.0, 3500.0
WIDEST_HZ = 500.0  # a broader resonance is the tilt of the spectrum
MIN_VOICED = 20  # frames; fewer have no mean worth naming


def tracks(samples: Samples) -> Track | None:
    """Normalised log F1 and F2 [frames, 2], NaN where unvoiced or where no two resonances are found; None with under 0.2 s of voice."""
    voiced = np.isfinite(pitch.track_hz(samples))
    slow = _slowed(samples)
    size, step = round(FRAME_S * LPC_RATE_HZ), round(STEP_S * LPC_RATE_HZ)
    if voiced.sum() < MIN_VOICED or len(slow) < size:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(slow, size)[::step]
    number = min(len(frames), len(voiced))
    found = np.full((number, 2), np.nan)
    places = np.flatnonzero(voiced[:number])
    found[places] = np.log(resonances(frames[places]))
    known = np.isfinite(found).all(axis=1)
    if known.sum() < MIN_VOICED:
        return None
    found[~known] = np.nan
    return np.asarray((found - found[known].mean(axis=0)) / np.maximum(found[known].std(axis=0), 1e-6))


def resonances(frames_FS: Track) -> Track:
    """The two lowest resonances in Hz of frames [F, S] at LPC_RATE_HZ: [F, 2], NaN where there are not two."""
    lifted = frames_FS[:, 1:] - PRE_EMPHASIS * frames_FS[:, :-1]
    windowed = lifted * np.hamming(lifted.shape[1])
    power = np.abs(np.fft.rfft(windowed, 2 * windowed.shape[1], axis=1)) ** 2
    lags = np.fft.irfft(power, axis=1)[:, : ORDER + 1]
    lags[:, 0] = lags[:, 0] * (1.0 + 1e-9) + 1e-12
    places = np.abs(np.arange(ORDER)[:, None] - np.arange(ORDER)[None, :])
    predictor = np.linalg.solve(lags[:, places], lags[:, 1:, None])[..., 0]
    companion = np.zeros((len(frames_FS), ORDER, ORDER))
    companion[:, 0, :] = predictor
    companion[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1.0
    roots = np.linalg.eigvals(companion)
    hz = np.angle(roots) * LPC_RATE_HZ / (2 * np.pi)
    width_hz = -np.log(np.maximum(np.abs(roots), 1e-9)) * LPC_RATE_HZ / np.pi
    is_formant = (hz > LOWEST_HZ) & (hz < HIGHEST_HZ) & (width_hz < WIDEST_HZ)
    lowest = np.sort(np.where(is_formant, hz, np.inf), axis=1)[:, :2]
    return np.asarray(np.where(np.isfinite(lowest).all(axis=1, keepdims=True), lowest, np.nan))


def _slowed(samples: Samples) -> Track:
    """At LPC_RATE_HZ, by leaving out the upper part of the spectrum."""
    number = len(samples) * LPC_RATE_HZ // RATE_HZ
    spectrum = np.fft.rfft(samples.astype(np.float64))[: number // 2 + 1]
    return (
        np.asarray(np.fft.irfft(spectrum, number) * (number / max(len(samples), 1)))
        if number
        else np.zeros(0)
    )
