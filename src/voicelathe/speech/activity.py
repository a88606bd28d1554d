"""Where is somebody speaking? Silero VAD's speech segments.

Silero VAD 6 (MIT) marks speech at a probability of 0.5 with pieces of 32 ms; it calls digital silence, white noise and hum no speech.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.errors import MetricUnavailable
from voicelathe.speech import RATE_HZ

Samples = NDArray[np.float32]

PIECE = 512  # 32 ms, what the model hears at once


@dataclass(frozen=True)
class Segment:
    """A stretch of speech, in seconds from the start of the clip."""

    start_s: float
    end_s: float


def missing() -> str | None:
    """Why nothing can be measured, with the remedy; None when it can."""
    return (
        None if find_spec("silero_vad") else "silero-vad is not installed: pip install 'voicelathe[metrics]'"
    )


def segments(samples: Samples) -> list[Segment]:
    """Stretches of speech in order; none for silence, noise, or a clip shorter than 32 ms.

    Raises MetricUnavailable without the extra `metrics`.
    """
    import torch

    model, timestamps = _model()
    if len(samples) < PIECE:  # the model refuses less
        return []
    with torch.inference_mode():
        found = timestamps(_tensor(samples), model, sampling_rate=RATE_HZ)
    return [Segment(one["start"] / RATE_HZ, one["end"] / RATE_HZ) for one in found]


def segments_of_each(clips: Sequence[Samples]) -> list[list[Segment]]:
    """What `segments` gives for each clip, some five times faster: the model sees all clips at once, padded to the longest.

    Give it clips of about one length; memory is that of the longest times their number.
    """
    import torch

    model, timestamps = _model()
    heard = [clip for clip in clips if len(clip) >= PIECE]
    if not heard:
        return [[] for _ in clips]
    length = -(-max(map(len, heard)) // PIECE) * PIECE
    padded = torch.zeros(len(heard), length)
    for at, clip in enumerate(heard):
        padded[at, : len(clip)] = _tensor(clip)
    with torch.inference_mode():
        model.reset_states()
        pieces = [model(padded[:, at : at + PIECE], RATE_HZ)[:, 0] for at in range(0, length, PIECE)]
        found = iter(
            [
                timestamps(clip, _Known(row), sampling_rate=RATE_HZ)
                for clip, row in zip(map(_tensor, heard), torch.stack(pieces, 1), strict=True)
            ]
        )
        model.reset_states()
    return [
        [Segment(one["start"] / RATE_HZ, one["end"] / RATE_HZ) for one in next(found)]
        if len(clip) >= PIECE
        else []
        for clip in clips
    ]


def segments_of_stream(blocks: Iterable[Samples]) -> list[Segment]:
    """What `segments` gives for all blocks together, which are never in memory at once."""
    import torch

    model, timestamps = _model()
    found: list[Any] = []
    rest, total = np.zeros(0, np.float32), 0
    with torch.inference_mode():
        model.reset_states()
        for block in blocks:
            total += len(block)
            rest = np.concatenate([rest, block])
            whole = len(rest) // PIECE * PIECE
            found += [model(_tensor(rest[at : at + PIECE]), RATE_HZ).item() for at in range(0, whole, PIECE)]
            rest = rest[whole:]
        if len(rest):
            found.append(model(_tensor(np.pad(rest, (0, PIECE - len(rest)))), RATE_HZ).item())
        model.reset_states()
        if total < PIECE:
            return []
        length = torch.zeros(1).expand(total)  # only its length is looked at
        stamps = timestamps(length, _Known(torch.tensor(found)), sampling_rate=RATE_HZ)
    return [Segment(one["start"] / RATE_HZ, one["end"] / RATE_HZ) for one in stamps]


class _Known:
    """Stands in for the model where its probabilities are known, piece by piece."""

    def __init__(self, probabilities: Any) -> None:
        self._next = iter(probabilities)

    def reset_states(self) -> None:
        pass

    def __call__(self, _piece: Any, _rate_hz: int) -> Any:
        return next(self._next)


def speech_s(found: list[Segment]) -> float:
    """Seconds of speech."""
    return sum(one.end_s - one.start_s for one in found)


def only_speech(samples: Samples, found: list[Segment]) -> Samples:
    """The speech alone, its pauses cut out; empty when there is none."""
    pieces = [samples[round(one.start_s * RATE_HZ) : round(one.end_s * RATE_HZ)] for one in found]
    return np.concatenate(pieces) if pieces else samples[:0]


def _tensor(samples: Samples) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(samples, np.float32))


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
