"""`voicelathe retrain`, `track` and `verdict import` on a real dvc, a real MLflow store and real files."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Run
from tests.factories import evaluations
from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.cli.recipes import aside
from voicelathe.config import params
from voicelathe.records import RunRecord
from voicelathe.registry.history import journal
from voicelathe.registry.weights import forgotten
from voicelathe.runs import identity, locks

STAGE = """
stages:
  preflight:
    foreach: ${recipes}
    do:
      cmd: python -c "pass" ${key}
      params:
        - seed
  train:
    foreach: ${recipes}
    do:
      cmd: python -m train_stage ${key}
      params:
        - seed
      outs:
        - runs/${key}/run.json
        - runs/${key}/checkpoints.json
  listen:
    foreach: ${recipes}
    do:
      cmd: python -m listen_stage ${key}
      deps:
        - runs/${key}/checkpoints.json
"""
LISTENER = """
import sys
from pathlib import Path
from tests.factories import runs
from voicelathe import layout, records
run = records.read_one(layout.run(sys.argv[1], "run.json"), records.RunRecord)
for one in records.read(layout.run(sys.argv[1], "samples.jsonl"), records.SampleRecord):
    runs.sample(Path(), run, records.Candidate(one.step, one.lora_scale), one.line_id)
"""
SHORT = {"steps": 60, "checkpoint_every": 10}
TRAINER = """
import shutil
import sys
import time
from pathlib import Path
from tests.factories import runs
from voicelathe.config import params
from voicelathe import digest, layout, records
from voicelathe.registry.weights import forgotten
from voicelathe.runs.identity import FINISHED, IDENTITY, identify
from voicelathe.stages.train import _claim, train
run = identify(params.load(), sys.argv[1], 5)
_claim(Path(run.directory), run)
if (Path(run.directory) / FINISHED).is_file():  # as the stage itself does: nothing is trained
    run, index = train(params.load(), run)
    listed = {"run_digest": run.run_digest, "checkpoints": [records.to_json(one) for one in index]}
    digest.write_json(layout.run(sys.argv[1], "checkpoints.json"), listed)
    digest.write_json(layout.run(sys.argv[1], "run.json"), records.to_json(run))
    forgotten.note(run, Path())
    sys.exit()
if Path("fail").exists():
    sys.exit("the stage fails")
if Path("hang").exists():
    Path("training").touch()
    time.sleep(600)
made = runs.finished(Path(), sys.argv[1], run=run, weights_seed=int(Path("weights-seed").read_text()))
digest.write_json(Path(run.directory) / FINISHED, {"num_trainable": 90_000})
forgotten.note(made.run, Path())
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
    (root / "pipelines").mkdir()
    (root / "pipelines/train.py").write_text("REVISION = 5\n")
    params.edit(
        {
            f"recipes/{one}/train/{name}": value
            for one in ("mini-lora", "mini-full")
            for name, value in SHORT.items()
        },
        root / "params.yaml",
    )
    (root / "train_stage.py").write_text(TRAINER)
    (root / "listen_stage.py").write_text(LISTENER)
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


