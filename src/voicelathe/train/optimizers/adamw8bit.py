"""AdamW with 8-bit moments (Dettmers et al., 2022), for fp32 weights and for bf16 weights with a master."""

from typing import TYPE_CHECKING

from voicelathe.train.optimizers.base import Built, Footprint, Optimizer

if TYPE_CHECKING:
    import torch

KERNEL = "adam"  # bitsandbytes' name; its decay is decoupled


def build(given: Built) -> "torch.optim.Optimizer":
    """Moments stay on the card."""
    from voicelathe.train.optimizers import blockwise

    return blockwise.of_two_moments(KERNEL, given, paged=False)


FOOTPRINT = Footprint(moments=2, bits=8, pages=False, scales_itself=True)
OPTIMIZER = Optimizer("AdamW", "two 8-bit moments", FOOTPRINT, build)
