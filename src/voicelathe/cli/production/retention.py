"""`voicelathe prune`: make room without losing what a decision rests on. Looking is the default; removing wants the plan's digest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.cli.names import sentence
from voicelathe.errors import RecordError

if TYPE_CHECKING:
    from voicelathe.registry.weights.retention import RetentionPlan

Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="Only this one; repeat it. Default: every finished recipe, and what is left of others.",
    ),
]
Because = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Why nobody needs to have listened; kept on record.", callback=sentence
    ),
]
Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="What `prune plan` printed.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(help="Make room: remove weights that nothing needs.", no_args_is_help=True)
    group.command("plan")(plan)
    group.command("apply")(apply)
    app.add_typer(group, name="prune")


def plan(recipes: Recipes = None, because: Because = None) -> None:
    """Show what would go, how many bytes, why that is safe, and what stays; changes nothing. Exit code 1 when something speaks against it."""
    from voicelathe.registry.weights import retention

    found = retention.plan(_finished(recipes), Path(), because, _folders(recipes))
    _show(found)
    for refusal in found.refusals:
        screen.say(f"Not yet: {refusal}")
    if found.refusals:
        raise typer.Exit(1)
    if found.doomed:
        more = "".join(f" --recipe {one}" for one in recipes or ()) + (' --because "..."' if because else "")
        screen.say(f"To remove it: voicelathe prune apply {found.digest}{more}")


def apply(digest: Digest, recipes: Recipes = None, because: Because = None) -> None:
    """Remove what the plan with this digest names, with the same options; refuses when the plan is another one by now."""
    from voicelathe.registry.weights import retention

    found = retention.apply(_finished(recipes), Path(), digest, because, _folders(recipes))
    screen.say(
        f"{len(found.doomed)} directories removed, {screen.size(found.bytes)} freed. Commit registry/pruned.jsonl: without it "
        "they would be reported as lost."
    )


def _show(found: RetentionPlan) -> None:
    rows = [(one.path, screen.size(one.bytes), one.why) for one in found.doomed]
    screen.table("would go", ("directory", "frees", "why it is safe"), rows)
    screen.table("stays", ("directory", "why"), list(found.kept.items()))
    free = shutil.disk_usage(Path()).free
    screen.say(f"Free now: {screen.size(free)}; after it: {screen.size(free + found.bytes)}.")


def _folders(recipes: list[str] | None) -> list[str]:
    """Whose runs that nothing names may go: of all that have weights here, also when params.yaml no longer knows them."""
    from voicelathe.registry.weights import forgotten

    return recipes or forgotten.folders(Path())


def _finished(recipes: list[str] | None) -> list[str]:
    from voicelathe.config import params

    known = params.load()
    for name in recipes or ():
        params.recipe(known, name)
    found = recipes or [one for one in known.recipes if layout.run(one, "selection.json").is_file()]
    if not found:
        raise RecordError(
            "No recipe has a runs/RECIPE/selection.json: nothing was judged yet. Run: dvc repro"
        )
    return list(found)
