"""LoRA adapters through peft: inject, read, write, scale. The only importer of peft."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from voicelathe import rng
from voicelathe.config import schema
from voicelathe.errors import CheckpointError

NAME = "default"


def inject(core: nn.Module, lora: schema.Lora, targets: str, seed: int, in_fp32: bool = False) -> list[str]:
    """Add adapters in place to every linear whose full name matches; returns those names.

    They are of the type of the linear, or fp32 whatever that is, for training. B starts at zero, so an untrained adapter changes nothing.
    A is drawn from the seed, per module, not from global state.
    Raises CheckpointError when the pattern fits no linear.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    found = {name: module for name, module in core.named_modules() if re.fullmatch(targets, name)}
    wanted = [name for name, module in found.items() if isinstance(module, nn.Linear | Conv1D)]
    if not wanted:
        raise CheckpointError(
            f"No linear of {type(core).__name__} matches {targets!r}: the base is not what its family expects."
        )
    transposed = isinstance(found[wanted[0]], Conv1D)  # GPT-2 keeps its weights the other way round
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, fan_in_fan_out=transposed
    )  # fmt: skip
    inject_adapter_in_model(config, core, adapter_name=NAME)
    adapted = [name for name, _ in _layers(core)]
    assert adapted == wanted, (adapted, wanted)
    for name, layer in _layers(core):
        if in_fp32:
            layer.lora_A[NAME].float()
            layer.lora_B[NAME].float()
        weight = layer.lora_A[NAME].weight
        generator = torch.Generator().manual_seed(rng.key(seed, "lora_A", name))
        bound = (
            1.0 / weight.shape[1]
        ) ** 0.5  # kaiming_uniform with a = sqrt(5), peft's and upstream's start
        with torch.no_grad():
            weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))
            layer.lora_B[NAME].weight.zero_()
    return adapted


def leave_casts_to_autocast(core: nn.Module, train: schema.Train) -> None:
    """For training only: peft makes bf16 inputs fp32 and autocast makes them bf16 again, two kernels a layer for the same bits.

    Where nothing is autocast, or dropout rounds what it keeps in the precision it is given, everything stays as it is.
    """
    in_bf16 = train.autocast or train.weights != "fp32"
    for _, layer in _layers(core) if in_bf16 and train.lora is not None and not train.lora.dropout else ():
        layer.cast_input_dtype_enabled = False


def tensors(core: nn.Module) -> dict[str, Tensor]:
    """The adapter's weights by name, `X.lora_A.weight` and `X.lora_B.weight`, as fp32 on the CPU."""
    return {
        name.replace(f".{NAME}.", "."): parameter.detach().to("cpu", torch.float32).contiguous()
        for name, parameter in core.named_parameters()
        if ".lora_" in name
    }


def load(core: nn.Module, stored: Mapping[str, Tensor]) -> None:
    """Replace the whole adapter. Raises CheckpointError on any missing or unknown name, so that nothing stale survives."""
    own = {
        name.replace(f".{NAME}.", "."): parameter
        for name, parameter in core.named_parameters()
        if ".lora_" in name
    }
    if set(own) != set(stored):
        missing, unknown = sorted(set(own) - set(stored)), sorted(set(stored) - set(own))
        raise CheckpointError(
            f"The adapter does not fit: {len(missing)} weights missing {missing[:2]}, {len(unknown)} unknown {unknown[:2]}."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])


def set_scale(core: nn.Module, scale: float) -> None:
    """LoRA scale of every adapter: 0 is exactly the base, 1 is as trained (peft's set_scale is absolute)."""
    for _, layer in _layers(core):
        layer.set_scale(NAME, scale)


def scaled(stored: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The same adapter, so that LoRA scale 1 is what `scale` was."""
    return {name: one * scale if ".lora_B." in name else one for name, one in stored.items()}


def merge(core: nn.Module) -> None:
    """Add every adapter at its present LoRA scale to the weights below it, and put the plain linears back."""
    for name, layer in _layers(core):
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(core.get_submodule(parent), leaf, layer.get_base_layer())


@contextmanager
def disabled(core: nn.Module) -> "Iterator[None]":
    """Without any adapter arithmetic: the base's own layers, whatever the LoRA scale is."""
    layers = [layer for _, layer in _layers(core)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def shifts(core: nn.Module, forward: Callable[[], object], scales: Sequence[float]) -> list[list[float]]:
    """How far each adapted layer, given what it gets in the base, moves its output: one row a layer, one rms share a LoRA scale.

    The layers' own forward is called. Afterwards every adapter is at the last LoRA scale. Layers that are not reached have no row.
    """
    rows: dict[str, list[float]] = {}

    def measure(name: str, layer: Any) -> Callable[..., None]:
        def after(_module: nn.Module, given: Any, named: Any, plain: Tensor) -> None:
            layer.enable_adapters(True)
            found = []
            for scale in scales:
                layer.set_scale(NAME, scale)
                moved = layer.forward(*given, **named)
                found.append(float((moved - plain).double().norm() / plain.double().norm().clamp_min(1e-30)))
            layer.enable_adapters(False)
            rows[name] = [max(one) for one in zip(rows.get(name, found), found, strict=True)]

        return after

    hooks = [
        layer.register_forward_hook(measure(name, layer), with_kwargs=True) for name, layer in _layers(core)
    ]
    try:
        with disabled(core):
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return list(rows.values())


def _layers(core: nn.Module) -> list[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in core.named_modules() if isinstance(module, LoraLayer)]
