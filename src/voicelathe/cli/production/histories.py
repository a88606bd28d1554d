"""`voicelathe history`: what was promoted, rolled back and refused, and the journals of two clones made one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen

Sides = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[OURS THEIRS]",
        help="Two versions of the file, for git's merge driver; the result replaces OURS. Default: what git left in conflict.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("history")(history)
    app.command("merge-history")(merge)


def history() -> None:
    """Every promotion and rollback, the oldest first, as the journal has them; then what was refused."""
    from voicelathe.registry import promote
    from voicelathe.registry.history import refusals

    entries, refused = promote.history(Path()), refusals.read(Path())
    if not entries and not refused:
        screen.say("Nothing was ever promoted here.")
        return
    rows = [
        (
            *(str(entry.number), entry.promotion.at, entry.action, entry.event, entry.promotion.version),
            *(f"{entry.promotion.recipe} {entry.promotion.candidate}", entry.promotion.by),
            entry.promotion.because or "selection",
        )
        for entry in entries
    ]
    if rows:
        titles = ("no", "at", "action", "event", "version", "candidate", "by", "because")
        screen.table("journal", titles, rows)
    if refused:
        shown = [(one.at, one.action, one.what, one.by, one.refused.splitlines()[0]) for one in refused]
        screen.table("refused", ("at", "action", "what", "by", "why"), shown)


def merge(sides: Sides = None) -> None:
    """Put together the journals of two clones that both promoted or pruned, in the order of time."""
    from voicelathe.registry.history import merging

    if sides:
        if len(sides) != 2:
            raise typer.BadParameter("give two files, OURS and THEIRS, or none")
        merging.merge_files(sides[0], sides[1])
        return
    done = [file.as_posix() for file in merging.merge_conflicts(Path())]
    screen.say(
        f"{' and '.join(done)}: both histories are in it now. Then: git add {' '.join(done)}; see what is in production: voicelathe status"
    )
