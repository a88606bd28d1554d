"""`voicelathe compare`: LoRA or full fine-tune, and which recipe; from what finished recipes showed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.errors import ParamsError

Recipes = Annotated[
    list[str] | None, typer.Argument(metavar="[RECIPE]...", help="Finished recipes; by default all of them.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The page to write.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("compare")(compare)


def compare(recipes: Recipes = None, out: Out = layout.COMPARISON) -> None:
    """Say from evidence whether the adapter is the bottleneck, and write one page over all recipes."""
    from voicelathe import digest
    from voicelathe.config import params
    from voicelathe.evaluate.compare import comparing, page

    settings = params.load()
    names = recipes or [name for name in settings.recipes if layout.run(name, "selection.json").is_file()]
    for name in names:
        params.recipe(settings, name)
    if not names:
        raise ParamsError("No recipe is finished yet, so there is nothing to compare. Run: make repro")
    outcomes = [comparing.read(name, Path()) for name in dict.fromkeys(names)]
    rows = [page.cells(one) for one in outcomes]
    screen.table(
        "recipes", ("", *(row[0] for row in rows)),
        [[name, *(row[at] for row in rows)] for at, name in enumerate(page.COLUMNS) if at],
    )  # fmt: skip
    for sentence in comparing.conclusions(outcomes, Path()):
        screen.say(sentence)
    digest.deliver(out, page.render(outcomes, Path()).encode())
    screen.say(f"page: {out}")
