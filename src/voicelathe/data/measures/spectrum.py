"""Up to which frequency a clip has content, and whether it ends there as a file does that was once sampled at a lower rate.

Speech fades towards high frequencies, and a room's noise does not stop at all. Only a resampler (or a codec's low pass) takes
everything away above one frequency: a cliff in the mean spectrum, with next to nothing behind it.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW_S, WINDOWS_AT_ONCE = 0.064, 512
ENERGY_BELOW_BANDWIDTH = 0.999
SMALLEST = 1e-10
HUM_HZ, MIN_HUM_WINDOWS = 130.0, 15  # about a second
# A cliff: the level of the 450 Hz before it is this far over everything behind it. Speech falls some 10 dB in as many Hz.
CLIFF_DB, BEFORE_HZ, GAP_HZ, STEP_HZ = 22.0, 450.0, 150.0, 50.0
LOWEST_CLIFF_HZ, TOP_SHARE = 1500.0, 0.94


def power(mono: Floats, rate_hz: int) -> Floats | None:
    """Mean power of the clip by frequency, 0 Hz to half the rate (Welch, 1967); None for digital silence."""
    size = min(len(mono), round(WINDOW_S * rate_hz))
    windows = np.lib.stride_tricks.sliding_window_view(mono, size)[:: max(1, size // 2)]
    shape, total = np.hanning(size + 2)[1:-1], np.zeros(size // 2 + 1)
    for some in np.split(windows, range(WINDOWS_AT_ONCE, len(windows), WINDOWS_AT_ONCE)):
        total += np.square(np.abs(np.fft.rfft(some * shape, axis=1))).sum(axis=0)
    return total if total.sum() > SMALLEST else None


def bandwidth_hz(spectrum: Floats, rate_hz: int) -> float:
    """The frequency under which 99.9 % of the energy lies."""
    reached = int(np.searchsorted(np.cumsum(spectrum), ENERGY_BELOW_BANDWIDTH * spectrum.sum()))
    return round(reached * _bin_hz(spectrum, rate_hz), 1)


def cutoff_hz(spectrum: Floats, rate_hz: int) -> float | None:
    """Where the spectrum breaks off, to 50 Hz; None where it does not, or is too coarse to tell (under 64 ms)."""
    bin_hz = _bin_hz(spectrum, rate_hz)
    top = int(TOP_SHARE * rate_hz / 2 / bin_hz)
    before, gap, step = round(BEFORE_HZ / bin_hz), round(GAP_HZ / bin_hz), max(1, round(STEP_HZ / bin_hz))
    if before < 8 or gap < 2:
        return None
    level_db = 10.0 * np.log10(np.maximum(spectrum[:top], spectrum.max() * 1e-14))
    smooth_db = np.convolve(level_db, np.ones(gap) / gap, mode="same")
    loudest_behind = np.maximum.accumulate(smooth_db[::-1])[::-1]
    starts = range(max(before + gap, round(LOWEST_CLIFF_HZ / bin_hz)), top - gap, step)
    falls = [float(np.median(level_db[at - before : at - gap]) - loudest_behind[at + gap]) for at in starts]
    if not falls or max(falls) < CLIFF_DB:
        return None
    return round(starts[int(np.argmax(falls))] * bin_hz, 1)


def hum_share(mono: Floats, rate_hz: int) -> float | None:
    """Of the energy of the quietest fifth of the clip, the share under HUM_HZ: mains hum and rumble, where a room's noise has next to none."""
    size = round(WINDOW_S * rate_hz)
    num = len(mono) // size
    if num < MIN_HUM_WINDOWS:
        return None
    windows = mono[: num * size].reshape(num, size)
    quiet = np.argsort(np.square(windows).mean(axis=1), kind="stable")[: max(1, num // 5)]
    powers = np.square(np.abs(np.fft.rfft(windows[quiet] * np.hanning(size + 2)[1:-1], axis=1))).sum(axis=0)[
        1:
    ]
    total = powers.sum()
    return round(float(powers[: int(HUM_HZ * size / rate_hz)].sum() / total), 3) if total > SMALLEST else None


def _bin_hz(spectrum: Floats, rate_hz: int) -> float:
    return rate_hz / (2 * max(1, len(spectrum) - 1))
