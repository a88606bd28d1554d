"""Commands on runs: train one again from nothing, mirror it into MLflow again, take in a listening verdict."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Recipe
from voicelathe.errors import CheckpointError, RecordError, RunLocked, WorkerError, listing

if TYPE_CHECKING:
    from voicelathe.records import CheckpointRecord

SET_ASIDE = ".set-aside-"
OF_TRAINING = ("step_", "state_", ".", "quarantine")
NOT_RUNS = ("preflight-", "quarantine", ".")

VerdictFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="What the last screen of the page exported.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("retrain")(retrain)
    app.command("track")(track)
    group = typer.Typer(help="Listening verdicts.", no_args_is_help=True)
    group.command("import")(import_verdict)
    app.add_typer(group, name="verdict")


def retrain(recipe: Recipe) -> None:
    """Set a recipe's weights aside and train again; says whether the new ones are the same, byte for byte."""
    from voicelathe import params

    params.recipe(params.load(), recipe)
    before = _index(recipe)
    aside = set_aside(recipe)
    screen.say(f"{recipe}: the former weights are in {aside}. Delete them when you are done with them.")
    dvc("repro", "--force", "--single-item", f"train@{recipe}", recover=f"The former weights are in {aside}.")
    after = _index(recipe)
    _compare(recipe, before, after)
    if before == after:
        carry_over(aside, _directory(recipe))
    else:
        screen.say("What was made from them is out of date: dvc repro")


def track(recipe: Recipe) -> None:
    """Mirror everything of a finished run into MLflow again, for example into another server."""
    from voicelathe import params
    from voicelathe.tracking import dead, replay

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
    from voicelathe import params
    from voicelathe.evaluate import verdicts

    params.recipe(params.load(), recipe)
    stored = verdicts.import_file(file, recipe)
    screen.say(f"Written: {stored}. Commit it, then: dvc repro select@{recipe} track@{recipe}")


def set_aside(recipe: str) -> Path:
    """Rename the directory of a recipe's run. Raises RunLocked while a worker trains in it."""
    from voicelathe.worker import locks

    directory = _directory(recipe)
    number = 1
    while (aside := directory.with_name(f"{directory.name}{SET_ASIDE}{number}")).exists():
        number += 1
    try:
        with locks.run_directory(directory):
            directory.rename(aside)
    except RunLocked as problem:
        raise RunLocked(f"{recipe} cannot be set aside: {problem}") from None
    return aside


def carry_over(aside: Path, directory: Path) -> None:
    """Link what later stages made of the same weights (speech, validation) into the new directory.

    Their index has not changed, so DVC holds those stages for up to date and would not make it again.
    """
    for entry in sorted(aside.iterdir()):
        if (
            entry.is_dir()
            and not entry.name.startswith(OF_TRAINING)
            and not (directory / entry.name).exists()
        ):
            shutil.copytree(entry, directory / entry.name, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def dvc(*arguments: str, recover: str) -> None:
    """Run dvc with this very interpreter's packages. Raises WorkerError when it fails; `recover` ends the message."""
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": here + os.pathsep + os.environ.get("PATH", "")}
    code = subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False).returncode
    if code != 0:
        raise WorkerError(
            f"dvc {' '.join(arguments)} ended with exit code {code}; its reason stands above. {recover}"
        )


def _directory(recipe: str) -> Path:
    """Where the recipe's weights are: as run.json says, or the only run there is while an interrupted one left no run.json."""
    from voicelathe import layout, records

    path = layout.run(recipe, "run.json")
    if path.is_file():
        found = [Path(records.read_one(path, records.RunRecord).directory)]
    else:
        found = sorted(_unfinished(layout.CHECKPOINTS / recipe))
    present = [directory for directory in found if directory.is_dir()]
    if not present:
        raise CheckpointError(
            f"{recipe} has no weights under {layout.CHECKPOINTS / recipe}. Train it: dvc repro train@{recipe}"
        )
    if len(present) > 1:
        raise CheckpointError(
            f"{recipe} has several unfinished runs and no {path} says which one counts:\n"
            f"{listing(str(directory) for directory in present)}\nMove those you do not want out of the way yourself."
        )
    return present[0]


def _unfinished(folder: Path) -> list[Path]:
    every = [path for path in folder.glob("*") if path.is_dir()]
    return [path for path in every if SET_ASIDE not in path.name and not path.name.startswith(NOT_RUNS)]


def _index(recipe: str) -> dict[int, CheckpointRecord]:
    """Checkpoints by step; empty when the recipe was never trained to its end."""
    from voicelathe import runs

    try:
        return {entry.step: entry for entry in runs.read(recipe)[1]}
    except (RecordError, FileNotFoundError):
        return {}


def _compare(recipe: str, before: dict[int, CheckpointRecord], after: dict[int, CheckpointRecord]) -> None:
    steps = [step for step in sorted(after) if step > 0]
    if not before:
        screen.say(f"{recipe}: {len(steps)} checkpoints; there were none to compare with.")
        return
    same = [step for step in steps if step in before and before[step].sha256 == after[step].sha256]
    screen.say(
        f"{recipe}: {len(same)} of {len(steps)} checkpoints are identical to the former ones, byte for byte."
    )
    for step in steps:
        if step not in same:
            screen.say(
                f"  step {step}: {before[step].sha256[:16] if step in before else 'none'} -> {after[step].sha256[:16]}"
            )
