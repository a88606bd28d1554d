"""What is full scale in a WAV of floating point numbers? 1, but for files whose samples are still in the scale of integers.

`samples.astype(float32)` without a division, written as a float WAV, reaches 32768: every clip of it would be called clipped. The whole
file tells, for a clip may be quiet. A recording that is a little or far over 1 is a loud one, and stays as it is.
"""

from dataclasses import dataclass

import numpy as np

from voicelathe.data.audio.decoding import BLOCK_FRAMES, Part, Reader

OF_INTEGERS = {32768.0: 16, 8388608.0: 24, 2147483648.0: 32}  # full scale, and the bits of the integers
LEAST_PEAK = 256.0  # 48 dB over full scale, where no recording is; of 16-bit integers, speech at -42 dBFS
OVER = 1.5  # that resampling and filters add to full scale
LOUD, LEAST_SHARE = 4.0, 0.1  # of the samples that are not 0: one damaged sample is no scale


@dataclass(frozen=True)
class Scaled:
    """A reader whose samples are divided by their full scale."""

    reader: Reader
    full_scale: float

    def read(self, start: int, num: int) -> Part:
        samples, stop = self.reader.read(start, num)
        return np.divide(samples, self.full_scale, dtype=np.float32), stop

    def close(self) -> None:
        self.reader.close()


def full_scale(reader: Reader) -> float:
    """1, or the full scale of the integers that the samples of a file were; costs one pass over it."""
    at, stop, peak, num_loud, num = 0, None, 0.0, 0, 0
    while stop is None:
        samples, stop = reader.read(at, BLOCK_FRAMES)
        at += len(samples)
        levels = np.abs(samples[np.isfinite(samples)])
        peak = max(peak, float(levels.max(initial=0.0)))
        num_loud += int(np.count_nonzero(levels > LOUD))
        num += int(np.count_nonzero(levels))
    if peak < LEAST_PEAK or num_loud < LEAST_SHARE * num:
        return 1.0
    return next((full for full in OF_INTEGERS if peak <= OVER * full), 1.0)
