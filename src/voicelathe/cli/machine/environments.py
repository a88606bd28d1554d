"""`voicelathe env`: interpreters of their own for upstream code that has no package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen

Family = Annotated[str, typer.Argument(metavar="FAMILY", help="A family of `bases:`; see docs/cli.md.")]
Checkout = Annotated[
    Path | None,
    typer.Option(
        "--checkout", metavar="DIR", help="Upstream's code that is here already, with its submodules."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(
        help="Interpreters of their own, for families whose upstream code has no package.",
        no_args_is_help=True,
    )
    group.command("create")(create)
    group.command("list")(show)
    app.add_typer(group, name="env")


def create(family: Family, checkout: Checkout = None) -> None:
    """Fetch a family's upstream code at the pinned commit and install what it needs (some GB, minutes)."""
    from voicelathe.process import environments

    interpreter = environments.create(family, checkout, screen.say)
    screen.say(f"{family} can speak: {interpreter}")
    screen.say(
        "Recipes that were tried without it have no samples: dvc repro -f -s listen@RECIPE makes them, and what follows from them."
    )


def show() -> None:
    """Which families need one, and whether it is there."""
    from voicelathe import families
    from voicelathe.process import environments

    rows = []
    for family in environments.needed():
        verbs = sorted(families.spec(family).elsewhere)
        is_there = environments.lacking(family, verbs[0]) is None
        state = str(environments.python(family)) if is_there else f"missing: voicelathe env create {family}"
        rows.append((family, ", ".join(verbs), state))
    screen.table("interpreters", ("family", "what it does there", "interpreter"), rows)
