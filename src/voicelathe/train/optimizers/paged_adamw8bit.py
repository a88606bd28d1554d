"""The same as adamw8bit, with moments in memory that the driver moves to the host when the card is full (Dettmers et al., 2023)."""

from dataclasses import replace
from typing import TYPE_CHECKING

from voicelathe.train.optimizers import adamw8bit
from voicelathe.train.optimizers.base import Built, Optimizer

if TYPE_CHECKING:
    import torch


def build(given: Built) -> "torch.optim.Optimizer":
    """On a CPU nothing is paged, and the bits are those of adamw8bit."""
    from voicelathe.train.optimizers import blockwise

    return blockwise.of_two_moments(adamw8bit.KERNEL, given, paged=True)


FOOTPRINT = replace(adamw8bit.FOOTPRINT, pages=True)
OPTIMIZER = Optimizer("AdamW", "two 8-bit moments that may move to the host", FOOTPRINT, build)
