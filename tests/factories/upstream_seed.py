"""VoxCPM's generation as it is after 2.0.3: it takes a seed, and reseeds itself at random when it gets none."""

from collections.abc import Callable, Iterator
from typing import Any

import torch


def reseeding(generate: Callable[..., Iterator[Any]], got: list[int | None]) -> Callable[..., Iterator[Any]]:
    def _generate(self: Any, *given: Any, seed: int | None = None, **named: Any) -> Iterator[Any]:
        got.append(seed)
        torch.manual_seed(torch.seed() if seed is None else seed)
        yield from generate(self, *given, **named)

    return _generate
