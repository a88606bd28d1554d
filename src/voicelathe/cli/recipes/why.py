"""`voicelathe why`: what stands between a recipe and production?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Candidate, Recipe

if TYPE_CHECKING:
    from voicelathe.registry import gates


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("why")(why)


def why(recipe: Recipe, candidate: Candidate = None) -> None:
    """What stands between a recipe and production: its decision, every gate that says no, and what was refused before."""
    from voicelathe.registry.history import refusals
    from voicelathe.tracking import files

    found = files.read(recipe, Path()).selection
    chosen = f" {found.selected}" if found.selected else ""
    screen.say(f"{recipe}: the decision is {found.decision}{chosen}.")
    for reason in found.reasons:
        screen.say(f"  {reason}")
    asked = candidate or found.selected
    if asked is None:
        screen.say(
            f"No candidate was selected, so no gate was asked. Ask about one: voicelathe why {recipe} --candidate STEP"
        )
    else:
        _gates(recipe, asked)
    before = [
        one for one in refusals.read(Path()) if one.action == "promote" and one.what.split(" ")[0] == recipe
    ]
    if before:
        rows = [(one.at, one.action, one.by, one.refused.splitlines()[0]) for one in before]
        screen.table("refused before", ("at", "action", "by", "why"), rows)


def _gates(recipe: str, candidate: str) -> None:
    from voicelathe.registry import gates

    root = Path()
    case = gates.examine(recipe, root, gates.load_params(root), candidate)
    if not case.objections:
        screen.say(
            f"Nothing stands against {case.shown.candidate.name}. Promote it: {_promote(recipe, candidate, case)}"
        )
        return
    for one in case.objections:
        screen.say(f"  {one.gate}: {one.message}{'' if one.waivable else ' (no reason overrides this)'}")
    if all(one.waivable for one in case.objections):
        screen.say(
            f'A reason, on the record, overrides this: {_promote(recipe, candidate, case)} --because "the reason"'
        )


def _promote(recipe: str, candidate: str, case: gates.Case) -> str:
    named = "" if candidate == case.files.selection.selected else f" --candidate {candidate}"
    return f"voicelathe promote {recipe}{named}"
