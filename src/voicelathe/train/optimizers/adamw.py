"""AdamW with fp32 moments, torch's own (Loshchilov and Hutter, 2019)."""

from typing import TYPE_CHECKING

from voicelathe.train.optimizers.base import Built, Footprint, Optimizer

if TYPE_CHECKING:
    import torch


def build(given: Built) -> "torch.optim.Optimizer":
    """Torch's own; on a CUDA device its fused form, a few kernels for all tensors and no temporaries."""
    import torch

    rate, eps = given.train.learning_rate, given.train.eps
    return torch.optim.AdamW(given.groups, lr=rate, betas=given.betas, eps=eps, fused=given.on_card or None)


FOOTPRINT = Footprint(moments=2, bits=32, pages=False, scales_itself=False)
OPTIMIZER = Optimizer("AdamW", "two fp32 moments", FOOTPRINT, build)
