"""Training that ends early: after the same step with the same bytes, however long its checkpoints take to be judged and whoever is killed."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import training
from tests.train import kill_lab
from tests.train.test_loop import final_state
from tests.train.test_peers import shared, together
from voicelathe import checkpoints, digest, records
from voicelathe.config import schema
from voicelathe.errors import WorkerError
from voicelathe.process import jobs
from voicelathe.records import EarlyCheck, EarlyStop
from voicelathe.runs import early_stopping
from voicelathe.train import loop

STALE = {1: 0, 2: 1, 3: 2, 4: 3}  # what judges find: nothing is better after step 1
ENDS = 4  # patience 2 is at its end with step 3, which is known when step 4 is written


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = training.corpus(tmp_path_factory.mktemp("corpus"))
    kill_lab.preload(job(root, root / "warm", None))
    return root


def job(corpus: Path, directory: Path, patience: int | None = 2, mode: str = "lora") -> jobs.TrainJob:
    """Six steps of two clips, a checkpoint at each."""
    early = None if patience is None else schema.EarlyStopping(patience, 4)
    train = replace(
        training.train_settings(mode, steps=6, every=1),
        clips_per_step=2,
        clips_per_pass=1,
        probe_every=6,
        early_stopping=early,
    )
    return training.train_job(corpus, directory, train)


def judge(run: jobs.TrainJob, step: int, stale: int) -> None:
    directory = Path(run.directory)
    sha256 = checkpoints.identity(early_stopping.weights(directory, step))
    check = EarlyCheck(step, sha256, run.run_digest, 1.0, {"a": 1.0}, [], 1, stale)
    digest.write_json(early_stopping.place(directory, step), records.to_json(check))


class Judge(threading.Thread):
    """Judges checkpoints in order as they appear, and rests before each."""

    def __init__(self, run: jobs.TrainJob, rest_s: float = 0.0) -> None:
        super().__init__()
        self._run, self._rest_s, self.over = run, rest_s, threading.Event()

    def run(self) -> None:
        for step in early_stopping.judged(self._run.train):
            while not early_stopping.weights(Path(self._run.directory), step).is_dir():
                if self.over.wait(0.01):
                    return
            time.sleep(self._rest_s)
            judge(self._run, step, STALE[step])

    def __enter__(self) -> "Judge":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


@pytest.fixture
def kept_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def trained(run: jobs.TrainJob, emit: Callable[[str, dict[str, Any]], None] = lambda *_: None) -> Any:
    return loop.run(run, emit)


def last_step(directory: Path) -> int:
    return records.read(directory / "steps.jsonl", records.StepRecord)[-1].step


@pytest.mark.slow
@pytest.mark.usefixtures("kept_handler")
def test_it_ends_after_the_same_step_with_the_same_bytes_whether_judges_are_quick_or_slow(
    corpus: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    ends = []
    for name, rest_s in (("quick", 0.0), ("slow", 0.4)):
        run = job(corpus, tmp_path / name)
        with Judge(run, rest_s):
            counts = trained(
                run, lambda kind, values: told.append(str(values)) if kind == jobs.NOTICE else None
            )
        ends.append(records.from_json(EarlyStop, counts["stopped_early"], "counts"))
    assert ends == [EarlyStop(ENDS, 6, 1, 2)] * 2
    assert last_step(tmp_path / "slow") == ENDS and not (tmp_path / "slow/step_0000005").exists()
    assert final_state(tmp_path / "quick") == final_state(tmp_path / "slow")
    assert "stopped at step 4 of 6: neither validation loss nor speech improved after step 1" in told[0]


@pytest.mark.usefixtures("kept_handler")
def test_up_to_its_end_it_is_the_training_that_makes_every_step(corpus: Path, tmp_path: Path) -> None:
    run = job(corpus, tmp_path / "early")
    with Judge(run):
        trained(run)
    counts = trained(job(corpus, tmp_path / "all", None))
    assert "stopped_early" not in counts and last_step(tmp_path / "all") == 6
    steps = {name: (tmp_path / name / "steps.jsonl").read_bytes().splitlines() for name in ("early", "all")}
    assert steps["early"] == steps["all"][:ENDS]
    assert checkpoints.identity(tmp_path / "early/step_0000004") == checkpoints.identity(
        tmp_path / "all/step_0000004"
    )


@pytest.mark.usefixtures("kept_handler")
def test_it_makes_every_step_where_something_goes_on_improving(corpus: Path, tmp_path: Path) -> None:
    run = job(corpus, tmp_path / "run", patience=3)
    with Judge(run):  # three checkpoints in a row would be known at step 5
        counts = trained(run)
    assert counts["stopped_early"]["step"] == 5
    patient = job(corpus, tmp_path / "patient", patience=4)
    with Judge(patient):
        assert "stopped_early" not in trained(patient)
    assert last_step(tmp_path / "patient") == 6


def test_killed_at_any_step_even_while_it_waits_it_ends_as_if_nobody_had_been(
    corpus: Path, tmp_path: Path
) -> None:
    whole = job(corpus, tmp_path / "whole")
    with Judge(whole):
        assert kill_lab.ended(kill_lab.child(lambda: kill_lab.train(whole), tmp_path / "log")) == 0
    run = job(corpus, tmp_path / "killed")
    for step in range(1, ENDS + 1):
        pid = kill_lab.child(lambda: kill_lab.train(run), tmp_path / "log")
        state = tmp_path / f"killed/state_{step:07d}"
        while not state.is_dir():
            time.sleep(0.01)
        time.sleep(0.1)  # from step 2 on it waits there: the checkpoint before is not judged yet
        os.kill(pid, signal.SIGKILL)
        assert kill_lab.ended(pid) == -signal.SIGKILL, (tmp_path / "log").read_text()
        if step > 1:
            judge(run, step - 1, STALE[step - 1])
    assert kill_lab.ended(kill_lab.child(lambda: kill_lab.train(run), tmp_path / "log")) == 0
    assert last_step(tmp_path / "killed") == ENDS
    assert final_state(tmp_path / "killed") == final_state(tmp_path / "whole")


def test_asked_to_stop_while_it_waits_it_leaves_with_everything_saved(corpus: Path, tmp_path: Path) -> None:
    run = job(corpus, tmp_path / "run")
    pid = kill_lab.child(lambda: kill_lab.train(run), tmp_path / "log")
    while not (tmp_path / "run/state_0000002").is_dir():
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(pid, signal.SIGTERM)
    code = kill_lab.ended(pid)
    assert code == kill_lab.BROKEN and f"SystemExit: {loop.STOPPED}" in (tmp_path / "log").read_text()
    checkpoints.verify(tmp_path / "run/state_0000002")
    with Judge(run):
        assert kill_lab.ended(kill_lab.child(lambda: kill_lab.train(run), tmp_path / "log")) == 0
    assert last_step(tmp_path / "run") == ENDS


@pytest.mark.usefixtures("kept_handler")
def test_where_nobody_can_judge_any_more_it_ends_with_the_reason_and_goes_on_from_there(
    corpus: Path, tmp_path: Path
) -> None:
    run = job(corpus, tmp_path / "run")
    failed = tmp_path / "run" / early_stopping.FOLDER / early_stopping.FAILED
    digest.write_json(failed, {"message": "the card was full"})
    with pytest.raises(WorkerError, match="the card was full"):
        trained(run)
    checkpoints.verify(tmp_path / "run/state_0000002")
    failed.unlink()
    with Judge(run):
        trained(run)
    assert last_step(tmp_path / "run") == ENDS


def test_what_was_found_in_other_weights_counts_for_nothing(corpus: Path, tmp_path: Path) -> None:
    run = job(corpus, tmp_path / "run")
    directory = tmp_path / "run"
    digest.write_json(early_stopping.weights(directory, 1) / checkpoints.MANIFEST, {"files": {}})
    judge(run, 1, 0)
    assert early_stopping.found(directory, 1, run.run_digest) is not None
    assert early_stopping.found(directory, 1, "f" * 64) is None, "of another run"
    digest.write_json(early_stopping.weights(directory, 1) / checkpoints.MANIFEST, {"files": {"other": {}}})
    assert early_stopping.found(directory, 1, run.run_digest) is None
    digest.write_text(early_stopping.place(directory, 1), "{")
    assert early_stopping.found(directory, 1, run.run_digest) is None, "half a file is none"


def test_two_processes_end_after_the_same_step(corpus: Path, tmp_path: Path) -> None:
    one = job(corpus, tmp_path / "run")
    run = shared(corpus, tmp_path / "run", one.train)
    with Judge(run, 0.1):
        assert together(run, tmp_path / "log") == [0, 0], (tmp_path / "log").read_text()
    assert last_step(tmp_path / "run") == ENDS


@pytest.mark.slow
def test_two_processes_that_hold_one_model_together_end_after_the_same_step(
    corpus: Path, tmp_path: Path
) -> None:
    one = job(corpus, tmp_path / "run", mode="full")
    run = shared(corpus, tmp_path / "run", replace(one.train, shard=True))
    with Judge(run, 0.1):
        assert together(run, tmp_path / "log") == [0, 0], (tmp_path / "log").read_text()
    assert last_step(tmp_path / "run") == ENDS
