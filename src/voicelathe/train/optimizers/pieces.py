"""An update piece by piece: how large a piece is, and what one takes for as long as it exists."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

PIECE = (
    1 << 24
)  # values whose master exists at a time: 64 MB of it and 64 MB of gradient; a multiple of the kernels' block


def temporaries(trainable: Mapping[str, "nn.Parameter"], weights: str) -> int:
    """A piece of the largest parameter as an fp32 master, its gradient, and what becomes of both."""
    if weights == "fp32":
        return 0  # the kernels work in place
    import torch

    from voicelathe.train import precision

    largest = max(trainable.values(), key=lambda parameter: parameter.numel())
    weight = largest.detach().reshape(-1)[:PIECE]
    coins = torch.Generator()
    low_dtype = precision.LOW_DTYPES.get(weights)
    low = None if low_dtype is None else torch.empty(weight.shape, dtype=low_dtype)
    master = weight.float() if low is None else precision.join(weight, low)
    gradient = weight.float()
    if low is None:
        _keep(precision.round_stochastically(master, coins), gradient)
    else:
        _keep(*precision.split(master, low.dtype, coins), gradient)
    return 0


def _keep(*_tensors: "Tensor") -> None:
    """Arguments live as long as the call."""
