"""What does one of several processes hold that share a model, and what do they send each other? Bytes, from the shapes of the parameters alone.

`fully_shard` cuts every parameter along its first dimension into equal parts and fills the last ones up. A layer is whole while it computes;
beside it lie the buffer that it came in, because the next gather may begin before that is free, and the next layer, which is fetched
meanwhile. Of gradients, those of one layer are whole, and once more as the buffer that leaves. What belongs to no layer is whole throughout.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from voicelathe import records

LAYERS_WHOLE, GRADIENTS_WHOLE = (
    3,
    2,
)  # copies of the largest layer, and of its gradients, at one moment: an upper bound


def rows(tensor: Tensor, count: int) -> int:
    """Values of a tensor in one of so many pieces."""
    if count == 1 or tensor.ndim == 0:
        return tensor.numel()
    return -(-tensor.shape[0] // count) * math.prod(tensor.shape[1:])


@dataclass(frozen=True)
class Shared:
    """Bytes of a model of which each of `count` processes keeps a piece."""

    count: int
    kept: int  # parameters, in one piece
    moving: int  # of these, those that are trained
    buffers: int  # whole everywhere
    apart: int  # parameters that belong to no layer, whole
    layer: int  # the largest layer, whole
    tensor: int  # the largest parameter, whole
    layers: int  # all layers, whole

    def phase(self, whole: records.Phase, first: bool) -> records.Phase:
        """A phase of the training of the whole model, as one process sees it. `first`: no gradients lie there from a pass before."""
        lying = 0 if first else self.moving
        weights = self.kept + self.buffers + self.apart + LAYERS_WHOLE * self.layer
        if whole.name.startswith("forward"):
            return replace(whole, weights=weights, gradients=lying)
        if whole.name.startswith("backward"):
            in_flight = max(self.apart + GRADIENTS_WHOLE * self.layer, GRADIENTS_WHOLE * self.apart)
            return replace(whole, weights=weights, gradients=self.moving + in_flight)
        temporary = -(-whole.activations // self.count)
        weights = self.kept + self.buffers
        return replace(whole, weights=weights, gradients=self.moving, activations=temporary)

    @property
    def saving(self) -> records.Phase:
        """Parameters are put together one by one and go to the host; each comes in a buffer of its own size."""
        return records.Phase("save", self.kept + self.buffers + 2 * self.tensor, 0, 0, 0)

    def sent(self, passes: int) -> int:
        """Bytes that one process sends in a step, and receives: all parameters for forward, layers again for backward, all gradients back."""
        a_pass = 3 * self.layers + 2 * self.apart
        return passes * a_pass * (self.count - 1) // self.count


def of(core: nn.Module, layers: Sequence[nn.Module], count: int) -> Shared:
    """Sizes of a model, which may lie nowhere."""
    inside = [sum(map(_bytes, layer.parameters())) for layer in layers]
    everything = list(core.parameters())
    return Shared(
        count=count,
        kept=sum(rows(p, count) * p.element_size() for p in everything),
        moving=sum(rows(p, count) * p.element_size() for p in everything if p.requires_grad),
        buffers=sum(map(_bytes, core.buffers())),
        apart=sum(map(_bytes, everything)) - sum(inside),
        layer=max(inside, default=0),
        tensor=max(map(_bytes, everything)),
        layers=sum(inside),
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
