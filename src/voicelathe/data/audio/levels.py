"""Peak, power and clipping of a clip in one pass, in blocks that stay in the processor's cache.

Samples of 16-bit files are taken as the integers they are; float samples that are no number are counted and taken as 0.
"""

from dataclasses import dataclass

import numpy as np

from voicelathe.data.audio.decoding import Stored

FULL_SCALE = 32768  # of 16-bit samples
CLIPPED_STEPS = FULL_SCALE - 2  # full scale, and one step below where a converter rounded
BLOCK_FRAMES = 1 << 15


@dataclass(frozen=True)
class Levels:
    """Peak and power are of the mean of the channels, full scale 1.0; clipping is of every sample."""

    peak: float
    mean_square: float
    clipped_share: float
    num_nonfinite: int


def of(stored: Stored) -> Levels:
    """Levels of samples [frames, channels], at least one frame."""
    peak, square_sum, num_clipped, num_nonfinite = 0.0, 0.0, 0, 0
    scale = 1.0 if stored.dtype == np.float32 else 1.0 / FULL_SCALE
    for start in range(0, len(stored), BLOCK_FRAMES):
        block = stored[start : start + BLOCK_FRAMES]
        if stored.dtype == np.float32:
            block, num_bad = _finite(block)
            num_nonfinite += num_bad
        loudest = max(abs(float(block.max())), abs(float(block.min()))) * scale
        if loudest * FULL_SCALE >= CLIPPED_STEPS:
            num_clipped += int((np.abs(block.astype(np.float64)) * scale * FULL_SCALE >= CLIPPED_STEPS).sum())
        mono = block[:, 0].astype(np.float64) if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float64)
        peak = max(peak, loudest if block.shape[1] == 1 else float(np.abs(mono).max()) * scale)
        square_sum += float(np.dot(mono, mono))
    return Levels(
        peak=peak,
        mean_square=square_sum * scale * scale / len(stored),
        clipped_share=num_clipped / stored.size,
        num_nonfinite=num_nonfinite,
    )


def _finite(block: Stored) -> tuple[Stored, int]:
    """The block with 0 for what is no number, and how many those were."""
    finite = np.isfinite(block)
    num_bad = block.size - int(np.count_nonzero(finite))
    return (block, 0) if num_bad == 0 else (np.where(finite, block, np.float32(0.0)), num_bad)
