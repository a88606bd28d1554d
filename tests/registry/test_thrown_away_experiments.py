"""Weights of experiments as the real DVC runs, keeps and removes them: what runs or is kept stays, what was removed may go."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.factories import runs as factory
from voicelathe import records
from voicelathe.records import RunRecord
from voicelathe.registry.weights import forgotten

ROOT = Path(__file__).parents[2]
RECIPE = "mini-lora"
STAGES = """
stages:
  train:
    foreach: ${recipes}
    do:
      cmd: python train_stage.py ${key}
      params:
        - seed
      outs:
        - runs/${key}/run.json
  later:
    cmd: python later_stage.py
    deps:
      - runs/mini-lora/run.json
"""
TRAIN = """
import sys
from pathlib import Path
from tests.factories import runs
from voicelathe import digest
from voicelathe.config import params
from voicelathe.registry.weights import forgotten
from voicelathe.runs import experiments
from voicelathe.runs.identity import FINISHED
experiments.share(Path())
made = runs.finished(Path(), sys.argv[1], seed=params.load().seed)
digest.write_json(made.journal / FINISHED, {"num_trainable": 90_000})
forgotten.note(made.run, Path())
"""
LATER = """
import os, time
from pathlib import Path
if "PAUSE" in os.environ:
    pause = Path(os.environ["PAUSE"])
    pause.with_name("paused").touch()
    while pause.exists():
        time.sleep(0.05)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Below the top of its git repository, with one recipe trained and committed."""
    root = factory.project(tmp_path / "repository/voice")
    (root / "dvc.lock").unlink()
    for name, text in (("dvc.yaml", STAGES), ("train_stage.py", TRAIN), ("later_stage.py", LATER)):
        (root / name).write_text(text)
    (root / ".gitignore").write_text("/checkpoints\n/runs\n/.cache\n")
    git(root.parent, "init", "-q", "-b", "main")
    dvc(root, "init", "-q", "--subdir")
    dvc(root, "repro", "-q", f"train@{RECIPE}", "later")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "base")
    return root


def environment(root: Path, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    who = {
        f"GIT_{role}_{what}": "anna@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    here = {"PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT}/src", "DVC_NO_ANALYTICS": "1"}
    return {**os.environ, **who, **here, **more}


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, check=True, env=environment(root), capture_output=True)


def dvc(root: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=root, env=environment(root), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def nameless(root: Path) -> list[str]:
    return [place.name for place in forgotten.runs([RECIPE], root)]


def places(root: Path) -> set[str]:
    return {path.name for path in (root / "checkpoints" / RECIPE).glob("*")}


@pytest.mark.slow
def test_an_experiment_in_the_workspace_keeps_its_weights_until_it_is_removed(project: Path) -> None:
    first = places(project)
    dvc(project, "exp", "run", "-q", "-n", "faster", "-S", "seed=8", f"train@{RECIPE}", "later")
    (new,) = places(project) - first
    assert nameless(project) == []
    git(project, "stash", "-q")
    dvc(project, "checkout", "-q", "--force", f"train@{RECIPE}")
    used = records.read_one(project / f"runs/{RECIPE}/run.json", RunRecord)
    assert Path(used.directory).name in first and nameless(project) == []
    git(project, "stash", "drop", "-q")
    assert nameless(project) == []
    dvc(project, "exp", "remove", "-q", "faster")
    assert nameless(project) == [new], "also while git's log still has the commit that DVC made"


@pytest.mark.slow
def test_an_experiment_in_a_copy_keeps_its_weights_while_it_runs_and_until_it_is_removed(
    project: Path, tmp_path: Path
) -> None:
    first, pause = places(project), tmp_path / "pause"
    pause.touch()
    words = ["exp", "run", "--temp", "-n", "wider", "-S", "seed=9", f"train@{RECIPE}", "later"]
    running = subprocess.Popen(
        [sys.executable, "-m", "dvc", *words], cwd=project, env=environment(project, PAUSE=str(pause)), stdout=subprocess.DEVNULL
    )  # fmt: skip
    end = time.monotonic() + 200
    while not (tmp_path / "paused").exists():
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    (new,) = places(project) - first
    assert nameless(project) == [], "git knows nothing of it yet"
    pause.unlink()
    assert running.wait(200) == 0 and nameless(project) == []
    dvc(project, "exp", "remove", "-q", "wider")
    assert nameless(project) == [new]