def follow(advice: str) -> None:
    """Type what a message says."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(advice, shell=True, check=True, env={**os.environ, "PATH": path})


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


@pytest.mark.slow
def test_retraining_after_an_edit_leaves_the_weights_of_the_former_settings_where_they_are(
    trained: Path, run: Run
) -> None:
    place, old = directory(), digest.of_tree(directory())
    params.edit({"recipes/mini-lora/train/learning_rate": 0.0004})
    done = run("retrain", "mini-lora")
    assert done.code == 0, done.told
    assert "these settings have no weights here" in done.out and "elete" not in done.out
    assert directory() != place and digest.of_tree(place) == old
    assert not list(place.parent.glob("*set-aside*"))


@pytest.mark.slow
def test_lost_weights_are_trained_again_and_then_nothing_is_left_to_say(trained: Path, run: Run) -> None:
    """summary -> retrain -> dvc repro was a circle: DVC does not follow weights and holds the stage for up to date."""
    place, old = directory(), digest.of_tree(directory())
    shutil.rmtree(place)
    lost = run("summary")
    assert lost.code == 3 and "voicelathe retrain mini-lora" in lost.out
    done = run("retrain", "mini-lora")
    assert done.code == 0, done.told
    assert "6 of 6 checkpoints are identical" in done.out
    assert {name: sha for name, sha in digest.of_tree(place).items() if name.startswith("step_")} == {
        name: sha for name, sha in old.items() if name.startswith("step_")
    }
    assert run("summary").code == 0


@pytest.mark.slow
def test_promoted_weights_stay_in_their_place_while_their_run_is_trained_again(
    trained: Path, run: Run
) -> None:
    weights = promote()
    before = digest.of_tree(weights)
    (trained / "fail").touch()
    index = layout.run("mini-lora", "checkpoints.json").read_bytes()
    failed = run("retrain", "mini-lora")
    assert failed.code == 1 and digest.of_tree(weights) == before, "also while training, and when it fails"
    assert "was not trained again to its end" in failed.err and "in its place as before" in failed.err
    assert layout.run("mini-lora", "checkpoints.json").read_bytes() == index and run("summary").code == 0
    (trained / "fail").unlink()
    done = run("retrain", "mini-lora")
    assert done.code == 0 and "6 of 6 checkpoints are identical" in done.out, done.told
    assert digest.of_tree(weights) == before
    (named,) = set(re.findall(r"Nothing needs (\S+) any more", done.out))
    shutil.rmtree(trained / named)
    assert digest.of_tree(weights) == before, "the advice to delete what was set aside is true"


@pytest.mark.slow
def test_promoted_weights_that_come_out_differently_are_put_back(trained: Path, run: Run) -> None:
    weights = promote()
    before, index = digest.of_tree(weights), layout.run("mini-lora", "checkpoints.json").read_bytes()
    born = weights.stat().st_ino
    (trained / "weights-seed").write_text("8")
    done = run("retrain", "mini-lora")
    assert done.code == 1 and "is or was in production and comes out differently" in done.err, done.told
    assert "CheckpointError: mini-lora was not trained again to its end: the reason stands above." in done.err
    assert digest.of_tree(weights) == before and weights.stat().st_ino == born
    assert layout.run("mini-lora", "checkpoints.json").read_bytes() == index
    assert run("summary").code == 0


PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def killed_while_training(root: Path) -> None:
    """`voicelathe retrain`, ended with all of its processes by SIGKILL while its stage trains."""
    (root / "hang").touch()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = [sys.executable, "-m", "voicelathe.cli", "retrain", "mini-lora"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        words, cwd=root, env={**os.environ, "PATH": path}, start_new_session=True, **quiet
    )
    end = time.monotonic() + 200
    while not (root / "training").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans become ours, so that they can be buried
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(
            -process.pid, 0
        ):  # DVC takes the lock of a dead process that nobody buried for a living one's
            pass
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)  # or orphans of later tests would wait for us
    (root / "hang").unlink()
    (root / "training").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["failed", "failed twice", "killed", "killed between two renames"])
@pytest.mark.parametrize("is_promoted", [False, True])
def test_a_retrain_after_one_that_did_not_end_begins_where_that_one_began(
    trained: Path, run: Run, how: str, is_promoted: bool
) -> None:
    """Weights, samples and records are as if the one that did not end had never been typed."""
    weights = promote() if is_promoted else directory() / "step_0000040"
    place, old = directory(), digest.of_tree(directory())
    digest.write_json(place / forgotten.NOTED, sorted({"of another branch", *forgotten.noted(place)}))
    old = digest.of_tree(place)
    if how == "killed":
        killed_while_training(trained)
    elif how == "killed between two renames":
        place.rename(f"{place}.set-aside-1")
    else:
        (trained / "fail").touch()
        for _ in how.split():
            assert run("retrain", "mini-lora").code == 1
        (trained / "fail").unlink()
    assert (
        how != "killed"
        or not is_promoted
        or digest.of_tree(weights).items() <= old_below(old, weights).items()
    )
    done = run("retrain", "mini-lora")
    assert done.code == 0 and "6 of 6 checkpoints are identical" in done.out, done.told
    assert ("earlier retrain did not end" in done.out) == (not is_promoted or "failed" not in how), done.out
    found = digest.of_tree(place)
    assert {name: found.get(name) for name in old} == old
    assert "samples are gone" not in done.out and run("summary").code == 0


def old_below(old: dict[str, str], weights: Path) -> dict[str, str]:
    """What lay in one directory of a run."""
    return {name.partition("/")[2]: sha for name, sha in old.items() if name.startswith(f"{weights.name}/")}


@pytest.mark.slow
def test_what_a_finished_retrain_set_aside_is_not_taken_for_the_weights_of_now(
    trained: Path, run: Run
) -> None:
    place = directory()
    (trained / "weights-seed").write_text("8")
    assert "0 of 6 checkpoints are identical" in run("retrain", "mini-lora").out
    shutil.rmtree(place)
    done = run("retrain", "mini-lora")
    assert "did not end" not in done.out and "6 of 6 checkpoints are identical" in done.out, done.told
    assert not list(place.parent.glob("*.set-aside-2"))


@pytest.mark.slow
def test_promoted_weights_without_the_record_of_their_run_are_trained_again(trained: Path, run: Run) -> None:
    """As an archive of an earlier version brings them; the mark of data for research stays with what is kept."""
    weights = promote()
    (weights.parent / identity.IDENTITY).unlink()
    digest.write_json(weights.parent / identity.RESEARCH, {"gate_sha256": "of a gate without consent"})
    before = digest.of_tree(weights)
    done = run("retrain", "mini-lora")
    assert done.code == 0 and "6 of 6 checkpoints are identical" in done.out, done.told
    assert digest.of_tree(weights) == before and (weights.parent / identity.RESEARCH).is_file()


@pytest.mark.slow
def test_damaged_weights_that_were_promoted_are_trained_again(trained: Path, run: Run) -> None:
    weights = promote()
    before = digest.of_tree(weights)
    next(weights.glob("*.safetensors")).write_bytes(b"damaged")
    cured = run("retrain", "mini-lora")
    assert cured.code == 0 and "version 1 of voicelathe, is damaged or gone" in cured.out, cured.told
    assert digest.of_tree(weights) == before


def promote() -> Path:
    """As `promote` writes it down; returns where the weights are."""
    chosen = records.read_one(layout.run("mini-lora", "selection.json"), records.Selection)
    run = records.read_one(layout.run("mini-lora", "run.json"), RunRecord)
    weights = Path(run.directory) / f"step_{chosen.step:07d}"
    promotion = records.Promotion(
        "voicelathe", "1", None, "mini-lora", run.run_digest, str(chosen.selected), "lora", weights.as_posix(),
        str(chosen.checkpoint_sha256), factory.BASE, f"data/bases/{factory.BASE}", run.identity.base_digest, "Apache-2.0", {"awb": ["en"]},
        "anna", "2026-11-01T10:00:00+00:00", None, [], {},
    )  # fmt: skip
    with journal.locked(Path()) as book:
        for event in (journal.BEGUN, journal.DONE):
            book.append(event, "promote", promotion)
    return weights


@pytest.mark.slow
def test_a_run_in_progress_is_not_set_aside(trained: Path, run: Run) -> None:
    place = directory()
    with locks.run_directory(place):
        done = run("retrain", "mini-lora")
    assert done.code == 1 and done.err.startswith("RunLocked: mini-lora cannot be set aside")
    assert place.is_dir() and not list(place.parent.glob("*set-aside*"))


@pytest.mark.slow
def test_a_failing_stage_says_where_the_former_weights_are(trained: Path, run: Run) -> None:
    (trained / "fail").touch()
    aside = f"{directory()}.set-aside-1"
    done = run("retrain", "mini-lora")
    assert done.code == 1
    assert "WorkerError: dvc repro --force --single-item train@mini-lora ended with exit code" in done.err
    assert f"The former weights are in {aside}; to take them back: " in done.err and Path(aside).is_dir()
    (trained / "fail").unlink()
    follow(done.err.split("to take them back: ")[1].strip())
    assert "6 of 6" in run("retrain", "mini-lora").out, "the advice brought them back"


@pytest.mark.slow
def test_an_interrupted_run_without_record_is_found_by_its_directory(trained: Path, run: Run) -> None:
    place = directory()
    layout.run("mini-lora", "run.json").unlink()
    layout.run("mini-lora", "checkpoints.json").unlink()
    (layout.CHECKPOINTS / "mini-lora" / "preflight-0123").mkdir()
    (layout.CHECKPOINTS / "mini-lora" / "another").mkdir()
    done = run("retrain", "mini-lora")
    assert done.code == 0, done.told
    assert "6 checkpoints; there were none to compare with." in done.out
    assert place.with_name(f"{place.name}.set-aside-1").is_dir()
    assert (layout.CHECKPOINTS / "mini-lora" / "another").is_dir()


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


def test_what_is_set_aside_last_has_the_highest_number(tmp_path: Path) -> None:
    place = tmp_path / "run"
    for number in (2, 11):
        place.with_name(f"run{aside.SET_ASIDE}{number}").mkdir()
    assert aside.free(place).name == f"run{aside.SET_ASIDE}12", "1 was deleted, and 12 is newer than all"
