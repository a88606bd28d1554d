"""Weights of experiments that were thrown away: `prune` takes them once git names them nowhere, and nothing that anybody can still reach."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.registry.weights import forgotten, retention
from voicelathe.runs import identity

RECIPE = "mini-lora"


def git(root: Path, *words: str) -> str:
    who = ["git", "-c", "user.name=anna", "-c", "user.email=anna@example.org"]
    return subprocess.run([*who, *words], cwd=root, check=True, capture_output=True, text=True).stdout


def lock(root: Path) -> None:
    """dvc.lock as DVC writes it for the train stage."""
    record = layout.run(RECIPE, "run.json")
    md5 = hashlib.md5((root / record).read_bytes()).hexdigest()
    known = (
        digest.read_json(root / "dvc.lock")
        if (root / "dvc.lock").is_file()
        else {"schema": "2.0", "stages": {}}
    )
    known["stages"][f"train@{RECIPE}"] = {"cmd": "x", "outs": [{"path": record.as_posix(), "md5": md5}]}
    digest.write_json(root / "dvc.lock", known)


def finish(root: Path) -> Path:
    """What train leaves; returns where the weights are."""
    run = records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord)
    digest.write_json(root / run.directory / identity.FINISHED, {"num_trainable": 90_000})
    forgotten.note(run, root)
    lock(root)
    return Path(run.directory)


@pytest.fixture
def tried(promoted: Path) -> tuple[Path, Path]:
    """A project in git with a promoted run, and the weights of an experiment that DVC holds under refs/exps."""
    finish(promoted)
    git(promoted, "init", "-q", "-b", "main")
    git(promoted, "add", "dvc.lock")
    git(promoted, "commit", "-qm", "base")
    kept = promoted.with_name("kept")
    shutil.copytree(promoted / "runs", kept)
    factory.finished(promoted, RECIPE, seed=8)
    place = finish(promoted)
    tree = git(promoted, "stash", "create").strip()
    git(promoted, "update-ref", "refs/exps/ab/cd/faster", tree)
    git(promoted, "checkout", "-q", "dvc.lock")
    shutil.rmtree(promoted / "runs")
    shutil.copytree(kept, promoted / "runs")
    return promoted, place


def test_an_experiment_keeps_its_weights_until_it_is_removed(tried: tuple[Path, Path]) -> None:
    root, place = tried
    assert forgotten.runs_of(RECIPE, root) == []
    git(root, "update-ref", "-d", "refs/exps/ab/cd/faster")
    assert forgotten.runs_of(RECIPE, root) == [place]
    plan = retention.plan([RECIPE], root, "nobody listens here")
    ours = [one for one in plan.doomed if one.path.startswith(f"{place}/")]
    assert len(ours) == 6 and {one.why for one in ours} == {
        "of a run that no branch, tag or experiment names"
    }
    promoted = next(path for path, why in plan.kept.items() if why.startswith("version 1"))
    retention.apply([RECIPE], root, plan.digest, "nobody listens here")
    assert not list((root / place).glob("step_*")) and (root / promoted).is_dir()


def test_a_branch_that_names_a_run_keeps_it(tried: tuple[Path, Path]) -> None:
    root, _ = tried
    git(root, "branch", "other", "refs/exps/ab/cd/faster")
    git(root, "update-ref", "-d", "refs/exps/ab/cd/faster")
    assert forgotten.runs_of(RECIPE, root) == []


def test_without_git_or_without_a_note_nothing_is_called_forgotten(tried: tuple[Path, Path]) -> None:
    root, place = tried
    git(root, "update-ref", "-d", "refs/exps/ab/cd/faster")
    (root / place / forgotten.NOTED).rename(root / "note")
    assert forgotten.runs_of(RECIPE, root) == []
    (root / "note").rename(root / place / forgotten.NOTED)
    (root / ".git").rename(root / "no-git")
    assert forgotten.runs_of(RECIPE, root) == []
