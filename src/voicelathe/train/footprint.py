"""What the optimizer and the files of a run weigh, from the sizes of what is trained. Tests compare it with real state and files."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from voicelathe.config import schema
from voicelathe.train import precision

BLOCK, EIGHT_BIT_FROM, PAGED_FROM = 256, 4096, 100_000  # bitsandbytes: values a scale, and the two thresholds
PIECE = 1 << 24  # parameters whose master exists at a time (adamw8bit.PIECE)


@dataclass(frozen=True)
class State:
    """Bytes that the optimizer keeps."""

    masters: int
    moments: int
    paged: int  # of the moments


def state(train: schema.Train, trainable: Mapping[str, nn.Parameter]) -> State:
    """What the optimizer keeps after its first step."""
    low = precision.LOW_DTYPES.get(train.weights) if train.mode == "full" else None
    masters = sum(p.numel() for p in trainable.values()) * (low.itemsize if low else 0)
    if train.optimizer == "adamw":
        return State(masters, sum(8 * p.numel() for p in trainable.values()), 0)
    sizes = [p.numel() for p in trainable.values()]
    scales = sum(2 * 4 * -(-size // BLOCK) for size in sizes if size >= EIGHT_BIT_FROM)
    eight_bit = sum(2 * size for size in sizes if size >= EIGHT_BIT_FROM)
    fp32 = sum(8 * size for size in sizes if size < EIGHT_BIT_FROM)
    paged = sum(2 * size for size in sizes if size >= PAGED_FROM)
    return State(masters, eight_bit + scales + fp32, paged if train.optimizer == "paged_adamw8bit" else 0)


def update_traffic(trainable: Mapping[str, nn.Parameter], kept: State) -> int:
    """Bytes that norm and update read and write: weights, masters and moments twice, gradients twice."""
    weights = sum(p.numel() * p.element_size() for p in trainable.values())
    return 2 * weights + 2 * weights + 2 * (kept.masters + kept.moments)


def update(train: schema.Train, trainable: Mapping[str, nn.Parameter], optimizer_weights: str) -> None:
    """Make the temporaries of one update, for whoever counts them; parameters must have gradients."""
    if train.optimizer == "adamw":
        # On a CUDA device torch chooses the form that works on all tensors together.
        torch.optim.AdamW(list(trainable.values()), foreach=True).step()
        return
    if optimizer_weights == "fp32":
        return  # the kernels work in place
    largest = max(trainable.values(), key=lambda p: p.numel())
    weight = largest.detach().reshape(-1)[:PIECE]
    coins = torch.Generator()
    low_dtype = precision.LOW_DTYPES.get(train.weights)
    low = None if low_dtype is None else torch.empty(weight.shape, dtype=low_dtype)
    master = weight.float() if low is None else precision.join(weight, low)
    gradient = weight.float()
    if low is None:
        _keep(precision.round_stochastically(master, coins), gradient)
    else:
        _keep(*precision.split(master, low.dtype, coins), gradient)


def _keep(*_tensors: Tensor) -> None:
    """Arguments live as long as the call."""


def checkpoint_bytes(train: schema.Train, core: nn.Module, trainable: Mapping[str, nn.Parameter]) -> int:
    """Weights of one numbered checkpoint: the adapter in fp32, or the whole model in bf16; other files are links."""
    if train.mode == "lora":
        return 4 * sum(p.numel() for p in trainable.values())
    return 2 * sum(p.numel() for p in core.parameters())


def state_files(trainable: Mapping[str, nn.Parameter], kept: State) -> int:
    """One resume state: what is trained as it lies on the device, and all the optimizer keeps."""
    return sum(p.numel() * p.element_size() for p in trainable.values()) + kept.masters + kept.moments
