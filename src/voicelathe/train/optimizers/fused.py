"""AdamW of bf16 weights with the other half of their masters (`bf16_split16`) and 8-bit moments: one kernel a parameter, written in Triton.

The plain way (blockwise) makes a master, calls bitsandbytes and splits the result: seven operations a piece and 58 bytes a value. Here every
number is read once and written once: 14 bytes (`fused_kernel`). Not verified on a card, so it proves itself on the card at hand before it is used
(`problem`). Triton is imported when a kernel is launched: where it is missing, a plan still counts the operation.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from bitsandbytes import functional
from torch import Tensor, nn

from voicelathe.errors import WorkerError
from voicelathe.train import precision
from voicelathe.train.optimizers.base import BLOCK

# No full last block; Triton makes another program where 16 divides the size.
PROOF_SIZES = 9 * BLOCK - 100, 9 * BLOCK - 96
PROOF_STEPS = 3
WARPS = 2
AT_THE_EDGE = 0.01  # of all codes may be next to the nearest: what lies in the middle falls to either side


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


def _launch(
    weight: Tensor, low: Tensor, gradient: Tensor, first: Tensor, second: Tensor, codes1: Tensor, codes2: Tensor, absmax1: Tensor, absmax2: Tensor,
    scale: float, keep: float, rate: float, root: float, beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    assert weight.is_contiguous() and low.is_contiguous() and gradient.is_contiguous()
    from voicelathe.train.optimizers import fused_kernel

    size = weight.numel()
    where: Any = torch.cuda.device_of(weight)  # type: ignore[no-untyped-call]
    with where:  # Triton launches on the current one
        fused_kernel.adamw_split16[(math.ceil(size / BLOCK),)](
            weight.view(torch.int16), low, gradient, first, second, codes1, codes2, absmax1, absmax2,
            size, scale, keep, rate, root, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps, BLOCK_SIZE=BLOCK, num_warps=WARPS,
        )  # fmt: skip


# One operation for whoever counts operations and bytes. Not by `custom_op`, whose wrappers cost the host ten times what the launch does.
LIBRARY: Any = torch.library.Library("voicelathe", "FRAGMENT")  # type: ignore[no-untyped-call]
LIBRARY.define(
    "adamw_split16(Tensor(a!) weight, Tensor(b!) low, Tensor gradient, Tensor(c!) first, Tensor(d!) second, Tensor codes1, Tensor codes2, "
    "Tensor(e!) absmax1, Tensor(f!) absmax2, float scale, float keep, float rate, float root, float beta1, float beta2, float eps) -> ()"
)
LIBRARY.impl("adamw_split16", _launch, "CompositeExplicitAutograd")
LIBRARY.impl("adamw_split16", lambda *_given: None, "Meta")


def update(weight: Tensor, gradient: Tensor, state: dict[str, Any], factors: Factors) -> None:
    """Update weights [N] (bf16), and `low`, moments and scales of their state, where they lie. `gradient` [N] (bf16 or fp32)."""
    torch.ops.voicelathe.adamw_split16(
        weight, state["low"].view(-1), gradient, state["state1"].view(-1), state["state2"].view(-1), state["qmap1"], state["qmap2"],
        state["absmax1"], state["absmax2"], factors.scale, factors.keep, factors.rate, factors.root, factors.beta1, factors.beta2, factors.eps,
    )  # fmt: skip


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, slowly, to try them (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def problem(device: torch.device, paged: bool) -> str | None:
    """Why the kernel is not used on a device: it does not compile there, or computes something else. None: it does what it should.

    Raises WorkerError where it left the device unusable, and torch's OutOfMemoryError.
    """
    try:
        with torch.no_grad():
            wrong = (_compared(size, device, paged) for size in PROOF_SIZES)
            return next((one for one in wrong if one), None)
    except torch.OutOfMemoryError:
        raise
    except Exception as failure:  # a compiler that is missing, a driver that is too old: the plain way works
        lines = [line.strip() for line in str(failure).splitlines() if line.strip()] or ["no message"]
        why = f"{type(failure).__name__}: {lines[-1][:200]}"
        _require_alive(device, why)
        return why


def _require_alive(device: torch.device, why: str) -> None:
    """A kernel that reads where it may not ends everything that this process has on the device."""
    try:
        torch.ones(1, device=device).sum().item()
    except RuntimeError:
        raise WorkerError(
            f"The update in one kernel broke {device} for this process ({why}). train.deterministic: true keeps bitsandbytes' kernels."
        ) from None


def _compared(size: int, device: torch.device, paged: bool) -> str | None:
    """A few steps from nothing, each beside the same in plain arithmetic from the state that the kernel had before."""
    coins = torch.Generator().manual_seed(0)
    weight, low = precision.split(torch.randn(size, generator=coins) * 0.02, torch.int16)
    weight, low = weight.to(device), low.to(device)
    state = _fresh(low, device, paged)
    config: dict[str, Any] = {"betas": (0.9, 0.95), "lr": 1e-3, "weight_decay": 0.1, "eps": 1e-8}
    for step in range(1, PROOF_STEPS + 1):
        gradient = (torch.randn(size, generator=coins) * 1e-3).to(device, torch.bfloat16)
        factors = Factors.of(config, step, 0.37)
        expected = plainly(weight, gradient, state, factors)
        update(weight, gradient, state, factors)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if wrong := _difference(weight, state, expected, config["lr"]):
            return f"step {step} of the proof with {size} values: {wrong}"
    return None


def _fresh(low: Tensor, device: torch.device, paged: bool) -> dict[str, Any]:
    state: dict[str, Any] = {"low": low}
    for place, signed in ((1, True), (2, False)):
        codes = torch.zeros(len(low), dtype=torch.uint8, device=device)
        if paged and device.type == "cuda":
            codes = functional.get_paged(len(low), dtype=torch.uint8, device=device)
            functional.fill(codes, 0)
        state[f"state{place}"] = codes
        state[f"qmap{place}"] = functional.create_dynamic_map(signed=signed).to(device)
        state[f"absmax{place}"] = torch.zeros(math.ceil(len(low) / BLOCK), device=device)
    return state


def plainly(
    weight: Tensor, gradient: Tensor, state: dict[str, Any], factors: Factors
) -> tuple[Tensor, Tensor, Tensor]:
    """Master and moments [N] (fp32) after the step, in plain arithmetic; nothing is changed."""
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


def largest(moment: Tensor) -> Tensor:
    """The largest magnitude of each block of a moment [N]: its scale."""
    return nn.functional.pad(moment, (0, -len(moment) % BLOCK)).view(-1, BLOCK).abs().amax(1)


def _difference(
    weight: Tensor, state: dict[str, Any], expected: tuple[Tensor, Tensor, Tensor], rate: float
) -> str | None:
    """What is further off than rounding explains: a master by a thousandth of a step, a scale by a hundred-thousandth, a code that is not the nearest."""
    master, *moments = expected
    off = float((precision.join(weight, state["low"]) - master).abs().max())
    if not off <= 1e-3 * rate:
        return f"a weight is off by {off:.3g} at a learning rate of {rate:g}"
    for place, moment in enumerate(moments, 1):
        scales = largest(moment)
        if not torch.allclose(state[f"absmax{place}"], scales, rtol=1e-5, atol=0.0):
            return f"the scales of moment {place} are not its largest values"
        shares = moment[:, None] / scales.repeat_interleave(BLOCK)[: len(moment), None]
        nearest = (shares - state[f"qmap{place}"]).abs().argmin(1)
        apart = (nearest - state[f"state{place}"].to(nearest.device)).abs()
        if int(apart.max()) > 1 or float((apart > 0).float().mean()) > AT_THE_EDGE:
            return f"moment {place} is up to {int(apart.max())} codes from the nearest ones, {int((apart > 0).sum())} of {len(moment)} values"
    return None
