"""Which points do the training charts consist of? Steps and their timings in, one point per curve and step out.

A point's time is the start of the run plus the seconds of all steps up to it, so the live mirror and every replay
compute the same time, and MLflow drops a point that arrives twice (its key is name, step, time and value).
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voicelathe.records import StepRecord, StepTiming

SECTION = "train"  # MLflow sorts its sections by name, so losses come before norms and speed
GRADIENTS, SPEED = "train_gradients", "train_speed"


@dataclass(frozen=True)
class Point:
    """One value of one curve."""

    key: str
    value: float
    step: int
    at_ms: int


class Curves:
    """Collects the lines of both journals and gives out the points of every step once, in order."""

    def __init__(self, began_ms: int) -> None:
        self._began_ms = began_ms
        self._elapsed_s = 0.0
        self._steps: dict[int, StepRecord] = {}
        self._timings: dict[int, StepTiming] = {}

    def take(self, steps: Iterable[StepRecord], timings: Iterable[StepTiming]) -> None:
        self._steps.update((row.step, row) for row in steps)
        self._timings.update((row.step, row) for row in timings)

    def start_over(self) -> None:
        """The journals were cut back: forget everything, they are read again."""
        self._elapsed_s = 0.0
        self._steps.clear()
        self._timings.clear()

    def ready(self, final: bool) -> list[Point]:
        """Points of the steps whose timing is known. With `final` a missing timing is not waited for."""
        points: list[Point] = []
        newest = max(self._timings, default=0)
        for number in sorted(self._steps):
            if number > newest and not final:
                break
            timing = self._timings.pop(number, None)
            self._elapsed_s += timing.seconds if timing else 0.0
            at_ms = self._began_ms + round(1000 * self._elapsed_s)
            named = _values(self._steps.pop(number), timing)
            points += [Point(key, value, number, at_ms) for key, value in named if math.isfinite(value)]
        return points


def _values(step: StepRecord, timing: StepTiming | None) -> Iterator[tuple[str, float]]:
    yield f"{SECTION}/loss_total", step.total
    for name, value in sorted(step.losses.items()):
        yield f"{SECTION}/loss_{name}", value
    yield f"{GRADIENTS}/norm", step.grad_norm
    for part, value in sorted(step.part_norms.items()):
        yield f"{GRADIENTS}/norm_{part}", value
    for name, value in sorted(step.probe.items()):
        yield f"{SECTION}/probe_{name}", value
    yield f"{SECTION}/signs", float(len(step.signs))
    yield f"{SECTION}/lr", step.learning_rate
    if timing is not None:
        yield f"{SPEED}/clips_per_s", timing.clips_per_s


def batches(points: list[Point], size: int) -> Iterator[list[Point]]:
    """Pieces of at most `size` points that never divide a step, so that a step is in the store whole or not at all."""
    batch: list[Point] = []
    for _step, group in itertools.groupby(points, key=lambda point: point.step):
        step = list(group)
        if batch and len(batch) + len(step) > size:
            yield batch
            batch = []
        batch = [*batch, *step]
    if batch:
        yield batch
