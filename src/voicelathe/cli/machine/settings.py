"""`voicelathe params`: bring an older params.yaml up to date."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen

Write = Annotated[bool, typer.Option("--write", help="Write it; without, the difference is only shown.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(help="The settings of a project, params.yaml.", no_args_is_help=True)
    group.callback()(_group)
    group.command("upgrade")(bring_up_to_date)
    app.add_typer(group, name="params")


def _group() -> None:
    """A group of one command stays a group."""


def bring_up_to_date(write: Write = False) -> None:
    """Bring a params.yaml of an earlier version up to date: new settings with their comments and defaults, moved and removed ones. Every change is named."""
    from voicelathe.config import params, upgrade

    text = params.text_of(params.FILE)
    made = upgrade.upgrade(text)
    if made.text == text:
        screen.say(f"{params.FILE} is up to date.")
        return
    # First: whoever reads on may stop reading.
    written = upgrade.write(made, Path(params.FILE)) if write else []
    after = f"{params.FILE} (upgraded)"
    before, now = (part.splitlines(keepends=True) for part in (text, made.text))
    screen.say("".join(difflib.unified_diff(before, now, str(params.FILE), after)))
    for note in made.notes:
        screen.say(note)
    for path in written:
        screen.say(f"Written: {path}")
    if not write:
        screen.say("Nothing was written. To write it: voicelathe params upgrade --write")
