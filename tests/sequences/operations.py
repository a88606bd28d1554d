"""The thirty operations of a sequence: each is drawn by (seed, number), so that a sequence can be repeated and cut anywhere."""

import json
import random
import re
import shutil
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.sequences import advice, reference
from tests.sequences.model import Model, Violation, Weights, alias_of, missing, run_of, tree
from tests.sequences.project import RECIPES, STEPS
from tests.sequences.shell import Shell, Told
from tests.sequences.stages import OTHER
from voicelathe.config import params

RATES = (0.001, 0.0007, 0.0005, 0.002)
TEXT = "Hello there."


@dataclass
class World:
    """A project, the terminal in it, the model of it, and where its weights are archived."""

    shell: Shell
    model: Model
    archive: Path
    num_names: int = 0
    experiments: list[tuple[str, str]] = field(default_factory=list)
    heard: dict[str, str] = field(default_factory=dict)  # weights -> sound

    @property
    def root(self) -> Path:
        return self.shell.root

    def words(self, recipe: str | None = None) -> dict[str, str]:
        """What stands for the names in advice."""
        voice = self.model.stack[-1][1] if self.model.stack else None
        return {"RECIPE": recipe or (voice.recipe if voice else RECIPES[0]), "URL": f"file://{self.archive}"}

    def name(self, kind: str) -> str:
        self.num_names += 1
        return f"{kind}{self.num_names}"

    def follow(self, told: Told) -> None:
        """Keep the books: every promotion and rollback that succeeds, also one that was advised."""
        if told.code:
            return
        if match := re.match(r"voicelathe promote (\S+)(.*)", told.command):
            self.model.promoted(self.root, match[1], self._step(match[1], match[2]))
        elif match := re.match(r"voicelathe rollback (.*)", told.command):
            to = re.search(r"--to (\S+)", match[1])
            wanted = self.model.versions.get(to[1]) if to else self.model.before()
            if wanted is None:
                raise Violation(f"{told.command} succeeded, and there is nothing to go back to")
            self.model.rolled_back(self.root, wanted)

    def _step(self, recipe: str, options: str) -> int:
        if named := re.search(r"--candidate (?:step_)?0*(\d+)", options):
            return int(named[1])
        return int(json.loads((self.root / f"runs/{recipe}/selection.json").read_text())["step"])

    def check(self) -> None:
        """What must hold after every operation; what the program says of itself must be so."""
        self.model.check(self.root)
        status = self.shell.type("voicelathe status")
        voice = self.model.voice
        is_none = self.model.alias is None and not self.model.stack
        if (status.code == 0) != (voice is not None or is_none):
            raise Violation(f"status says {status.code}, and {voice} may speak:\n{status.text}")
        gone = {one: missing(self.root, one) for one in RECIPES}
        summary = self.shell.type("voicelathe summary")
        if (summary.code == 3) != any(gone.values()) or summary.code not in (0, 3):
            raise Violation(
                f"summary ends with {summary.code}, and these are missing: {gone}\n{summary.text}"
            )

    def settle(self, command: str, recipe: str | None = None) -> Told:
        return advice.settle(self.shell, command, self.words(recipe))


Operation = Callable[[World, random.Random], None]


def edit(world: World, drawn: random.Random) -> None:
    """A setting, and mostly all that follows from it."""
    recipe, rate = drawn.choice(RECIPES), drawn.choice(RATES)
    world.shell.note(f"edit {recipe}: learning_rate {rate}")
    params.edit({f"recipes/{recipe}/train/learning_rate": rate}, world.root / "params.yaml")
    if drawn.random() < 0.7:
        _repro(world, recipe)


def _repro(world: World, recipe: str) -> None:
    world.settle(f"dvc repro -q select@{recipe}", recipe)


