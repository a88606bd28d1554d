"""What is known of an optimizer before it is built, and what some can do that torch's own cannot. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

BLOCK = 256  # values of an 8-bit moment that share one fp32 scale (bitsandbytes)
EIGHT_BIT_FROM = 4096  # values; smaller parameters keep fp32 moments (bitsandbytes)
PAGED_FROM = 100_000  # values; bitsandbytes pages no smaller moment


@dataclass(frozen=True)
class Footprint:
    """What an optimizer takes beside weights and gradients."""

    moments: int
    """Numbers that it remembers for each trained value."""
    bits: int
    """Of one of these numbers: 32, or 8 with a scale for each block."""
    pages: bool
    """Whether the driver may move the moments to the host when the card is full."""
    scales_itself: bool
    """It updates bf16 weights, with or without a master, scales gradients inside the update, and can take one parameter alone."""

    @property
    def bytes_a_value(self) -> float:
        """Of the moments of a large parameter."""
        return self.moments * (4.0 if self.bits == 32 else 1.0 + 4.0 / BLOCK)

    def kept(self, values: int) -> int:
        """Bytes of the moments of a parameter with so many values."""
        if self.bits == 32 or values < EIGHT_BIT_FROM:
            return 4 * self.moments * values
        return self.moments * (values + 4 * -(-values // BLOCK))

    def paged(self, values: int) -> int:
        """Bytes of these that may move to the host."""
        return self.moments * values if self.pages and values >= PAGED_FROM else 0


@dataclass(frozen=True)
class Built:
    """All that an optimizer is made of."""

    groups: Sequence[dict[str, Any]]
    names: Mapping["nn.Parameter", str]
    lows: Mapping[str, "Tensor"]
    """Low bits of masters that have any, by parameter."""
    train: schema.Train
    weights: str
    """Of what is trained: an adapter is fp32 over any base."""
    seed: int
    on_card: bool
    """Whether the parameters lie on a CUDA device, or are to be counted as if they did."""

    @property
    def betas(self) -> tuple[float, float]:
        return self.train.beta1, self.train.beta2


@dataclass(frozen=True)
class Optimizer:
    """One row of the table."""

    rule: str
    """Its update rule: optimizers of one rule want the same learning rate."""
    says: str
    """What it keeps, for people."""
    footprint: Footprint
    build: Callable[[Built], "torch.optim.Optimizer"]


class Piecewise(ABC):
    """An optimizer that scales gradients itself, tosses coins for each step and can update one parameter alone.

    Torch's own do none of this: for them the gradients are scaled where they lie, and all parameters are updated together.
    """

    number: int
    """The optimizer step, which keys stochastic rounding."""
    gradient_scale: float
    """Multiplies every gradient inside the update; obeyed where `scales_itself`."""
    notice: str | None
    """What it cannot do on this machine, for people."""

    @property
    @abstractmethod
    def scales_itself(self) -> bool:
        """Whether `gradient_scale` is obeyed."""

    @property
    @abstractmethod
    def is_fused(self) -> bool:
        """Whether one kernel updates a parameter. All processes of a run must do it alike, or their weights part."""

    @abstractmethod
    def use_plain_kernels(self) -> None:
        """From now on bitsandbytes' own: because another process of the run is not `is_fused`, or to count them."""

    @abstractmethod
    def take(self, parameter: "nn.Parameter") -> None:
        """Update one parameter now and free its gradient: a hook of backward."""

    @abstractmethod
    def restored(self, parameter: "nn.Parameter", key: str, tensor: "Tensor") -> Any:
        """An entry of its state, read from a file, as it lay before."""
