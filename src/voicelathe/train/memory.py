"""What a run keeps on the device for each trained parameter: weights, gradients, moments; built, clipped, saved and restored bit by bit."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from voicelathe.config import schema
from voicelathe.errors import CheckpointError
from voicelathe.train import optimizers
from voicelathe.train.optimizers.base import Built, Piecewise


def optimizer(
    train: schema.Train,
    core: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    lows: Mapping[str, Tensor],
    seed: int,
    on_card: bool | None = None,
) -> torch.optim.Optimizer:
    """The optimizer of `train.optimizer`. `lows` come from precision.narrow; `on_card` None: where the parameters lie.

    Weight decay falls on the weights of linear layers. Biases and norms are left alone, and so are embeddings and tokens that are
    added to the input: decay would shrink the rows of words that the data does not contain.
    """
    weights_of_linear = {id(module.weight) for module in core.modules() if isinstance(module, nn.Linear)}
    linear = {name for name, parameter in core.named_parameters() if id(parameter) in weights_of_linear}
    decayed = [p for name, p in parameters.items() if name in linear]
    others = [p for name, p in parameters.items() if name not in linear]
    groups = [
        {"params": members, "weight_decay": decay}
        for members, decay in ((decayed, train.weight_decay), (others, 0.0))
        if members
    ]
    weights = "fp32" if train.mode == "lora" else train.weights  # an adapter is fp32 over any base
    names = {parameter: name for name, parameter in parameters.items()}
    if on_card is None:
        on_card = all(parameter.device.type == "cuda" for parameter in names)
    return optimizers.find(train.optimizer).build(Built(groups, names, lows, train, weights, seed, on_card))


def prepare(optimizer: torch.optim.Optimizer, step: int, learning_rate: float) -> None:
    """Tell the optimizer which step comes; before backward, because released gradients are used there."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    if isinstance(optimizer, Piecewise):
        optimizer.number = step


def gradient_norms(parameters: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """The L2 norm of each gradient, summed in fp32 whatever the gradient's own precision, in one transfer from the device."""
    graded = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    if not graded:
        return {}
    return dict(zip(graded, norms_of(list(graded.values())).double().tolist(), strict=True))


def norms_of(gradients: list[Tensor]) -> Tensor:
    """The norms where the gradients lie; nothing waits for them yet."""
    return torch.stack(torch._foreach_norm(gradients, 2, dtype=torch.float32))


def released_norms(norms: Mapping[str, Tensor]) -> dict[str, float]:
    """What `release_gradients` collected, in one transfer from the device."""
    return dict(zip(norms, torch.cat(list(norms.values())).double().tolist(), strict=True)) if norms else {}


def global_norm(norms: Mapping[str, float]) -> float:
    """The norm of all those gradients as one vector, whatever their order."""
    return math.sqrt(math.fsum(value * value for value in norms.values()))


def clip(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], norm: float, limit: float
) -> None:
    """Scale all gradients so that their global norm is at most `limit`: in place, or inside the update for bf16 gradients."""
    scale = min(1.0, limit / (norm + 1e-6))  # torch's clip_grad_norm_
    if isinstance(optimizer, Piecewise) and optimizer.scales_itself:
        optimizer.gradient_scale = scale
    elif scale < 1.0:
        graded = [parameter.grad for parameter in parameters.values() if parameter.grad is not None]
        torch._foreach_mul_(graded, scale)


def release_gradients(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """From now on backward updates each parameter and frees its gradient. Returns a dict that each backward fills with norms.

    They stay where the gradients were: to look at one would make the host wait inside backward. So a gradient that is not finite
    is used, in memory only: the caller sees it in the norm and stops, and nothing is saved.
    """
    assert isinstance(optimizer, Piecewise)
    norms: dict[str, Tensor] = {}

    def hook(parameter: nn.Parameter, name: str) -> None:
        assert parameter.grad is not None
        norms[name] = norms_of([parameter.grad])
        optimizer.take(parameter)

    for name, parameter in parameters.items():
        parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
            lambda p, name=name: hook(p, name)
        )
    return norms


def state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Every number the optimizer remembers, as `parameter::key`; plain ints become 0-dim int64 tensors."""
    flat: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.int64)
            flat[f"{name}::{key}"] = tensor.detach().to("cpu", copy=True).contiguous()
    return flat


def restore(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], flat: Mapping[str, Tensor]
) -> None:
    """Undo `state`. On CUDA, moments that bitsandbytes pages are paged again. Raises CheckpointError for other parameters' state."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for flat_name, tensor in flat.items():
        name, key = flat_name.split("::")
        grouped.setdefault(name, {})[key] = tensor
    if unknown := sorted(set(grouped) - set(parameters)):
        raise CheckpointError(
            f"The saved optimizer state is of other parameters ({unknown[:2]}, {len(unknown)} in all). Set the run aside: voicelathe retrain RECIPE"
        )
    for name, entries in grouped.items():
        optimizer.state[parameters[name]] = {
            key: _place(optimizer, parameters[name], key, t) for key, t in entries.items()
        }


def _place(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, key: str, tensor: Tensor) -> Any:
    if isinstance(optimizer, Piecewise):
        return optimizer.restored(parameter, key, tensor)
    # torch counts steps in a tensor on the host, wherever the parameter lies; a fused update reads them on the device
    on_host = key == "step" and not optimizer.defaults.get("fused")
    return tensor.clone() if on_host else tensor.to(parameter.device, copy=True)
