"""`voicelathe why`: what stands between a recipe and production?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Candidate, Recipe

if TYPE_CHECKING:
    from voicelathe.registry import gates, promoted


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("why")(why)


def why(recipe: Recipe, candidate: Candidate = None) -> None:
    """What stands between a recipe and production: its decision, what is there now, every gate that says no, and what was refused before."""
    from voicelathe.registry.history import refusals
    from voicelathe.tracking import files

    found = files.read(recipe, Path()).selection
    chosen = f" {found.selected}" if found.selected else ""
    screen.say(f"{recipe}: the decision is {found.decision}{chosen}.")
    for reason in found.reasons:
        screen.say(f"  {reason}")
    standing = _standing()
    asked = candidate or found.selected
    if asked is None:
        screen.say(
            f"No candidate was selected, so no gate was asked. Ask about one: voicelathe why {recipe} --candidate STEP"
        )
    else:
        _gates(recipe, asked, standing)
    before = [
        one for one in refusals.read(Path()) if one.action == "promote" and one.what.split(" ")[0] == recipe
    ]
    if before:
        rows = [(one.at, one.action, one.by, one.refused.splitlines()[0]) for one in before]
        screen.table("refused before", ("at", "action", "by", "why"), rows)


def _standing() -> promoted.Status | None:
    """Where the alias stands; None when MLflow does not answer, which keeps nobody from asking the gates."""
    from voicelathe.errors import TrackingError
    from voicelathe.registry import promoted

    try:
        found = promoted.status(Path())
    except TrackingError as problem:
        screen.say(f"What is in production could not be asked: {problem}")
        return None
    if found.problem:
        screen.say(found.problem)
    elif found.promotion:
        now = found.promotion
        screen.say(f"In production is version {now.version}, {now.recipe} {now.candidate}.")
    else:
        screen.say("Nothing is in production.")
    return found


def _gates(recipe: str, candidate: str, standing: promoted.Status | None) -> None:
    from voicelathe.registry import gates, promoted

    root = Path()
    case = gates.examine(recipe, root, gates.load_params(root), candidate)
    now = standing.promotion if standing and standing.state == "in production" else None
    for one in case.objections:
        screen.say(f"  {one.gate}: {one.message}{'' if one.waivable else ' (no reason overrides this)'}")
    if now and promoted.is_same(now, case):
        screen.say(f"{case.shown.candidate.name} is in production already, as version {now.version}.")
        return
    if not all(one.waivable for one in case.objections):
        return
    foreign = standing.alias if standing and standing.state in promoted.FOREIGN else None
    reason = ' --because "the reason"' if case.objections or foreign else ""
    advice = f"{_promote(recipe, candidate, case)}{f' --take-over {foreign}' if foreign else ''}{reason}"
    if case.objections:
        screen.say(f"A reason, on the record, overrides this: {advice}")
    else:
        screen.say(f"Nothing stands against {case.shown.candidate.name}. Promote it: {advice}")


def _promote(recipe: str, candidate: str, case: gates.Case) -> str:
    named = "" if candidate == case.files.selection.selected else f" --candidate {candidate}"
    return f"voicelathe promote {recipe}{named}"
