"""bf16 weights that lose no update: the bits that are missing to a master, or rounding that is right on average.

A bf16 number is the upper half of an fp32 number. So an fp32 master is a bf16 weight, which the model computes with, and the 16
bits between them, which only the optimizer reads; with 8 of those bits it is a 24-bit master. Rounding is to nearest (halves away
from zero), so the weight is as close to its master as bf16 allows and the difference fits a signed integer.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from voicelathe import rng

Weights = Literal["fp32", "bf16", "bf16_split16", "bf16_split8", "bf16_stochastic"]
LOW_DTYPES = {"bf16_split16": torch.int16, "bf16_split8": torch.int8}


def narrow(core: nn.Module, weights: Weights, trainable: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Turn parameters into bf16 in place; returns the low bits of those masters that have any (a bf16 base has none).

    Buffers stay as they are: rope tables in bf16 are off by up to 0.002. With `bf16`, whose base is frozen, what trains stays fp32.
    """
    lows: dict[str, Tensor] = {}
    if weights == "fp32":
        return lows
    for name, parameter in core.named_parameters():
        if weights == "bf16" and name in trainable:
            continue
        if weights in LOW_DTYPES and name in trainable and parameter.dtype != torch.bfloat16:
            parameter.data, low = split(parameter.data, LOW_DTYPES[weights])
            if low.count_nonzero():
                lows[name] = low
        else:
            parameter.data = parameter.data.to(torch.bfloat16)
    return lows


def split(
    master: Tensor, low_dtype: torch.dtype, coins: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """fp32 master -> (bf16 weight, low bits). Exact with int16; int8 first rounds the master to 24 bits.

    With `coins` that rounding is stochastic: a norm's weight near 1 would otherwise lose every update below 1.5e-5.
    """
    weight, low = torch.empty_like(master, dtype=torch.bfloat16), torch.empty_like(master, dtype=low_dtype)
    split_into(master.reshape(-1), weight.view(-1), low.view(-1), coins)
    return weight, low


def split_into(master: Tensor, weight: Tensor, low: Tensor, coins: torch.Generator | None) -> None:
    """The same into memory that is there. The halves of a number are read where they lie (little-endian), without arithmetic."""
    bits = master.view(torch.int32)
    if low.dtype == torch.int8:
        bits = bits + (0x80 if coins is None else _tosses(bits, 8, coins))
        low.copy_(bits.view(torch.int8)[1::4])
    else:
        low.copy_(bits.view(torch.int16)[0::2])
    weight.copy_(_upper_half(bits + 0x8000))


def join(weight: Tensor, low: Tensor) -> Tensor:
    """(bf16 weight, low bits) -> fp32 master: undoes `split`."""
    bits = weight.float().view(torch.int32)
    return bits.add_(low, alpha=1 if low.dtype == torch.int16 else 256).view(torch.float32)


def round_stochastically(master: Tensor, coins: torch.Generator) -> Tensor:
    """fp32 -> bf16, up or down with probabilities that make the expectation the master itself."""
    bits = master.view(torch.int32)
    return _upper_half(bits + _tosses(bits, 16, coins))


def _upper_half(bits: Tensor) -> Tensor:
    """The bf16 numbers in the upper halves of 32 bits, as a view of them; one dimension."""
    return bits.view(torch.int16)[1::2].view(torch.bfloat16)


def _tosses(bits: Tensor, num_bits: int, coins: torch.Generator) -> Tensor:
    """Random integers of so many bits, one for each number."""
    return torch.randint(0, 1 << num_bits, bits.shape, dtype=torch.int32, device=bits.device, generator=coins)


def rounding_generator(device: torch.device, seed: int, step: int, name: str) -> torch.Generator:
    """The coin tosses of one parameter at one step: nothing to remember over a resume."""
    return torch.Generator(device).manual_seed(rng.key(seed, "rounding", step, name))
