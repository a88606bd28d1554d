"""`voicelathe retrain`: train a recipe as it is now once more from nothing, without taking away what anything rests on.

Only the directory that would be trained again is moved aside; runs of other settings lie beside it and stay. Weights that were promoted
stay in their place while they are sound: production speaks with them, and a rollback may want them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.cli.names import Recipe
from voicelathe.cli.recipes import aside
from voicelathe.cli.recipes.runs import dvc
from voicelathe.errors import CheckpointError, RecordError, VoiceLatheError, WorkerError, listing

if TYPE_CHECKING:
    from voicelathe.records import CheckpointRecord, Promotion, RunIdentity, RunRecord

NOT_RUNS = ("preflight-", "quarantine", ".")
STAGE = Path("pipelines/train.py")


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("retrain")(retrain)


def retrain(recipe: Recipe) -> None:
    """Train a recipe again, its former weights set aside; says whether the new ones are the same, byte for byte."""
    from voicelathe.config import params

    params.recipe(params.load(), recipe)
    dvc("repro", f"preflight@{recipe}", recover="Nothing was trained and nothing was moved.")
    place = _place(recipe)
    if place is not None:
        _undo(recipe, place)
    before = _index(recipe)
    if place is None or not place.is_dir():
        screen.say(f"{recipe}: these settings have no weights here, so nothing is set aside.")
        _train(recipe)
        _compare(recipe, before, _index(recipe))
        _speak_again(recipe, before == _index(recipe))
        return
    promoted = _promoted(place)
    former = aside.set_aside(recipe, place, list(promoted), _identity(recipe))
    screen.say(f"{recipe}: the former weights are in {former}.")
    _train_beside(recipe, place, former, promoted)
    aside.keep_notes(former, place)
    after = _index(recipe)
    _compare(recipe, before, after)
    if before == after:
        aside.carry_over(former, _trained(recipe))
    _speak_again(recipe, before == after)
    screen.say(
        f"Nothing needs {former} any more; delete it when you have compared what you wanted to compare."
    )


def _undo(recipe: str, place: Path) -> None:
    """Begin where an earlier `retrain` began that failed or was killed: with the weights and the samples of before in their place."""
    former = aside.left_behind(place, _index(recipe))
    if former is None:
        return
    again = aside.put_back(recipe, former, place)
    left = f"; what it left is in {again}" if again else ""
    screen.say(f"{recipe}: an earlier retrain did not end. The weights before it are back in {place}{left}.")
    if not _index(recipe):
        _train(recipe, f"The weights are back in {place}. The same command again trains them anew.")


def _train(recipe: str, recover: str = "") -> None:
    dvc("repro", "--force", "--single-item", f"train@{recipe}", recover=recover)


def _train_beside(recipe: str, place: Path, former: Path, promoted: dict[Path, Promotion]) -> None:
    """Train beside what was promoted; where that cannot be done, or comes out differently, everything is put back.

    Raises WorkerError when nothing was promoted and the stage fails, CheckpointError that says what was put back.
    """
    back = f"rm -rf {place} && mv {former} {place} && dvc repro -s train@{recipe}"
    try:
        _train(recipe, f"The former weights are in {former}; to take them back: {back}")
    except WorkerError:
        if promoted:
            raise _restored(
                recipe, place, former, "was not trained again to its end: the reason stands above"
            ) from None
        raise
    changed = [one.version for path, one in promoted.items() if not _is_sound(path, one)]
    if changed:
        what = f"was trained again, and the weights of version {', '.join(changed)} came out differently (another CPU, card or library?)"
        raise _restored(recipe, place, former, what)


def _restored(recipe: str, place: Path, former: Path, what: str) -> CheckpointError:
    """Put the former weights and their records back; what to say of it."""
    again = aside.put_back(recipe, former, place)
    _train(
        recipe,
        f"The former weights are back in {place}; their records come with: dvc repro -s train@{recipe}",
    )
    return CheckpointError(
        f"{recipe} {what}. What was promoted is in its place as before, and so are the records; the new weights, if any, are in {again}."
    )


def _speak_again(recipe: str, same: bool) -> None:
    """The samples of the same weights, where they are gone: DVC does not follow them, so it would not make them again."""
    from voicelathe import records

    path = layout.run(recipe, "samples.jsonl")
    if not same:
        screen.say("What was made from them is out of date: dvc repro")
        return
    spoken = records.read(path, records.SampleRecord) if path.is_file() else []
    if any(sample.path is not None and not Path(sample.path).is_file() for sample in spoken):
        screen.say(f"{recipe}: samples are gone, too; they are spoken again.")
        dvc("repro", "--force", "--single-item", f"listen@{recipe}", recover="The weights are there.")
    screen.say("What follows from them, if anything does: dvc repro")


def _place(recipe: str) -> Path | None:
    """Where a training with the settings of this moment puts its weights; without encodings to tell: where the last one put them."""
    planned = _planned(recipe)
    return Path(planned.directory) if planned else _recorded(recipe)


def _planned(recipe: str) -> RunRecord | None:
    """The run of the settings of this moment; None without encodings to tell."""
    from voicelathe.config import params
    from voicelathe.errors import BaseModelError
    from voicelathe.runs import identity

    try:
        return identity.identify(params.load(), recipe, _revision())
    except (RecordError, BaseModelError, FileNotFoundError):
        return None


def _identity(recipe: str) -> RunIdentity | None:
    """Who the run is, from the settings or its record: weights that came without their identity.json are somebody's, too."""
    from voicelathe import records

    if planned := _planned(recipe):
        return planned.identity
    path = layout.run(recipe, "run.json")
    return records.read_one(path, records.RunRecord).identity if path.is_file() else None


