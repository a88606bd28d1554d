"""The optimizer and its state: which one, what decays, and how its state is read and written bit by bit.

The only importer of bitsandbytes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from voicelathe import settings
from voicelathe.errors import CheckpointError

BETAS, EPSILON = (0.9, 0.999), 1e-8


def optimizer(train: settings.Train, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW (fp32 state) or bitsandbytes' 8-bit AdamW, whose state is paged to host memory under pressure on CUDA.

    Weight decay falls on matrices only; biases, norms and tokens that are added to the input are left alone.
    """
    groups = [
        {
            "params": [p for p in parameters.values() if p.ndim >= 2 and min(p.shape[-2:]) > 1],
            "weight_decay": train.weight_decay,
        },
        {
            "params": [p for p in parameters.values() if not (p.ndim >= 2 and min(p.shape[-2:]) > 1)],
            "weight_decay": 0.0,
        },
    ]
    groups = [group for group in groups if group["params"]]
    if train.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=train.learning_rate, betas=BETAS, eps=EPSILON)
    import bitsandbytes

    made: torch.optim.Optimizer = bitsandbytes.optim.PagedAdamW8bit(
        groups, lr=train.learning_rate, betas=BETAS, eps=EPSILON
    )
    return made


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


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
    """Undo `state`. On CUDA, state that bitsandbytes pages is paged again: `load_state_dict` would leave it resident.

    Raises CheckpointError when the state belongs to other parameters.
    """
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


def _place(optimizer: Any, parameter: nn.Parameter, key: str, tensor: Tensor) -> Any:
    from_bitsandbytes = hasattr(optimizer, "page_mng")
    if key == "step":
        return (
            int(tensor) if from_bitsandbytes else tensor.clone()
        )  # bitsandbytes counts in an int, torch in a CPU tensor
    if (
        from_bitsandbytes
        and optimizer.is_paged
        and parameter.device.type == "cuda"
        and key in ("state1", "state2")
        and parameter.numel() >= 1e5
    ):
        import bitsandbytes

        paged = bitsandbytes.functional.get_paged(*tensor.shape, dtype=tensor.dtype, device=parameter.device)
        paged.copy_(tensor)
        optimizer.page_mng.paged_tensors.append(paged)
        assert paged.is_paged
        return paged
    return tensor.to(parameter.device, copy=True)
