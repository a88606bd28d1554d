"""Lion with an 8-bit moment (Chen et al., 2023): each step is the sign of a momentum, so it wants a learning rate three to ten times smaller."""

from typing import TYPE_CHECKING

from voicelathe.train.optimizers.base import Built, Footprint, Optimizer

if TYPE_CHECKING:
    import torch


def build(given: Built) -> "torch.optim.Optimizer":
    """`eps` is not used: nothing is divided."""
    from voicelathe.train.optimizers import blockwise

    return blockwise.of_one_moment("lion", given, paged=False)


FOOTPRINT = Footprint(moments=1, bits=8, pages=False, scales_itself=True)
OPTIMIZER = Optimizer("Lion", "one 8-bit moment", FOOTPRINT, build)