def _revision() -> int:
    """Of the train stage; it is part of what decides where the weights lie."""
    found = (
        re.search(r"^REVISION = (\d+)", STAGE.read_text(encoding="utf-8"), re.MULTILINE)
        if STAGE.is_file()
        else None
    )
    if found is None:
        raise CheckpointError(
            f"{STAGE} is missing or has no REVISION. Run this in the folder of the project; git checkout {STAGE}"
        )
    return int(found[1])


def _recorded(recipe: str) -> Path | None:
    """Where the recipe's weights are as run.json says, or the only run there is while an interrupted one left no run.json."""
    path = layout.run(recipe, "run.json")
    if path.is_file():
        return _trained(recipe)
    found = sorted(_unfinished(layout.CHECKPOINTS / recipe))
    if len(found) > 1:
        raise CheckpointError(
            f"{recipe} has several unfinished runs and no {path} says which one counts:\n"
            f"{listing(str(directory) for directory in found)}\nMove those you do not want out of the way yourself."
        )
    return found[0] if found else None


def _trained(recipe: str) -> Path:
    from voicelathe import records

    return Path(records.read_one(layout.run(recipe, "run.json"), records.RunRecord).directory)


def _unfinished(folder: Path) -> list[Path]:
    every = [path for path in folder.glob("*") if path.is_dir()]
    return [path for path in every if aside.SET_ASIDE not in path.name and not path.name.startswith(NOT_RUNS)]


def _promoted(place: Path) -> dict[Path, Promotion]:
    """Sound weights in this directory that are, or ever were, in production, in this branch or another."""
    from voicelathe.registry.history import reachable

    every = {Path(one.path): one for one in reachable.promotions(Path()) if place in Path(one.path).parents}
    for path, promotion in every.items():
        if not _is_sound(path, promotion):
            screen.say(f"{path}, version {promotion.version} of {promotion.name}, is damaged or gone.")
    return {path: one for path, one in every.items() if _is_sound(path, one)}


def _is_sound(path: Path, promotion: Promotion) -> bool:
    from voicelathe import checkpoints

    try:
        checkpoints.verify(path, promotion.checkpoint_sha256)
    except (VoiceLatheError, FileNotFoundError):
        return False
    return True


def _index(recipe: str) -> dict[int, CheckpointRecord]:
    """Checkpoints by step; empty when the recipe was never trained to its end."""
    from voicelathe.runs import results

    try:
        return {entry.step: entry for entry in results.read(recipe)[1]}
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
