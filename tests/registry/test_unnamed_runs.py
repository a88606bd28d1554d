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
    place = commit_and_try(promoted)
    return promoted, place


def commit_and_try(root: Path) -> Path:
    git(root, "add", "dvc.lock")
    git(root, "commit", "-qm", "base")
    place, _ = train(root, seed=8)
    git(root, "update-ref", "refs/exps/ab/cd/faster", git(root, "stash", "create").strip())
    put_back(root)
    return place


def train(root: Path, seed: int) -> tuple[Path, Path]:
    """Another run in the workspace, whose own records go to `kept`; returns where its weights are, and its record."""
    shutil.copytree(root / "runs", root.with_name("kept"))
    factory.finished(root, RECIPE, seed=seed)
    return finish(root), root / layout.run(RECIPE, "run.json")


def put_back(root: Path) -> None:
    """The workspace as it was committed."""
    git(root, "checkout", "-q", "dvc.lock")
    shutil.rmtree(root / "runs")
    root.with_name("kept").rename(root / "runs")


def throw_away(root: Path) -> None:
    """`dvc exp remove`."""
    git(root, "update-ref", "-d", "refs/exps/ab/cd/faster")


def test_an_experiment_keeps_its_weights_until_it_is_removed(tried: tuple[Path, Path]) -> None:
    root, place = tried
    assert forgotten.runs([RECIPE], root) == []
    throw_away(root)
    assert forgotten.runs([RECIPE], root) == [place] and forgotten.folders(root) == [RECIPE]
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
    throw_away(root)
    assert forgotten.runs([RECIPE], root) == []


def test_without_git_or_without_a_note_nothing_is_called_forgotten(tried: tuple[Path, Path]) -> None:
    root, place = tried
    throw_away(root)
    (root / place / forgotten.NOTED).rename(root / "note")
    assert forgotten.runs([RECIPE], root) == []
    (root / "note").rename(root / place / forgotten.NOTED)
    (root / ".git").rename(root / "no-git")
    assert forgotten.runs([RECIPE], root) == []


def test_a_run_that_git_names_nowhere_keeps_what_was_promoted(promoted: Path) -> None:
    """The promoted run itself: no commit has its dvc.lock, and the workspace is on another run. One step stays, five go."""
    place = finish(promoted)
    git(promoted, "init", "-q", "-b", "main")
    train(promoted, seed=8)
    commit_and_forget(promoted)
    assert forgotten.runs([RECIPE], promoted) == [place]
    doomed = {one.path for one in retention.plan([RECIPE], promoted, "nobody listens here").doomed}
    steps = {path.relative_to(promoted).as_posix() for path in (promoted / place).glob("step_*")}
    stays = {
        path
        for path, why in retention.plan([RECIPE], promoted, "-").kept.items()
        if why.startswith("version")
    }
    assert len(steps) == 6 and len(stays) == 1 and stays < steps and steps & doomed == steps - stays


def commit_and_forget(root: Path) -> None:
    shutil.rmtree(root.with_name("kept"))
    git(root, "add", "dvc.lock")
    git(root, "commit", "-qm", "the other run")


def test_a_run_that_only_the_workspace_knows_stays(tried: tuple[Path, Path]) -> None:
    """Trained and not committed; dvc.lock was not written yet, because a later stage of the same `dvc repro` still runs."""
    root, forgotten_ = tried
    throw_away(root)
    place, _ = train(root, seed=9)
    git(root, "checkout", "-q", "dvc.lock")
    assert place != forgotten_ and forgotten.runs([RECIPE], root) == [forgotten_]


@pytest.mark.parametrize("copy", ["standalone/tmpabc", "tmpabc", "tmpabc/below/the/top/data"])
def test_a_run_of_an_experiment_that_runs_at_this_moment_stays(tried: tuple[Path, Path], copy: str) -> None:
    """`dvc exp run --temp` and `--queue` work in copies, which git knows nothing of before they end."""
    root, forgotten_ = tried
    throw_away(root)
    place, record = train(root, seed=9)
    running = root / ".dvc/tmp/exps" / copy
    shutil.copytree(record.parent, running / record.parent.relative_to(root))
    (running / "checkpoints").symlink_to(root / "checkpoints")
    put_back(root)
    assert forgotten.runs([RECIPE], root) == [forgotten_]
    shutil.rmtree(root / ".dvc")
    assert forgotten.runs([RECIPE], root) == sorted([forgotten_, place])


