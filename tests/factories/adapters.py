"""Adapters that fit the small base: random weights, so that every step sounds different."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save

from voicelathe import families
from voicelathe.config import params, schema
from voicelathe.train import adapters


def of_steps(base: Path, lora: schema.Lora) -> Callable[[int], bytes]:
    """step -> the file of an adapter as training would have left it."""
    family = families.find("voxcpm2")
    model = family.open_model(base, family.describe(base, "", True), schema.Machine("cpu", 1, 1))
    adapters.inject(model.core, lora, model.adapter_targets(lora.scope), seed=0)
    shapes = {name: tensor.shape for name, tensor in adapters.tensors(model.core).items()}

    def of(step: int) -> bytes:
        generator = torch.Generator().manual_seed(step)
        drawn = {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        return save(dict(model.save_adapter(drawn, lora)["lora_weights.safetensors"]))

    return of


def lora_of(recipe: str, root: Path) -> schema.Lora:
    found = params.load(root / "params.yaml").recipes[recipe].train.lora
    assert found is not None
    return found
