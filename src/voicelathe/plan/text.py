"""A plan for people: one column a recipe."""

from collections.abc import Sequence

from voicelathe.plan.cards import GIB, MIB
from voicelathe.records import Plan

GIGA = 1e9
NOTE = (
    "All numbers are computed: counted on tensors without memory and set against the card's figures; nothing was run on a card.\n"
    "Time: the card's work at its full speed, or the host's time to ask for every operation (18 us each), whichever is longer. For the\n"
    "settings of a published run on an RTX 3090 Ti (recipes/voxcpm2-full-reference.yaml), which took 2.0 s a step, it gives 2.2 s."
)


def rows(plans: Sequence[Plan]) -> list[list[str]]:
    """Name and one cell a recipe, in GB; what is zero everywhere is left out."""
    found = [
        [name, *(f"{one.memory[name] / GIGA:.2f}" for one in plans)]
        for name in plans[0].memory
        if any(one.memory[name] for one in plans)
    ]
    found.append(["on the card (GB)", *(f"{one.total / GIGA:.2f}" for one in plans)])
    found.append(["on the card (MiB)", *(f"{one.total / MIB:,.0f}" for one in plans)])
    found.append(
        ["of the optimizer, may move to the host (GB)", *(f"{one.host / GIGA:.2f}" for one in plans)]
    )
    found.append(["worst in phase", *(one.worst for one in plans)])
    found.append(["fits", *("yes" if one.fits else "NO" for one in plans)])
    found.append(["longest pass that fits (s)", *(f"{one.longest_pass_s:,.0f}" for one in plans)])
    found.append(["disk, everything kept (GB)", *(f"{sum(one.disk.values()) / GIGA:.1f}" for one in plans)])
    found.append(["one step, about (s)", *(f"{one.step_s:.2f}" for one in plans)])
    found.append(["the run, about (h)", *(f"{one.hours:.1f}" for one in plans)])
    return found


def notes(plans: Sequence[Plan]) -> list[str]:
    """What was assumed, what would have to change, and what the disk is for."""
    lines = []
    for one in plans:
        lines += [f"{one.recipe}: {text}" for text in one.assumptions]
        lines += [
            f"{one.recipe}: disk {size / GIGA:.1f} GB for {name}" for name, size in one.disk.items() if size
        ]
        if one.remedy:
            over = (one.total - one.card_bytes) / GIGA
            lines.append(f"{one.recipe}: {over:.1f} GB too much for {one.card}. Change: {one.remedy}")
        if one.refused:
            lines.append(f"{one.recipe}: {one.refused}.")
    first = plans[0]
    return [*lines, f"card: {first.card}, {first.card_bytes / GIB:.1f} GiB; speed of {first.speed_of}", NOTE]
