"""What is a metric? A plug-in that measures clips, says which real clips set its limits, and runs in a process of its own.

A third party adds one with an entry point of the group `voicelathe.metrics` that names an instance; docs/metrics.md shows three.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from voicelathe.errors import VoiceLatheError
from voicelathe.records import Figure, MetricJob

RATE_HZ = 16_000

Samples = NDArray[np.float32]
Values = dict[str, float | None]  # figure -> value; None where it does not apply, which never vetoes


class NotApplicable(VoiceLatheError):
    """`measure` may raise it: these clips cannot be judged by this metric, and why."""


@dataclass(frozen=True)
class Clip:
    """A clip to measure: mono samples [frames] at RATE_HZ, full scale 1.0, what should be said, and in which language."""

    samples: Samples
    text: str
    language: str

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ


class Metric(Protocol):
    """One plug-in. `measure` may raise, hang or return nonsense: only its own figures are then missing."""

    name: str
    languages: (
        frozenset[str] | None
    )  # of the texts it can judge; None: any. Clips in others are not given to it
    needs_real: bool  # cannot say anything without real clips of the speaker
    figures: tuple[Figure, ...]

    def missing(self) -> str | None:
        """Why it cannot run here, as a sentence with a remedy; None when it can."""

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        """Figures of each clip. `real` are held-out recordings of the speaker; measured against them, a clip of `real` leaves itself out."""

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        """Lowest and highest value that is no veto, from the values of the real clips (at least two)."""


@runtime_checkable
class Configurable(Protocol):
    """A metric that wants to know more of the job than its clips, for example which recogniser is pinned."""

    def configure(self, job: MetricJob) -> None:
        """Called once, before everything else."""


@runtime_checkable
class Recognises(Protocol):
    """A metric that can say which words it heard."""

    def said(self) -> list[str | None]:
        """What was heard in the clips of the last `measure`; None where nothing was listened to."""