def experiment(world: World, drawn: random.Random) -> None:
    """`dvc exp run`, here or in a copy; kept, applied, made a branch or thrown away."""
    known = [name for name, branch in world.experiments if branch == world.model.branch]
    if known and drawn.random() < 0.5:
        _apply(world, drawn.choice(known))
        return
    recipe, rate, name = drawn.choice(RECIPES), drawn.choice(RATES), world.name("exp")
    copy = drawn.choice(("", "--temp "))
    told = world.shell.type(
        f"dvc exp run -q {copy}-n {name} -S recipes.{recipe}.train.learning_rate={rate} select@{recipe}"
    )
    if told.code:
        raise Violation(f"the experiment failed:\n{told.text[-3000:]}")
    if name not in world.shell.type("dvc exp list --name-only").text:
        return  # nothing was changed, so DVC keeps none
    then = drawn.choice(("keep", "apply", "branch", "remove"))
    if then == "keep":
        world.experiments.append((name, world.model.branch))
    elif then == "apply":
        _apply(world, name)
    elif then == "branch":
        world.shell.must(f"dvc exp branch -q {name} of-{name}")
        world.model.books[f"of-{name}"] = list(world.model.books[world.model.branch])
    elif then == "remove":
        world.shell.must(f"dvc exp remove -q {name}")


def _apply(world: World, name: str) -> None:
    """An experiment brings the registry/ of the day it began; whoever looks is told how to take the newest back."""
    world.shell.must(f"dvc exp apply -q {name}")
    world.settle("voicelathe status")


def branch(world: World, drawn: random.Random) -> None:
    """Commit, then a new branch or another one that is there."""
    world.shell.must("git add -A && git diff --cached --quiet || git commit -qm work")
    known = [one for one in world.model.books if one != world.model.branch]
    if not known or drawn.random() < 0.4:
        name = world.name("branch")
        world.shell.must(f"git switch -qc {name}")
        world.model.books[name] = list(world.model.stack)
    else:
        name = drawn.choice(known)
        world.shell.must(f"git switch -q {name} && dvc checkout -q")
    world.model.branch = name


def retrain(world: World, drawn: random.Random) -> None:
    """The same settings once more; sometimes on a machine where the weights come out otherwise."""
    recipe = drawn.choice(RECIPES)
    elsewhere = drawn.random() < 0.3
    if elsewhere:
        (world.root / OTHER).write_text(str(drawn.random()))
    told = world.settle(f"voicelathe retrain {recipe}", recipe)
    (world.root / OTHER).unlink(missing_ok=True)
    if aside := re.search(r"Nothing needs (\S+) any more", told.text):
        world.shell.must(f"rm -rf {aside[1]}")
    if told.code == 0 and drawn.random() < 0.7:
        _repro(world, recipe)


def promote(world: World, drawn: random.Random) -> None:
    recipe = drawn.choice(RECIPES)
    other = f' --candidate {drawn.randrange(10, STEPS + 1, 10)} --because "I like it better"'
    world.settle(f"voicelathe promote {recipe}{other if drawn.random() < 0.6 else ''}", recipe)


def rollback(world: World, drawn: random.Random) -> None:
    to = f" --to {drawn.randint(1, max(1, len(world.model.versions)))}" if drawn.random() < 0.3 else ""
    world.settle(f'voicelathe rollback --because "it drops words"{to}')


def prune(world: World, drawn: random.Random) -> None:
    """The plan, what it wants first, and then what it says removes it."""
    plan = world.settle("voicelathe prune plan")
    if wanted := re.search(r"To remove it: (.*)", plan.text):
        world.shell.must(wanted[1].strip())


def archive(world: World, drawn: random.Random) -> None:
    world.settle(f"voicelathe archive file://{world.archive}")
    world.model.archived |= {
        one for one in world.model.ever - world.model.lost if tree(world.root / one.path)
    }