def test_a_commit_that_only_gits_log_knows_keeps_its_run(tried: tuple[Path, Path]) -> None:
    """After `git reset --hard HEAD~1` there is a way back for ninety days."""
    root, place = tried
    git(root, "checkout", "-q", "refs/exps/ab/cd/faster")
    git(root, "commit", "-q", "--allow-empty", "-m", "mine, on top of the experiment")
    git(root, "checkout", "-q", "main")
    throw_away(root)
    assert forgotten.runs([RECIPE], root) == []
    git(root, "reflog", "expire", "--expire=now", "--all")
    assert forgotten.runs([RECIPE], root) == [place]


def test_the_commit_that_dvc_made_for_an_experiment_keeps_nothing_once_it_is_removed(
    tried: tuple[Path, Path],
) -> None:
    """`dvc exp run` commits on a detached HEAD, so git's log has it for ninety days."""
    root, place = tried
    tree = git(root, "rev-parse", "refs/exps/ab/cd/faster^{tree}").strip()
    made = git(root, "commit-tree", tree, "-p", "main", "-m", "dvc: commit experiment e29b6dc6").strip()
    git(root, "update-ref", "refs/exps/ab/cd/faster", made)
    git(root, "checkout", "-q", made)
    git(root, "checkout", "-q", "main")
    assert forgotten.runs([RECIPE], root) == []
    throw_away(root)
    assert made in git(root, "reflog", "--format=%H") and forgotten.runs([RECIPE], root) == [place]
    git(root, "branch", "taken", made)
    assert forgotten.runs([RECIPE], root) == []


def test_a_commit_behind_a_merge_that_took_nothing_of_it_keeps_its_run(tried: tuple[Path, Path]) -> None:
    """`git merge -s ours`: git leaves such a side out of the history of a file unless it is asked for all of it."""
    root, _ = tried
    git(root, "merge", "-q", "-s", "ours", "-m", "not theirs", "refs/exps/ab/cd/faster")
    throw_away(root)
    git(root, "reflog", "expire", "--expire=now", "--all")
    assert forgotten.runs([RECIPE], root) == []


def test_a_project_below_the_top_of_its_git_repository(promoted: Path) -> None:
    finish(promoted)
    git(promoted.parent, "init", "-q", "-b", "main")
    place = commit_and_try(promoted)
    assert forgotten.runs([RECIPE], promoted) == []
    throw_away(promoted)
    assert forgotten.runs([RECIPE], promoted) == [place]


@pytest.mark.parametrize("linked", ["checkpoints", f"checkpoints/{RECIPE}"])
def test_weights_behind_a_link_are_never_called_forgotten(tried: tuple[Path, Path], linked: str) -> None:
    """Two clones that share them: git here knows nothing of what the other one has committed."""
    root, place = tried
    throw_away(root)
    disk = root.with_name("disk")
    (root / linked).rename(disk)
    (root / linked).symlink_to(disk)
    assert (root / place).is_dir() and forgotten.runs([RECIPE], root) == []


def test_a_lock_in_conflict_still_names_its_runs(tried: tuple[Path, Path]) -> None:
    root, _ = tried
    ours = (root / "dvc.lock").read_text()
    theirs = git(root, "show", "refs/exps/ab/cd/faster:dvc.lock")
    throw_away(root)
    (root / "dvc.lock").write_text(f"<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> other\n")
    assert forgotten.runs([RECIPE], root) == []


def test_an_object_that_git_lacks_makes_nothing_forgotten(tried: tuple[Path, Path]) -> None:
    root, place = tried
    blob = git(root, "rev-parse", "main:dvc.lock").strip()
    throw_away(root)
    assert forgotten.runs([RECIPE], root) == [place]
    (root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert forgotten.runs([RECIPE], root) == []
