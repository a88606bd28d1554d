"""Does a process hold the whole model, or its piece of it? The training loop asks one of two classes and need not know.

Pieces are PyTorch's `fully_shard` (FSDP2): of every parameter a process keeps some rows, with their gradients and moments. A layer is
put together while it computes, in forward and again in backward; what belongs to no layer (embeddings, heads, norms) is whole from
the beginning of a pass to its end. Gradients are added up over the processes whenever backward leaves a layer, in fp32.
Processes must find gradients for the same parameters in a pass, which holds as a family's losses use all that is trained whatever the clip.
The optimizer is given the own rows as tensors of their own, so that it, the norms and the states need not know either.
"""

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from voicelathe.config import schema
from voicelathe.families.base import FamilySpec, Model, TrainPlan
from voicelathe.families.shared import layers
from voicelathe.train.distributed import Peers

T = TypeVar("T")


@dataclass(frozen=True)
class Whole:
    """Every process has all of the model, and the first one saves it."""

    own: Mapping[str, nn.Parameter]
    peers: Peers

    @property
    def saves(self) -> bool:
        """Whether this process has something to do when the run is saved."""
        return self.peers.is_first

    @property
    def looks(self) -> bool:
        """Whether this process has to take part when the first one looks at the model."""
        return self.peers.is_first

    def run(self, function: Callable[..., T], *given: object) -> T:
        """A forward that backward follows."""
        return function(*given)

    def look(self, function: Callable[..., T], *given: object) -> T:
        """A forward that no backward follows."""
        return function(*given)

    def add_gradients(self) -> None:
        """Make the gradients of `own` those of the whole step."""
        self.peers.add_gradients(self.own.values())

    def norms(self, own: Mapping[str, float]) -> dict[str, float]:
        """The norms of whole gradients from those of `own`."""
        return dict(own)


@dataclass(frozen=True)
class Pieces:
    """This process's piece of a model. `own` are the trained rows that lie here; all processes save and look together."""

    core: Any
    own: Mapping[str, nn.Parameter]
    peers: Peers
    saves = looks = True

    def run(self, function: Callable[..., T], *given: object) -> T:
        """As `Whole.run`; inside, what belongs to no layer is whole."""
        result: T = getattr(self.core, layers.WHOLE)(lambda: function(*given))  # torch walks what it is given
        return result

    def look(self, function: Callable[..., T], *given: object) -> T:
        """As `run`; afterwards everything is in pieces again, which else backward sees to."""
        result = self.run(function, *given)
        self.core.reshard()
        return result

    def add_gradients(self) -> None:
        """They are added already: each process takes its rows, where it has any. A parameter that no pass used has none."""
        for name, parameter in self.core.named_parameters():
            if parameter.grad is not None:
                if self.own[name].numel():
                    self.own[name].grad = parameter.grad.to_local()
                parameter.grad = None

    def norms(self, own: Mapping[str, float]) -> dict[str, float]:
        """The same numbers in every process; 0 for a parameter without a gradient."""
        squares = [own.get(name, 0.0) ** 2 for name in self.own]
        added = self.peers.add(torch.tensor(squares, dtype=torch.float64))
        return dict(zip(self.own, map(math.sqrt, added.tolist()), strict=True))

    @contextmanager
    def whole_on_host(self) -> Iterator[None]:
        """Inside, in the first process, the model has whole parameters on the host. They come one by one: a card holds one of them at a time.

        All processes have to enter.
        """
        mine: dict[nn.Parameter, nn.Parameter] = {}
        for parameter in self.core.parameters():
            full = parameter.full_tensor().detach()
            if self.peers.is_first:
                mine[parameter] = nn.Parameter(full.to("cpu"), requires_grad=False)
            del full
        places = [
            (module._parameters, name, parameter)
            for module in self.core.modules()
            for name, parameter in module._parameters.items()
            if parameter in mine
        ]
        for held, name, parameter in places:
            held[name] = mine[parameter]
        try:
            yield
        finally:
            for held, name, parameter in places:
                held[name] = parameter


Held = Whole | Pieces


def held(model: Model, train: schema.Train, spec: FamilySpec, plan: TrainPlan, peers: Peers) -> Held:
    """Move a model to its device, or the piece of it that this process will keep."""
    if train.shard:
        apart = layers.listed(model.core, spec.layers)
        return cut(model.core, apart, plan.trainable, model.device.type, peers)
    model.core.to(model.device)
    return Whole(plan.trainable, peers)


def cut(
    core: nn.Module,
    whole: Sequence[nn.Module],
    trainable: Mapping[str, nn.Parameter],
    device: str,
    peers: Peers,
) -> Pieces:
    """Cut a model that lies on the host into pieces on the device. `whole`: the layers, each of which is put together as one.

    A card never holds more than its piece and one layer, or what belongs to none.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device, (peers.count,))
    for module, run in (*((layer, _run_layer) for layer in whole), (core, _run)):
        made: Any = fully_shard(module, mesh=mesh)
        made.set_gradient_divide_factor(1.0)  # sums, as where every process holds the whole model
        made.set_force_sum_reduction_for_comms(True)
        setattr(module, layers.WHOLE, types.MethodType(run, module))
        register_fsdp_forward_method(module, layers.WHOLE)
    rows: Mapping[str, Any] = dict(core.named_parameters())
    return Pieces(core, {name: nn.Parameter(rows[name].detach().to_local()) for name in trainable}, peers)


def _run_layer(layer: nn.Module, function: Callable[..., Any], *given: object) -> Any:
    return function(layer, *given)


def _run(_core: nn.Module, function: Callable[..., Any], *given: object) -> Any:
    return function(*given)
