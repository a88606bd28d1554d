"""How much memory does training take, without any? The trainer's own forward and backward on tensors that have sizes and no data.

Every tensor's storage is counted from the moment it is made to the moment autograd or Python lets it go, so activations, autocast's
copies, gradients and recomputation peak as they would on the card. CPU kernels stand in for CUDA's (flash attention keeps the same
tensors); what CUDA's own kernels need as workspace is not seen.
"""

import weakref
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from voicelathe import records
from voicelathe.train.allocator import Allocator

WEIGHTS, GRADIENTS, CASTS, ACTIVATIONS = "weights", "gradients", "casts", "activations"
HALF = (torch.bfloat16, torch.float16)


class Account(TorchDispatchMode):
    """Counts storages while they live, by kind; arithmetic and traffic of every operation; the peak since `begin`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.allocator = Allocator()
        self.kernels: Counter[tuple[int, int, bool]] = Counter()
        self._live: dict[int, tuple[int, str]] = {}
        self._now: Counter[str] = Counter()
        self._total = self._peak_total = 0
        self._peak: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Bytes that are there now."""
        return self._total

    def begin(self) -> None:
        """A phase starts: its peak is at least what is there now."""
        self._peak_total, self._peak = self._total, dict(self._now)

    def phase(self, name: str) -> records.Phase:
        """The peak since `begin`."""
        return records.Phase(name, *(self._peak.get(k, 0) for k in (WEIGHTS, GRADIENTS, CASTS, ACTIVATIONS)))

    def name(self, tensor: Tensor, kind: str) -> None:
        """Say what a tensor is."""
        key = tensor.untyped_storage()._cdata
        if key in self._live:
            size, before = self._live[key]
            self._now[before] -= size
            self._now[kind] += size
            self._live[key] = (size, kind)
        else:
            self._see(tensor, kind)

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        given = [one for one in tree_iter((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in tree_iter(result) if isinstance(one, Tensor)]
        for tensor in made:
            self._see(tensor, CASTS if self._is_cast(op, given) else ACTIVATIONS)
        if not op.is_view:
            self._count(op, args, kwargs or {}, result, given + made)
        return result

    def _see(self, tensor: Tensor, kind: str) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._live or not size:
            return
        self._live[key] = (size, kind)
        self._now[kind] += size
        self._total += size
        self.allocator.take(key, size)
        if self._total > self._peak_total:
            self._peak_total, self._peak = self._total, dict(self._now)
        weakref.finalize(storage, self._gone, key).atexit = False

    def _gone(self, key: int) -> None:
        size, kind = self._live.pop(key)
        self._now[kind] -= size
        self._total -= size
        self.allocator.give(key)

    def _is_cast(self, op: Any, given: list[Tensor]) -> bool:
        """Whether a weight is copied into another precision."""
        if op is not torch.ops.aten._to_copy.default or not given:
            return False
        return self._live.get(given[0].untyped_storage()._cdata, (0, ""))[1] == WEIGHTS

    def _count(self, op: Any, args: Any, kwargs: Any, result: Any, touched: list[Tensor]) -> None:
        formula = flop_registry.get(op._overloadpacket)
        flops = int(formula(*args, **kwargs, out_val=result)) if formula else 0
        traffic = sum(one.numel() * one.element_size() for one in touched)
        in_half = any(one.dtype in HALF for one in touched)
        self.kernels[flops, traffic, in_half] += 1


def without_data(core: nn.Module) -> FakeTensorMode:
    """Replace every parameter and buffer of a model on the meta device by one that only pretends to lie in memory; returns the mode."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    made: dict[int, Tensor] = {}  # tensors that several modules share stay shared
    with mode:
        for module in core.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    fresh = nn.Parameter(
                        torch.empty(parameter.shape, dtype=parameter.dtype), parameter.requires_grad
                    )
                    module._parameters[name] = made.setdefault(id(parameter), fresh)  # type: ignore[assignment]
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = made.setdefault(
                        id(buffer), torch.empty(buffer.shape, dtype=buffer.dtype)
                    )
    return mode


def faked(mode: FakeTensorMode, batch: Any) -> Any:
    """A dataclass of real tensors, nested ones included, with every tensor replaced by one without data; None stays None."""
    if batch is None:
        return None
    assert is_dataclass(batch) and not isinstance(batch, type)
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    found = {name: mode.from_tensor(one) for name, one in values.items() if isinstance(one, Tensor)}
    inner = {name: faked(mode, one) for name, one in values.items() if is_dataclass(one)}
    return replace(batch, **found, **inner)


def watch_gradients(account: Account, parameters: list[nn.Parameter], release: bool) -> None:
    """Gradients are counted as such; with `release` each is dropped at once, as the trainer then does."""

    def hook(parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        account.name(parameter.grad, GRADIENTS)
        if release:
            parameter.grad = None

    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
