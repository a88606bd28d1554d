"""Saving beside the training: what is written is the step's own state, problems come to light, and little time is lost."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import training
from tests.train.test_loop import final_state, quiet
from voicelathe import checkpoints, digest
from voicelathe.errors import DiskFull
from voicelathe.process import jobs
from voicelathe.train import loop, saving


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("mode, weights", [("lora", "fp32"), ("full", "bf16_split8")])
def test_what_is_written_while_training_goes_on_is_the_state_of_its_own_step(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, weights: str
) -> None:
    train = training.train_settings(mode, steps=3, every=1, optimizer="adamw8bit", weights=weights)
    put, stepped, written = saving.put, threading.Event(), []

    def noted(final: Path, contents: Any, about: Any) -> Path:
        """Commit, and note who did it, what it is and which bytes; states are removed later."""
        kept = put(final, contents, about)
        written.append((threading.current_thread().name, final.name, checkpoints.identity(kept)))
        return kept

    def late(final: Path, contents: Any, about: Any) -> Path:
        if final.name.startswith("step_") and about["step"] < 3:
            assert stepped.wait(60), "the next step never came while this one was being written"
        return noted(final, contents, about)

    def listen(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and values["name"] == "checkpoint":
            stepped.clear()
        if kind == jobs.PROGRESS:
            stepped.set()

    with monkeypatch.context() as patch:
        patch.setattr(saving, "HOST_SHARE", 0.0)
        patch.setattr(saving, "put", noted)
        loop.run(training.train_job(corpus, tmp_path / "waiting", train), quiet)
    waiting, written = written, []
    monkeypatch.setattr(saving, "put", late)
    loop.run(training.train_job(corpus, tmp_path / "beside", train), listen)
    assert [entry[1:] for entry in written] == [entry[1:] for entry in waiting]
    assert [name for _, name, _ in written] == [
        f"{kind}_{step:07d}" for step in (1, 2, 3) for kind in ("step", "state")
    ]
    assert {thread for thread, _, _ in written} == {saving.THREAD}
    assert {thread for thread, _, _ in waiting} == {threading.current_thread().name}
    assert final_state(tmp_path / "beside") == final_state(tmp_path / "waiting")


def test_exact_bf16_weights_are_stored_once_for_checkpoint_and_resume(corpus: Path, tmp_path: Path) -> None:
    for weights, links in (("bf16_stochastic", True), ("fp32", False)):
        train = training.train_settings("full", steps=1, every=1, optimizer="adamw8bit", weights=weights)
        loop.run(training.train_job(corpus, tmp_path / weights, train), quiet)
        checkpoint = (tmp_path / weights / "step_0000001" / "model.safetensors").stat()
        state = (tmp_path / weights / "state_0000001" / "parameters.safetensors").stat()
        assert (checkpoint.st_ino == state.st_ino) == links


def test_a_full_disk_stops_the_run_and_what_was_saved_before_stays(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training.train_settings("lora", steps=6, every=2)
    job = training.train_job(corpus, tmp_path / "run", train)
    loop.run(training.train_job(corpus, tmp_path / "whole", train), quiet)
    usage, calls = shutil.disk_usage, []

    def full(path: Path) -> Any:
        calls.append(path)
        return usage(path) if len(calls) <= 4 else usage(path)._replace(free=1)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", full)
        with pytest.raises(DiskFull, match="The previous checkpoint is intact"):
            loop.run(job, quiet)
    assert calls[-1].parent == tmp_path / "run"
    checkpoints.verify(tmp_path / "run" / "step_0000002")
    assert checkpoints.newest_verified(tmp_path / "run", "state_") == tmp_path / "run" / "state_0000002"
    loop.run(job, quiet)
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


def test_a_snapshot_that_the_host_cannot_hold_is_written_while_training_waits(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "free_host_bytes", lambda: 1000)
    told = []

    def listen(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.NOTICE:
            told.append(values["text"])

    loop.run(
        training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=1, every=1)),
        listen,
    )
    assert told[0].startswith("step 1: ") and told[0].endswith("free; training waits for the disk")
    (line,) = (tmp_path / "run" / saving.SAVES).read_text().splitlines()
    assert '"blocked_s"' in line


def test_free_host_memory_is_a_number_below_what_the_machine_has() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < saving.free_host_bytes() <= total


def test_a_run_that_ends_by_an_error_still_finishes_the_save_it_began(corpus: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and (values["name"], values["step"]) == ("forward", 3):
            raise Killed

    train = replace(training.train_settings("lora", steps=4, every=2))
    with pytest.raises(Killed):
        loop.run(training.train_job(corpus, tmp_path / "run", train), kill)
    checkpoints.verify(tmp_path / "run" / "step_0000002")
    checkpoints.verify(tmp_path / "run" / "state_0000002")
    assert digest.of_file(tmp_path / "run" / "step_0000002" / checkpoints.MANIFEST)


def test_a_run_that_died_between_its_last_state_and_the_removal_of_the_one_before_still_removes_it(
    corpus: Path, tmp_path: Path
) -> None:
    """Found by 34 random kills: no save was left that would have done it."""
    job = training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=2, every=1))
    loop.run(job, quiet)
    shutil.copytree(tmp_path / "run" / "state_0000002", tmp_path / "run" / "state_0000001")
    loop.run(job, quiet)
    assert [path.name for path in (tmp_path / "run").glob("state_*")] == ["state_0000002"]
