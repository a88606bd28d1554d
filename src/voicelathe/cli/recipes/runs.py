"""Commands on runs: mirror one into MLflow again, take in a listening verdict; and how this program runs dvc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Recipe
from voicelathe.cli.recipes import leftovers
from voicelathe.errors import WorkerError

VerdictFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="What the last screen of the page exported.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("track")(track)
    group = typer.Typer(help="Listening verdicts.", no_args_is_help=True)
    group.command("import")(import_verdict)
    app.add_typer(group, name="verdict")


def track(recipe: Recipe) -> None:
    """Mirror everything of a finished run into MLflow again, for example into another server."""
    from voicelathe.config import params
    from voicelathe.tracking import replay
    from voicelathe.tracking.live import dead

    settings = params.load()
    params.recipe(settings, recipe)
    for name in dead.end(settings.tracking, Path()):
        screen.say(f"{name}: its process was killed; MLflow knows that now.")
    mirrored = replay.mirror_all(recipe, settings.tracking, Path())
    screen.say(
        f"{recipe}: {len(mirrored['candidates'])} candidates, {mirrored['num_samples']} samples and "
        f"{len(mirrored['curves'])} curves are in MLflow."
    )


def import_verdict(recipe: Recipe, file: VerdictFile) -> None:
    """Check a verdict exported by a listening page and add it to verdicts/; `dvc repro` then takes it into account."""
    from voicelathe.config import params
    from voicelathe.evaluate.listening import verdicts

    params.recipe(params.load(), recipe)
    stored = verdicts.import_file(file, recipe)
    screen.say(f"Written: {stored}. Commit it, then: dvc repro select@{recipe} track@{recipe}")


def dvc(*arguments: str, recover: str) -> None:
    """Run dvc with this very interpreter's packages. Raises WorkerError when it fails; `recover` ends the message."""
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": here + os.pathsep + os.environ.get("PATH", "")}
    code = subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False).returncode
    if code == 0:
        return
    if unburied := leftovers.unburied_dvc_owners():
        held = f"{leftovers.RWLOCK} is held by {', '.join(map(str, unburied))}, which ended without being waited for. First: {leftovers.UNBURIED}. "
        recover = held + recover
    raise WorkerError(
        f"dvc {' '.join(arguments)} ended with exit code {code}; its reason stands above. {recover}"
    )
