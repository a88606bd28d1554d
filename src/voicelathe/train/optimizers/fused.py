"""AdamW of bf16 weights with the other half of their masters (`bf16_split16`) and 8-bit moments: one kernel a parameter, written in Triton.

The plain way (blockwise) makes a master, calls bitsandbytes and splits the result: seven operations a piece and 58 bytes a value. Here every
number is read once and written once: 14 bytes. Moments are read and quantised by bitsandbytes' own functions for Triton, to the nearest code.
Not verified on a card, so it proves itself on the card at hand before it is used (`problem`).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from bitsandbytes import functional
from bitsandbytes.backends.triton.kernels_8bit_quant import (
    dequant_8bit_blockwise_kernel_util,
    quantize_8bit_blockwise_kernel_util,
)
from torch import Tensor

from voicelathe.train import precision
from voicelathe.train.optimizers.base import BLOCK

PROOF_VALUES = 9 * BLOCK - 100  # the last block is not full
PROOF_STEPS = 3


@dataclass(frozen=True)
class Factors:
    """What one step of one group multiplies by, worked out in double precision."""

    scale: float
    """Of every gradient."""
    keep: float
    """Of a weight before its update: decoupled decay."""
    rate: float
    """Learning rate, the bias of the first moment corrected."""
    root: float
    """Divides the root of the second moment: its own correction."""
    beta1: float
    beta2: float
    eps: float

    @classmethod
    def of(cls, config: dict[str, Any], step: int, scale: float) -> "Factors":
        """`config`: of bitsandbytes for one parameter; `step` counts from one."""
        beta1, beta2 = config["betas"]
        rate, decay = config["lr"], config["weight_decay"]
        root = math.sqrt(1.0 - beta2**step)
        return cls(scale, 1.0 - rate * decay, rate / (1.0 - beta1**step), root, beta1, beta2, config["eps"])


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(
    weight_ptr: Any, low_ptr: Any, gradient_ptr: Any, first_ptr: Any, second_ptr: Any, codes1_ptr: Any, codes2_ptr: Any, absmax1_ptr: Any,
    absmax2_ptr: Any, size: Any, scale: Any, keep: Any, rate: Any, root: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any, eps: Any,
    BLOCK_SIZE: tl.constexpr,
) -> None:  # fmt: skip
    """One block of 256 values: bits of bf16 weights and of their lower halves [N] (int16), gradients [N], codes [N] (uint8)."""
    block = tl.program_id(0)
    places = block * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    inside = places < size
    upper = tl.load(weight_ptr + places, mask=inside, other=0).to(tl.int32)
    lower = tl.load(low_ptr + places, mask=inside, other=0).to(tl.int32)
    master = ((upper << 16) + lower).to(tl.float32, bitcast=True)
    gradient = tl.load(gradient_ptr + places, mask=inside, other=0.0).to(tl.float32) * scale
    first = dequant_8bit_blockwise_kernel_util(first_ptr, places, codes1_ptr, absmax1_ptr, inside, BLOCK_SIZE)
    second = dequant_8bit_blockwise_kernel_util(
        second_ptr, places, codes2_ptr, absmax2_ptr, inside, BLOCK_SIZE
    )
    first = tl.where(inside, first * beta1 + rest1 * gradient, 0.0)
    second = tl.where(inside, second * beta2 + rest2 * gradient * gradient, 0.0)
    master = master * keep - rate * (first / (tl.sqrt(second) / root + eps))
    bits = master.to(tl.int32, bitcast=True)
    tl.store(low_ptr + places, bits.to(tl.int16), mask=inside)
    tl.store(weight_ptr + places, ((bits + 0x8000) >> 16).to(tl.int16), mask=inside)
    own = block + tl.arange(0, 1)
    codes, absmax = quantize_8bit_blockwise_kernel_util(first, codes1_ptr, 256, BLOCK_SIZE, 1)
    tl.store(first_ptr + places, codes, mask=inside)
    tl.store(absmax1_ptr + own, absmax)
    codes, absmax = quantize_8bit_blockwise_kernel_util(second, codes2_ptr, 256, BLOCK_SIZE, 1)
    tl.store(second_ptr + places, codes, mask=inside)
    tl.store(absmax2_ptr + own, absmax)


@torch.library.custom_op(
    "voicelathe::adamw_split16",
    mutates_args=("weight", "low", "first", "second", "absmax1", "absmax2"),
)
def _update(
    weight: Tensor, low: Tensor, gradient: Tensor, first: Tensor, second: Tensor, codes1: Tensor, codes2: Tensor, absmax1: Tensor, absmax2: Tensor,
    scale: float, keep: float, rate: float, root: float, beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """One operation for whoever counts operations and bytes."""
    assert weight.is_contiguous() and low.is_contiguous() and gradient.is_contiguous()
    size = weight.numel()
    assert size < 2**31, "places are 32-bit"
    _kernel[(triton.cdiv(size, BLOCK),)](
        weight.view(torch.int16), low, gradient, first, second, codes1, codes2, absmax1, absmax2,
        size, scale, keep, rate, root, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps, BLOCK_SIZE=BLOCK, num_warps=2,
    )  # fmt: skip


@_update.register_fake
def _(*_given: Any) -> None:
    return None


def update(weight: Tensor, gradient: Tensor, state: dict[str, Any], factors: Factors) -> None:
    """Update weights [N] (bf16), and `low`, moments and scales of their state, where they lie. `gradient` [N] (bf16 or fp32)."""
    _update(
        weight, state["low"].view(-1), gradient, state["state1"].view(-1), state["state2"].view(-1), state["qmap1"], state["qmap2"],
        state["absmax1"], state["absmax2"], factors.scale, factors.keep, factors.rate, factors.root, factors.beta1, factors.beta2, factors.eps,
    )  # fmt: skip


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, slowly, to try them (TRITON_INTERPRET=1)."""
    return bool(triton.knobs.runtime.interpret)


