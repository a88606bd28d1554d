"""How a file's weights come into a model, and why a model that is built to be filled draws none of its own. With torch.

Upstream's classes draw every parameter at random when they are built, which for two billion of them takes longer than reading the file.
Inside `without_weights` parameters have shapes and no memory, and `fill` gives them memory and values at once: what a file did not
bring cannot be mistaken for a weight. Buffers are computed as always, so rotary tables and the like need no file.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils import swap_tensors

from voicelathe.errors import CheckpointError


@contextmanager
def without_weights() -> Iterator[None]:
    """Parameters of modules that are built inside lie on the meta device, and to initialise them does nothing."""

    def emptied(_module: nn.Module, _name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if parameter.is_meta:
            return None  # one that two modules share stays one
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    handle = register_module_parameter_registration_hook(emptied)  # type: ignore[arg-type]
    try:
        with torch.no_grad():  # weight norm computes from its parameters at once; nothing may hold on to them
            yield
    finally:
        handle.remove()


def copy_weights(
    directory: Path,
    weights: Mapping[str, Tensor],
    besides: str | tuple[str, ...] | None = None,
    file_name: str = "model.safetensors",
    keep_bf16: bool = False,
) -> None:
    """Copy a directory's weights tensor by tensor from a memory map; names that begin with (one of) `besides` are passed over.

    Raises CheckpointError when the other names are not exactly those of `weights`, or a shape differs.
    """
    with safe_open(directory / file_name, framework="pt") as file:
        stored = {name for name in file.keys() if besides is None or not name.startswith(besides)}  # noqa: SIM118
        fill(weights, stored, file.get_tensor, directory / file_name, keep_bf16)


def fill(
    weights: Mapping[str, Tensor],
    stored: Collection[str],
    read: Callable[[str], Tensor],
    source: Path,
    keep_bf16: bool = False,
) -> None:
    """Give each of `weights` what `source` has under its name, in the type that the model has it in or, with `keep_bf16`, as bf16 if it is.

    One on the meta device gets memory of its own: the file may change or vanish later, and the address of a number in it is aligned as
    the file is, which decides the last digits of a product. Raises CheckpointError naming what is missing, unknown or of another shape.
    """
    missing, unknown = sorted(set(weights) - set(stored)), sorted(set(stored) - set(weights))
    if missing or unknown:
        raise CheckpointError(
            f"{source} does not fit the model: {len(missing)} tensors missing {missing[:3]}, {len(unknown)} unknown {unknown[:3]}."
        )
    with torch.no_grad():
        for name, tensor in weights.items():
            found = read(name)
            if found.shape != tensor.shape:
                raise CheckpointError(
                    f"{source}: {name} has shape {tuple(found.shape)}, the model needs {tuple(tensor.shape)}."
                )
            if not tensor.is_meta:
                tensor.copy_(found)
                continue
            dtype = found.dtype if keep_bf16 and found.dtype == torch.bfloat16 else tensor.dtype
            real = torch.empty(tensor.shape, dtype=dtype).copy_(found)
            made = nn.Parameter(real, requires_grad=tensor.requires_grad)
            swap_tensors(tensor, made)  # type: ignore[no-untyped-call]
