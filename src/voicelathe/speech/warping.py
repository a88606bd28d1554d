"""Which moment of one clip is which moment of another that says the same? Dynamic time warping over cepstra, plain numpy."""

import numpy as np
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ, mel

Samples = NDArray[np.float32]
Track = NDArray[np.float64]

FRAME, STEP = round(0.05 * RATE_HZ), round(0.01 * RATE_HZ)  # steps as in pitch and formants
BANDS, CEPSTRA = 40, 13


def cepstra(samples: Samples) -> Track:
    """Mel cepstra 1 to 13 [frames, 13] every 10 ms, each in deviations from the clip's own mean."""
    power = np.log(mel.bands(samples, frame=FRAME, step=STEP, bands=BANDS).astype(np.float64) + 1e-10)
    rows = np.arange(1, CEPSTRA + 1)[:, None]
    cosines = np.cos(np.pi * rows * (np.arange(BANDS) + 0.5) / BANDS)
    found = power @ cosines.T
    return np.asarray((found - found.mean(axis=0)) / (found.std(axis=0) + 1e-6))


def path(one_TD: Track, other_TD: Track) -> list[tuple[int, int]]:
    """Pairs of frames in order, by the way that is nearest all along (Sakoe and Chiba 1978). Cost: T1 * T2, 10 ms of CPU for 3 s."""
    cost = np.sqrt(
        np.maximum((one_TD**2).sum(1)[:, None] + (other_TD**2).sum(1)[None] - 2.0 * one_TD @ other_TD.T, 0.0)
    )
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        before = np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1])
        total[i, j] = before + cost[i - 1, j - 1]
    i, j, found = rows, columns, []
    while i > 0 and j > 0:
        found.append((int(i) - 1, int(j) - 1))
        steps = (total[i - 1, j - 1], total[i - 1, j], total[i, j - 1])
        way = int(np.argmin(steps))
        i, j = i - (way != 2), j - (way != 1)
    return found[::-1]
