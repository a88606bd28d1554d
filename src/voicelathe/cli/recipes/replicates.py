"""`voicelathe replicate`: the same recipe trained again with other seeds, and whether its gain is more than luck."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe import layout, rng
from voicelathe.cli import screen
from voicelathe.cli.names import Recipe
from voicelathe.cli.recipes.runs import dvc
from voicelathe.errors import ParamsError, RecordError, listing

if TYPE_CHECKING:
    from voicelathe.config import schema

INFIX = "-seed-"
Seeds = Annotated[int, typer.Option("--seeds", help="Trainings in all, the recipe's own among them.")]
Run = Annotated[bool, typer.Option("--run", help="Run their stages now, then report.")]
Report = Annotated[bool, typer.Option("--report", help="Change nothing; report on those that are finished.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("replicate")(replicate)


def replicate(recipe: Recipe, seeds: Seeds = 3, run: Run = False, report: Report = False) -> None:
    """Add copies of a recipe that differ in nothing but the seed of training; once trained, say whether its gain was luck."""
    from voicelathe.config import params

    if run and report:
        raise ParamsError("--run and --report: choose one. --run reports when it is done.")
    project = params.load()
    params.recipe(project, recipe)
    _refuse_replicate(project, recipe)
    if report:
        _report(project, recipe)
        return
    if seeds < 2:
        raise ParamsError(
            f"--seeds {seeds}: one training has no spread. It counts the recipe's own training, so ask for 2 or more, for example --seeds 3."
        )
    wanted = _wanted(project, recipe, seeds)
    made = {name: seed for name, seed in wanted.items() if name not in project.recipes}
    if made:
        params.copy_recipe(recipe, {name: {"train/seed": seed} for name, seed in made.items()})
        screen.say(f"params.yaml: added {', '.join(made)}; they differ from {recipe} in train.seed only.")
    else:
        screen.say(f"params.yaml has them already: {', '.join(wanted)}.")
    command = ["repro", *(f"track@{name}" for name in (recipe, *wanted))]
    if run:
        dvc(*command, recover="Run the same command again: what is finished is not made again.")
        _report(params.load(), recipe)
        return
    screen.say(f"Each takes as long as {recipe}. Train them:  dvc {' '.join(command)}")
    screen.say(f"Then:  voicelathe replicate {recipe} --report")


def _refuse_replicate(project: schema.Params, recipe: str) -> None:
    original, _, seed = recipe.rpartition(INFIX)
    if seed.isdigit() and original in project.recipes and project.recipes[recipe].train.seed is not None:
        raise ParamsError(
            f"{recipe} is itself a replicate of {original}. More of them, or their report: voicelathe replicate {original}"
        )


def _wanted(project: schema.Params, recipe: str, seeds: int) -> dict[str, int]:
    """Names of the other trainings with their seeds: 2, 3, ..., but not the seed that the recipe has itself.

    Raises ParamsError for a name that is taken by another recipe.
    """
    own = rng.training_seed(project.recipes[recipe].train, project.seed)
    numbers = [number for number in range(2, seeds + 2) if number != own][: seeds - 1]
    wanted = {f"{recipe}{INFIX}{number}": number for number in numbers}
    for name, number in wanted.items():
        if name in project.recipes and (others := _differences(project, recipe, name, number)):
            raise ParamsError(
                f"recipes.{name} exists and is no replicate of {recipe}:\n{listing(others)}\n"
                f"Make these equal or delete recipes.{name} in params.yaml, then run: voicelathe replicate {recipe} --seeds {seeds}"
            )
    return wanted


def _differences(project: schema.Params, recipe: str, name: str, seed: int) -> list[str]:
    """Dotted settings in which a recipe is not what a replicate would be. Preflight may differ: it trains nothing that is kept."""
    from voicelathe import records

    mine, theirs = (dict(_flat(records.to_json(project.recipes[one]))) for one in (recipe, name))
    mine["train.seed"] = seed
    keys = sorted(key for key in {**mine, **theirs} if not key.startswith("preflight."))
    return [
        f"{key}: {theirs.get(key)!r} here, {mine.get(key)!r} expected"
        for key in keys
        if mine.get(key) != theirs.get(key)
    ]


def _flat(value: object, prefix: str = "") -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [row for key, one in value.items() for row in _flat(one, f"{prefix}{key}.")]
    return [(prefix.removesuffix("."), value)]


def _report(project: schema.Params, recipe: str) -> None:
    """Raises RecordError when there are fewer than two finished trainings, with what is missing and the next command."""
    from voicelathe.evaluate.compare import replicates

    names = _members(project, recipe)
    if len(names) < 2:
        raise ParamsError(
            f"{recipe} has no replicates in params.yaml. Add them: voicelathe replicate {recipe}"
        )
    missing = {name: lack for name in names if (lack := _lacks(name, recipe))}
    ready = [name for name in names if name not in missing]
    if recipe in missing or len(ready) < 2:
        raise RecordError(
            f"too few trainings of {recipe} are finished to compare:\n{listing(missing.values())}"
        )
    for lack in missing.values():
        screen.say(f"left out: {lack}")
    trainings = [replicates.read(name, Path()) for name in ready]
    screen.table(replicates.title(trainings), replicates.COLUMNS, replicates.cells(trainings))
    for sentence in replicates.conclusions(trainings):
        screen.say(sentence)


def _members(project: schema.Params, recipe: str) -> list[str]:
    """The recipe, and its replicates by name and number."""
    pattern = re.compile(re.escape(recipe + INFIX) + r"(\d+)")
    found = {name: match for name in project.recipes if (match := pattern.fullmatch(name))}
    return [recipe, *sorted(found, key=lambda name: int(found[name][1]))]


def _lacks(name: str, recipe: str) -> str | None:
    """What one training lacks to be compared with those of `recipe`, and the command that makes it."""
    from voicelathe import records
    from voicelathe.evaluate.compare import replicates

    for file in ("run.json", "samples.jsonl", "metrics.json", "selection.json"):
        if not layout.run(name, file).is_file():
            return f"{name}: {layout.run(name, file)} is missing. Run: dvc repro track@{name}"
    path = layout.run(recipe, "run.json")
    if name == recipe or not path.is_file():
        return None
    mine, theirs = (
        records.read_one(layout.run(one, "run.json"), records.RunRecord) for one in (recipe, name)
    )
    if replicates.key(mine) == replicates.key(theirs):
        return None
    return (
        f"{name}: was trained on other data or with other settings than {recipe}. "
        f"Run: voicelathe replicate {recipe}, then dvc repro track@{recipe} track@{name}"
    )
