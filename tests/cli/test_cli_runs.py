"""`voicelathe retrain`, `track` and `verdict import` on a real dvc, a real MLflow store and real files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Run
from tests.factories import evaluations
from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.records import RunRecord
from voicelathe.worker import locks

STAGE = """
stages:
  train:
    foreach: ${recipes}
    do:
      cmd: python -m train_stage ${key}
      params:
        - seed
      outs:
        - runs/${key}/run.json
        - runs/${key}/checkpoints.json
"""
TRAINER = """
import shutil
import sys
from pathlib import Path
from tests.factories import runs
if Path("fail").exists():
    sys.exit("the stage fails")
made = runs.finished(Path(), sys.argv[1], seed=int(Path("weights-seed").read_text()))
if Path("trained-before").exists():
    shutil.rmtree(made.journal / "speech")  # what a later stage would make
Path("trained-before").touch()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose train stage is dvc's, with a made-up trainer that gives the same weights for the same seed."""
    root = tmp_path_factory.mktemp("retrain") / "project"
    factory.project(root)
    (root / "dvc.yaml").write_text(STAGE)
    (root / "train_stage.py").write_text(TRAINER)
    (root / "weights-seed").write_text("7")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    here = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT}/src:{root}", "DVC_NO_ANALYTICS": "1"}
    for arguments in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, env=here, cwd=root)
    return root


@pytest.fixture
def trained(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one test."""
    root = tmp_path / "project"
    shutil.copytree(built, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT}/src:{root}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return root


def directory(recipe: str = "mini-lora") -> Path:
    return Path(records.read_one(layout.run(recipe, "run.json"), RunRecord).directory)


@pytest.mark.slow
def test_retraining_sets_the_weights_aside_and_compares_them(trained: Path, run: Run) -> None:
    place, old = directory(), digest.of_tree(directory())
    other = digest.of_tree(directory("mini-full"))
    done = run("retrain", "mini-lora")
    assert done.code == 0, done.told
    assert "mini-lora: 6 of 6 checkpoints are identical to the former ones, byte for byte." in done.out
    aside = place.with_name(f"{place.name}.set-aside-1")
    assert digest.of_tree(aside) | old == digest.of_tree(aside)  # all that was there, and the lock
    speech = {name: sha for name, sha in old.items() if name.startswith("speech")}
    assert {name: sha for name, sha in digest.of_tree(place).items() if name in old} == old
    assert len(speech) == 14  # carried over: this trainer removes what a later stage made
    assert digest.of_tree(directory("mini-full")) == other
    (trained / "weights-seed").write_text("8")
    again = run("retrain", "mini-lora")
    assert "0 of 6 checkpoints are identical" in again.out and "step 10: " in again.out
    assert "out of date: dvc repro" in again.out
    assert not (directory() / "speech").exists()
    assert place.with_name(f"{place.name}.set-aside-2").is_dir()


def test_a_run_in_progress_is_not_set_aside(trained: Path, run: Run) -> None:
    place = directory()
    with locks.run_directory(place):
        done = run("retrain", "mini-lora")
    assert done.code == 1 and done.err.startswith("RunLocked: mini-lora cannot be set aside")
    assert place.is_dir() and not list(place.parent.glob("*set-aside*"))


def test_a_failing_stage_says_where_the_former_weights_are(trained: Path, run: Run) -> None:
    (trained / "fail").touch()
    aside = f"{directory()}.set-aside-1"
    done = run("retrain", "mini-lora")
    assert done.code == 1
    assert "WorkerError: dvc repro --force --single-item train@mini-lora ended with exit code" in done.err
    assert f"The former weights are in {aside}." in done.err and Path(aside).is_dir()


def test_an_interrupted_run_without_record_is_found_by_its_directory(trained: Path, run: Run) -> None:
    layout.run("mini-lora", "run.json").unlink()
    layout.run("mini-lora", "checkpoints.json").unlink()
    (layout.CHECKPOINTS / "mini-lora" / "preflight-0123").mkdir()
    done = run("retrain", "mini-lora")
    assert done.code == 0, done.told
    assert "6 checkpoints; there were none to compare with." in done.out
    layout.run("mini-lora", "run.json").unlink()
    (layout.CHECKPOINTS / "mini-lora" / "another").mkdir()
    assert "several unfinished runs" in run("retrain", "mini-lora").err


def test_a_recipe_without_weights_says_how_to_train_it(project: Path, run: Run) -> None:
    done = run("retrain", "mini-lora")
    assert done.code == 1 and "Train it: dvc repro train@mini-lora" in done.err


def test_a_verdict_is_taken_in_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    known = evaluations.candidates(10, 20)
    spoken = evaluations.samples(known, root=tmp_path)
    losses = evaluations.paired_losses({one: {"diff": 0.8, "stop": 0.1} for one in known})
    evaluations.write_run(tmp_path, known, losses, spoken)
    sitting = evaluations.sitting(spoken, lambda candidate, line, seed: 1.0)
    digest.write_json(tmp_path / "exported.json", records.to_json(sitting))
    done = run("verdict", "import", evaluations.RECIPE, "exported.json")
    assert done.code == 0, done.told
    assert (
        f"Written: verdicts/{evaluations.RECIPE}.json" in done.out
        and f"dvc repro select@{evaluations.RECIPE}" in done.out
    )
    again = run("verdict", "import", evaluations.RECIPE, "exported.json")
    assert again.code == 1 and again.err.startswith("SelectionError:")


@pytest.mark.parametrize(
    "command",
    [
        "promote nosuch",
        "track nosuch",
        "retrain nosuch",
        "spikes nosuch",
        "verify nosuch",
        "export nosuch d",
        "verdict import nosuch x.json",
    ],
)
def test_a_recipe_that_nobody_knows_is_named_with_those_there_are(
    project: Path, run: Run, command: str
) -> None:
    told = run(*command.split())
    assert told.code == 1
    assert told.err.startswith(
        "ParamsError: recipes.nosuch: no such recipe in params.yaml. There are: mini-full"
    )