def problem(device: torch.device, paged: bool) -> str | None:
    """Why the kernel is not used on a device: it does not compile there, or computes something else. None: it does what it should."""
    try:
        with torch.no_grad():
            return _compared(device, paged)
    except (
        Exception
    ) as failure:  # a compiler that is missing, a driver that is too old: whatever it is, the plain way works
        return f"{type(failure).__name__}: {(str(failure).strip().splitlines() or ['no message'])[0][:200]}"


def _compared(device: torch.device, paged: bool) -> str | None:
    """A few steps from nothing, each beside the same in plain arithmetic from the state that the kernel had before."""
    coins = torch.Generator().manual_seed(0)
    weight, low = precision.split(torch.randn(PROOF_VALUES, generator=coins) * 0.02, torch.int16)
    weight, low = weight.to(device), low.to(device)
    state = _fresh(low, device, paged)
    config: dict[str, Any] = {"betas": (0.9, 0.95), "lr": 1e-3, "weight_decay": 0.1, "eps": 1e-8}
    for step in range(1, PROOF_STEPS + 1):
        gradient = (torch.randn(PROOF_VALUES, generator=coins) * 1e-3).to(device, torch.bfloat16)
        factors = Factors.of(config, step, 0.37)
        expected = _plainly(weight, gradient, state, factors)
        update(weight, gradient, state, factors)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if wrong := _difference(weight, state, expected, config["lr"]):
            return f"step {step} of the proof: {wrong}"
    return None


def _fresh(low: Tensor, device: torch.device, paged: bool) -> dict[str, Any]:
    state: dict[str, Any] = {"low": low}
    for place, signed in ((1, True), (2, False)):
        codes = torch.zeros(PROOF_VALUES, dtype=torch.uint8, device=device)
        if paged and device.type == "cuda":
            codes = functional.get_paged(PROOF_VALUES, dtype=torch.uint8, device=device)
            functional.fill(codes, 0)
        state[f"state{place}"] = codes
        state[f"qmap{place}"] = functional.create_dynamic_map(signed=signed).to(device)
        state[f"absmax{place}"] = torch.zeros(math.ceil(PROOF_VALUES / BLOCK), device=device)
    return state


def _plainly(
    weight: Tensor, gradient: Tensor, state: dict[str, Any], factors: Factors
) -> tuple[Tensor, Tensor, Tensor]:
    """Master and moments [N] (fp32) after the step."""
    given = gradient.float() * factors.scale
    first = _moment(state, 1) * factors.beta1 + (1.0 - factors.beta1) * given
    second = _moment(state, 2) * factors.beta2 + (1.0 - factors.beta2) * given * given
    master = precision.join(weight, state["low"]) * factors.keep
    return master - factors.rate * (first / (second.sqrt() / factors.root + factors.eps)), first, second


def _moment(state: dict[str, Any], place: int) -> Tensor:
    """A moment [N] as its codes and scales have it."""
    codes, scales = state[f"state{place}"].to(state[f"absmax{place}"].device), state[f"absmax{place}"]
    values: Tensor = state[f"qmap{place}"][codes.long()] * scales.repeat_interleave(BLOCK)[: len(codes)]
    return values


def _difference(
    weight: Tensor, state: dict[str, Any], expected: tuple[Tensor, Tensor, Tensor], rate: float
) -> str | None:
    """What is further off than rounding explains: a master by a thousandth of a step, a moment by a code's distance."""
    master, *moments = expected
    off = float((precision.join(weight, state["low"]) - master).abs().max())
    if not off <= 1e-3 * rate:
        return f"a weight is off by {off:.3g} at a learning rate of {rate:g}"
    for place, moment in enumerate(moments, 1):
        codes, scales = state[f"qmap{place}"], state[f"absmax{place}"].repeat_interleave(BLOCK)[: len(moment)]
        nearest = (moment[:, None] / scales[:, None] - codes).abs().argmin(1)
        apart = int((nearest - state[f"state{place}"].to(nearest.device)).abs().max())
        if apart > 1:
            return f"moment {place} is {apart} codes from the nearest one"
    return None
