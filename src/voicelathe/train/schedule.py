"""How large is an optimizer step? The learning rate as a function of the step alone."""

import math
from collections.abc import Callable, Mapping

from voicelathe.config import schema


def learning_rate(step: int, train: schema.Train) -> float:
    """Of a 1-based step: linear warm-up to the peak, then the shape that `train.schedule` names."""
    if step <= train.warmup_steps:
        return train.learning_rate * step / train.warmup_steps
    return train.learning_rate * SHAPES[train.schedule](step, train)


def _constant(_step: int, _train: schema.Train) -> float:
    return 1.0


def _linear(step: int, train: schema.Train) -> float:
    return 1.0 - _done(step, train)


def _cosine(step: int, train: schema.Train) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * _done(step, train)))


def _stable_then_decay(step: int, train: schema.Train) -> float:
    assert train.decay_steps is not None
    return min(1.0, (train.steps - step) / train.decay_steps)


def _done(step: int, train: schema.Train) -> float:
    """The share of the steps after the warm-up that are over with this one."""
    return min(1.0, (step - train.warmup_steps) / max(1, train.steps - train.warmup_steps))


Shape = Callable[[int, schema.Train], float]
SHAPES: Mapping[str, Shape] = {  # share of the peak after the warm-up; names of schema.Train.schedule
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "warmup_stable_decay": _stable_then_decay,
}
