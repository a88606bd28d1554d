"""`voicelathe archive` and `restore`: weights and speech of finished runs to a folder or bucket, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen

Url = Annotated[
    str, typer.Argument(metavar="URL", help="A folder, or what fsspec opens: s3://, gs://, sftp://, ...")
]


Check = Annotated[
    bool,
    typer.Option("--check", help="Hash what lies there, and send again what is damaged."),
]


Recipes = Annotated[
    list[str] | None, typer.Argument(metavar="[RECIPE]...", help="Only these; default: every finished one.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("archive")(archive)
    app.command("restore")(restore)


def archive(url: Url, recipes: Recipes = None, check: Check = False) -> None:
    """Send weights and speech of finished runs to a folder or bucket, each file once, by its sha256."""
    from voicelathe.registry.weights import archive

    if check:
        held = archive.check(url, _finished(recipes), Path(), every=not recipes)
        screen.say(
            f"{held.num_there} files are what their records say; {held.num_files} ({screen.size(held.num_bytes)}) were damaged or missing and "
            "were sent again."
        )
        _nowhere(held.nowhere)
        return
    moved = archive.archive(url, _finished(recipes), Path(), every=not recipes)
    screen.say(
        f"{moved.num_files} files ({screen.size(moved.num_bytes)}) sent, {moved.num_there} were there. "
        "Elsewhere: clone, dvc pull or dvc repro, then voicelathe restore with the same URL."
    )
    _nowhere(moved.nowhere)


def restore(url: Url, recipes: Recipes = None) -> None:
    """Bring weights and speech back from where `archive` sent them; every file is hashed on arrival."""
    from voicelathe.registry.weights import archive

    moved = archive.restore(url, _finished(recipes), Path(), every=not recipes)
    screen.say(
        f"{moved.num_files} files ({screen.size(moved.num_bytes)}) brought, {moved.num_there} were here. "
        "Check the whole chain: voicelathe verify RECIPE"
    )
    _nowhere(moved.nowhere)


def _nowhere(paths: list[str]) -> None:
    for path in paths:
        screen.say(f"{path} was promoted once, and is neither here nor in the archive.")


def _finished(recipes: list[str] | None) -> list[str]:
    """The recipes that were named, or all whose index of checkpoints is here."""
    from voicelathe import layout
    from voicelathe.config import params
    from voicelathe.errors import RecordError

    known = params.load()
    for name in recipes or ():
        params.recipe(known, name)
    found = [one for one in recipes or known.recipes if layout.run(one, "checkpoints.json").is_file()]
    if missing := set(recipes or ()) - set(found):
        raise RecordError(
            f"No runs/{min(missing)}/checkpoints.json here. Bring it: dvc pull, or train: dvc repro"
        )
    if not found:
        raise RecordError(
            "No recipe has a runs/RECIPE/checkpoints.json here. Bring it: dvc pull, or train: dvc repro"
        )
    return found
