"""Which parameters of a model move, the same for every family: its tables say which groups there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from voicelathe.families.base import TrainPlan


def targets(scopes: Mapping[str, str], chosen: Sequence[str]) -> str:
    """One regular expression over whole module names; bare names of linears would also hit other parts of a model."""
    return "|".join(f"(?:{scopes[one]})" for one in chosen)


def plan(
    core: Any, mode: str, parts: Mapping[str, tuple[str, ...]], still: tuple[str, ...] = ()
) -> TrainPlan:
    """Adapters alone, or everything whose name does not begin with one of `still`; freezes the rest.

    `parts`: name of a part -> how the names of its parameters begin.
    """
    named = dict(core.named_parameters())
    moves = {
        name: parameter
        for name, parameter in named.items()
        if ("lora_" in name if mode == "lora" else not name.startswith(still))
    }
    for name, parameter in named.items():
        parameter.requires_grad_(name in moves)
    found = {part: [name for name in moves if name.startswith(starts)] for part, starts in parts.items()}
    unnamed = set(moves) - {name for names in found.values() for name in names}
    assert not unnamed, f"parameters outside every part: {sorted(unnamed)[:3]}"
    return TrainPlan(moves, {part: names for part, names in found.items() if names})
