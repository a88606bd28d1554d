"""How much memory does training take, without any? The trainer's own forward and backward on tensors that have sizes and no data.

Every tensor's storage is counted from the moment it is made to the moment autograd or Python lets it go, so activations, autocast's
copies, gradients and recomputation peak as they would on the card. CPU kernels stand in for CUDA's (flash attention keeps the same
tensors). Of the workspaces of CUDA's own kernels only flash attention's is counted: it is as large as all activations that
recomputation leaves.
"""

import math
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
WORKSPACE = "workspace"  # what a CUDA kernel takes for itself and a CPU kernel does not
KINDS = (WEIGHTS, GRADIENTS, CASTS, ACTIVATIONS, WORKSPACE)
HALF = (torch.bfloat16, torch.float16)
QUESTIONS = ("prim", "profiler")  # asking a tensor for its device arrives here as an operation, too
aten = torch.ops.aten
WITHOUT_WORK = (
    aten._unsafe_view,
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten._local_scalar_dense,
)
FLASH_BACKWARD = (
    aten._scaled_dot_product_flash_attention_for_cpu_backward,
    aten._scaled_dot_product_flash_attention_backward,
)
WRITES_ONLY = (aten.copy_, aten.fill_, aten.zero_)
SECTOR = 32  # bytes: the least that a GPU reads or writes of its memory


class Account(TorchDispatchMode):
    """Counts storages while they live, by kind; arithmetic and traffic of every operation; the peak since `begin`.

    `on_card`: with what CUDA's kernels take for themselves.
    """

    def __init__(self, on_card: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._on_card = on_card
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

    @property
    def peak(self) -> int:
        """The most bytes that were there at once since `begin`."""
        return self._peak_total

    def begin(self) -> None:
        """A phase starts: its peak is at least what is there now."""
        self._peak_total, self._peak = self._total, dict(self._now)

    def phase(self, name: str) -> records.Phase:
        """The peak since `begin`."""
        return records.Phase(name, *(self._peak.get(kind, 0) for kind in KINDS))

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
        workspace = (
            flash_workspace(*args[1:3]) if self._on_card and op.overloadpacket in FLASH_BACKWARD else 0
        )
        given = [one for one in tree_iter((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in tree_iter(result) if isinstance(one, Tensor)]
        for tensor in made:
            self._see(tensor, CASTS if self._is_cast(op, given) else ACTIVATIONS)
        if workspace:
            self._lend(workspace)
        if not op.is_view and op.namespace not in QUESTIONS and op.overloadpacket not in WITHOUT_WORK:
            self._count(op, args, kwargs or {}, result, given + made, 2 * workspace)
        return result

    def _lend(self, size: int) -> None:
        """A kernel takes memory for as long as it runs."""
        self.allocator.take(-1, size)
        if self._total + size > self._peak_total:
            self._peak_total, self._peak = self._total + size, {**self._now, WORKSPACE: size}
        self.allocator.give(-1)

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

    def _count(self, op: Any, args: Any, kwargs: Any, result: Any, touched: list[Tensor], more: int) -> None:
        formula = flop_registry.get(op._overloadpacket)
        flops = int(formula(*args, **kwargs, out_val=result)) if formula else 0
        if op.overloadpacket in WRITES_ONLY:
            touched = touched[:-1]  # what it returns is what it was given
        traffic = more + sum(map(traffic_of, touched)) + sum(map(traffic_of, _overwritten(op, args)))
        in_half = any(one.dtype in HALF for one in touched)
        self.kernels[flops, traffic, in_half] += 1


def traffic_of(tensor: Tensor) -> int:
    """Bytes that cross the memory bus when a kernel reads or writes a tensor once: repeated values once, gaps as far as a sector spans them."""
    steps = [step for size, step in zip(tensor.shape, tensor.stride(), strict=True) if size > 1 and step]
    values = math.prod(size for size, step in zip(tensor.shape, tensor.stride(), strict=True) if step)
    return values * min(min(steps, default=1) * tensor.element_size(), max(SECTOR, tensor.element_size()))


def flash_workspace(query: Tensor, key: Tensor) -> int:
    """Bytes that PyTorch's flash backward takes on CUDA beside its results: queries and heads are rounded up, however short they are.

    An fp32 sum of query gradients, a row sum, and, where heads share keys, one gradient of key and value for each head (mha_bwd of
    aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp). `query` and `key` are [batch, heads, positions, width].
    """
    if query.dtype not in HALF:
        return 0  # fp32 goes to another kernel
    batch, heads, positions, width = query.shape
    rounded = 128 * -(-positions // 128)
    sums = 4 * batch * heads * rounded * (32 * -(-width // 32) + 1)
    apart = 2 * batch * heads * key.shape[2] * width * key.element_size() if key.shape[1] != heads else 0
    return sums + apart


def _overwritten(op: Any, args: Any) -> list[Tensor]:
    """Of what an operation is given, what it also writes and does not return; bitsandbytes says so of gradients, which it only reads."""
    schema = op._schema
    if schema.returns:
        return []
    named = zip(schema.arguments, args, strict=False)
    written = [value for taken, value in named if taken.is_write and taken.name not in ("g", "grads")]
    return [one for one in tree_iter(written) if isinstance(one, Tensor)]


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
