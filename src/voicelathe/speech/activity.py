"""Where is somebody speaking? Silero VAD's speech segments.

Silero VAD 6 (MIT) marks speech at a probability of 0.5 with pieces of 32 ms; it calls digital silence, white noise and hum no speech.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.errors import MetricUnavailable
from voicelathe.speech import RATE_HZ

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Segment:
    """A stretch of speech, in seconds from the start of the clip."""

    start_s: float
    end_s: float


def segments(samples: Samples) -> list[Segment]:
    """Stretches of speech in order; none for silence, noise, or a clip shorter than 32 ms.

    Raises MetricUnavailable without the extra `metrics`.
    """
    import torch

    model, timestamps = _model()
    if len(samples) < 512:  # one piece of 32 ms; the model refuses less
        return []
    with torch.inference_mode():
        found = timestamps(
            torch.from_numpy(np.ascontiguousarray(samples, np.float32)), model, sampling_rate=RATE_HZ
        )
    return [Segment(one["start"] / RATE_HZ, one["end"] / RATE_HZ) for one in found]


def speech_s(found: list[Segment]) -> float:
    """Seconds of speech."""
    return sum(one.end_s - one.start_s for one in found)


def only_speech(samples: Samples, found: list[Segment]) -> Samples:
    """The speech alone, its pauses cut out; empty when there is none."""
    pieces = [samples[round(one.start_s * RATE_HZ) : round(one.end_s * RATE_HZ)] for one in found]
    return np.concatenate(pieces) if pieces else samples[:0]


@cache
def _model() -> tuple[Any, Any]:
    try:
        import torch

        threads = torch.get_num_threads()
        import silero_vad

        torch.set_num_threads(threads)  # importing silero_vad sets one thread for the whole process
    except ImportError as problem:
        raise MetricUnavailable.of("silero-vad", problem) from None
    return silero_vad.load_silero_vad(), silero_vad.get_speech_timestamps
