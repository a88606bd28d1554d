"""Optimizers, one a file; the table is the only place that lists them.

An entry is known without torch, so the checks of params.yaml, the plan and triage ask it; building one imports what it needs.
"""

from importlib import import_module

from voicelathe.errors import RequestError
from voicelathe.train.optimizers.base import Optimizer

TABLE = {  # name in params.yaml -> the module whose OPTIMIZER implements it
    "adamw": "voicelathe.train.optimizers.adamw",
    "adamw8bit": "voicelathe.train.optimizers.adamw8bit",
    "paged_adamw8bit": "voicelathe.train.optimizers.paged_adamw8bit",
    "lion8bit": "voicelathe.train.optimizers.lion8bit",
}


def find(name: str) -> Optimizer:
    """The optimizer of that name. Raises RequestError with the names there are."""
    if name not in TABLE:
        raise RequestError(
            f"train.optimizer = {name!r}: no such optimizer. There are: {', '.join(sorted(TABLE))}."
        )
    found: Optimizer = import_module(TABLE[name]).OPTIMIZER
    return found


def leaner(name: str) -> str | None:
    """The optimizer with the same rule that takes least of the card, itself or another; None: none that updates bf16 weights."""
    rule = find(name).rule
    lean = [one for one in TABLE if find(one).rule == rule and find(one).footprint.scales_itself]
    return min(
        lean, key=lambda one: (not find(one).footprint.pages, find(one).footprint.bytes_a_value), default=None
    )


def paging() -> list[str]:
    """Optimizers whose moments the driver may move to the host."""
    return [name for name in TABLE if find(name).footprint.pages]


def resident() -> list[str]:
    """Optimizers that do the same as a paging one and keep their moments on the card."""
    rules = {(find(name).rule, find(name).footprint.bits) for name in paging()}
    return [
        name
        for name in TABLE
        if name not in paging() and (find(name).rule, find(name).footprint.bits) in rules
    ]


def of_fp32() -> list[str]:
    """Those whose moments stand each for itself, so that a parameter may be cut anywhere."""
    return [name for name in TABLE if find(name).footprint.bits == 32]


def of_bf16() -> list[str]:
    """Those that update bf16 weights, and take gradients one by one."""
    return [name for name in TABLE if find(name).footprint.scales_itself]
