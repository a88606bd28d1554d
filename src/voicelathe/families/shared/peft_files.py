"""An adapter as peft's own pair of files, for families whose upstream has no format of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema

if TYPE_CHECKING:
    import torch

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."


def pair(
    tensors: "Mapping[str, torch.Tensor]",
    lora: schema.Lora,
    targets: str,
    base: str,
    fan_in_fan_out: bool = False,
) -> dict[str, Any]:
    """Both files. Names and the pattern of targets are those of the module that a user would wrap with peft."""
    config = {
        "peft_type": "LORA", "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "bias": "none",
        "target_modules": targets, "base_model_name_or_path": base,
    }  # fmt: skip
    if fan_in_fan_out:
        config["fan_in_fan_out"] = True
    return {WEIGHTS: {f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}, CONFIG: config}


def read(directory: Path) -> "dict[str, torch.Tensor]":
    """The names `pair` was given."""
    from safetensors.torch import load_file

    return {name.removeprefix(PREFIX): tensor for name, tensor in load_file(directory / WEIGHTS).items()}
