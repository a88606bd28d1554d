"""AdamW with fp32 moments, torch's own (Loshchilov and Hutter, 2019)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from voicelathe.train.optimizers.base import Built, Footprint, Optimizer

if TYPE_CHECKING:
    import torch
    from torch import nn


def build(given: Built) -> "torch.optim.Optimizer":
    """Torch's own."""
    import torch

    return torch.optim.AdamW(
        given.groups, lr=given.train.learning_rate, betas=given.betas, eps=given.train.eps
    )


def temporaries(trainable: Mapping[str, "nn.Parameter"], _weights: str) -> int:
    """On a CUDA device torch chooses the form that works on all tensors together; its first step makes the moments, too."""
    import torch

    torch.optim.AdamW(list(trainable.values()), foreach=True).step()
    return sum(FOOTPRINT.kept(parameter.numel()) for parameter in trainable.values())


FOOTPRINT = Footprint(moments=2, bits=32, pages=False, scales_itself=False, temporaries=temporaries)
OPTIMIZER = Optimizer("AdamW", "two fp32 moments", FOOTPRINT, build)