def delete(world: World, drawn: random.Random) -> None:
    """By hand, where the program cannot help it: a checkpoint, a run, a recipe's weights, MLflow."""
    what = drawn.choice(("checkpoint", "promoted", "run", "recipe", "mlflow"))
    recipe = drawn.choice(RECIPES)
    if not (world.root / f"runs/{recipe}/run.json").is_file():
        world.shell.note(
            f"{recipe} has no run: a training of it was refused, and DVC had taken its records away"
        )
        return
    places = {
        "checkpoint": f"{run_of(world.root, recipe)}/step_{drawn.randrange(10, STEPS + 1, 10):07d}",
        "promoted": world.model.stack[-1][1].path if world.model.stack else "nothing",
        "run": run_of(world.root, recipe),
        "recipe": f"checkpoints/{recipe}",
    }
    if what == "mlflow":
        world.shell.note("delete mlflow.db and mlruns")
        shutil.rmtree(world.root / "mlruns", ignore_errors=True)
        shutil.copy(world.root.parent / "store/mlflow.db", world.root / "mlflow.db")
        world.model.versions, world.model.alias = {}, None
        return
    world.shell.note(f"delete {places[what]}")
    shutil.rmtree(world.root / places[what], ignore_errors=True)
    world.model.deleted(world.root)


def restore(world: World, drawn: random.Random) -> None:
    """From the archive; and what a summary still misses is trained again, as it says."""
    if world.archive.is_dir():
        told = world.settle(f"voicelathe restore file://{world.archive}")
        here = {
            one
            for one in world.model.lost & world.model.archived
            if tree(world.root / one.path) != one.sha256
        }
        if told.code == 0 and here:
            raise Violation(f"the archive has these promoted weights, and restore did not bring them: {here}")
    for recipe in RECIPES:
        if missing(world.root, recipe):
            world.settle("voicelathe summary", recipe)


def rename(world: World, drawn: random.Random) -> None:
    new = world.root.with_name(
        f"{world.name('voice')} +2 (50%)" if drawn.random() < 0.3 else world.name("voice")
    )
    world.shell.note(f"rename the project to {new.name}")
    world.root.rename(new)
    world.shell.root = new


def say(world: World, drawn: random.Random) -> None:
    """Production speaks with exactly the bytes that were promoted, or says why not and what to do."""
    out = world.root.parent / "said.wav"
    out.unlink(missing_ok=True)
    command = f'voicelathe say --max-seconds 1 --out "{out}" "{TEXT}"'
    told = world.shell.type(command)
    voice = world.model.voice
    may = voice is not None and voice not in world.model.lost
    if (told.code == 0) != may:
        raise Violation(
            f"say ended with {told.code}, and {voice} is in production, lost: {world.model.lost}\n{told.text}"
        )
    if told.code:
        if world.model.stack and drawn.random() < 0.7:
            world.settle(command)
        return
    assert voice is not None
    _compare(world, voice, out)


def _compare(world: World, voice: Weights, out: Path) -> None:
    with wave.open(str(out)) as file:
        sound = reference.digest_of(file.readframes(file.getnframes()))
    if voice.sha256 not in world.heard:
        world.heard[voice.sha256] = reference.spoken(world.root, voice.path, TEXT)
    if world.heard[voice.sha256] != sound:
        raise Violation(f"production spoke with other bytes than {voice}")
    if len({*world.heard.values()}) != len(world.heard):
        raise Violation("two checkpoints sound the same: this could not tell which one speaks")


DRAWN: dict[Operation, int] = {
    edit: 3, experiment: 3, branch: 4, retrain: 3, promote: 6, prune: 3, rollback: 4, archive: 3, delete: 4, restore: 3, rename: 2, say: 3,
}  # fmt: skip


def drawn(seed: int, number: int) -> tuple[Operation, random.Random]:
    """Which operation stands at a place of a sequence, and what it draws from; the first one promotes, or nothing is at stake."""
    own = random.Random(f"{seed} {number}")
    if number == 0:
        return promote, own
    return own.choices(list(DRAWN), list(DRAWN.values()))[0], own


__all__ = ["World", "alias_of", "drawn"]
