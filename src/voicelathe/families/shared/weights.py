"""Weights of a directory into a loaded model. With torch; the parts that need none are in tensor_files."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from voicelathe.errors import CheckpointError


def copy_weights(
    directory: Path,
    weights: Mapping[str, Tensor],
    besides: str | tuple[str, ...] | None = None,
    file_name: str = "model.safetensors",
) -> None:
    """Copy a directory's weights tensor by tensor from a memory map; names that begin with (one of) `besides` are passed over.

    Raises CheckpointError when the other names are not exactly those of `weights`.
    """
    with safe_open(directory / file_name, framework="pt") as file, torch.no_grad():
        stored = {name for name in file.keys() if besides is None or not name.startswith(besides)}  # noqa: SIM118
        if wrong := sorted(stored ^ set(weights)):
            raise CheckpointError(
                f"{directory}/{file_name} does not fit the base: {wrong[:3]} ({len(wrong)} names differ)."
            )
        for name, parameter in weights.items():
            parameter.copy_(file.get_tensor(name))
