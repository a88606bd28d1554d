"""Two processes that share the clips of a step train as one does; they stop together, and the first alone writes."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.factories import training
from tests.train import kill_lab, node_lab
from tests.train.test_loop import final_state
from voicelathe import checkpoints, digest, records
from voicelathe.config import params, schema
from voicelathe.data.latents import cache
from voicelathe.errors import CheckpointError, ParamsError, WorkerError
from voicelathe.process import jobs, runner
from voicelathe.train import batches, distributed, loop, memory
from voicelathe.worker import __main__ as worker


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return training.corpus(tmp_path_factory.mktemp("corpus"))


def shared(corpus: Path, directory: Path, train: schema.Train, processes: int = 2) -> jobs.TrainJob:
    job = training.train_job(corpus, directory, train)
    return replace(job, target=replace(job.target, machine=schema.Machine("cpu", 1, processes)))


def together(job: jobs.TrainJob, log: Path, emit: Any = lambda *_: None) -> list[int]:
    """Train in processes forked from this one, which has everything loaded; returns how each ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    count = job.target.machine.processes

    def work(rank: int) -> None:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=str(rank), WORLD_SIZE=str(count))
        with distributed.joined(job.target.machine) as group:
            loop.run(job, lambda kind, values: emit(group, kind, values), group)

    children = [kill_lab.child(lambda rank=rank: work(rank), log) for rank in range(count)]
    return [kill_lab.ended(child) for child in children]


def steps_of(directory: Path) -> list[records.StepRecord]:
    return records.read(directory / "steps.jsonl", records.StepRecord)


@pytest.mark.parametrize(
    "mode, optimizer, weights",
    [
        ("full", "adamw", "fp32"),
        *(
            pytest.param(*stack, marks=pytest.mark.slow)
            for stack in [
                ("lora", "adamw", "fp32"),
                ("full", "adamw8bit", "bf16_split16"),
                ("full", "adamw8bit", "bf16_stochastic"),
            ]
        ),
    ],
)
def test_two_processes_have_the_losses_of_one(
    corpus: Path, tmp_path: Path, mode: str, optimizer: str, weights: str
) -> None:
    """Within 1e-6 in fp32, and within the grain of bf16 gradients otherwise."""
    train = training.train_settings(mode, steps=3, every=3, optimizer=optimizer, weights=weights)
    train = replace(train, learning_rate=1e-3, lora=train.lora and replace(train.lora, dropout=0.0))
    loop.run(training.train_job(corpus, tmp_path / "one", train), lambda *_: None)
    ends = together(shared(corpus, tmp_path / "two", train), tmp_path / "log")
    assert ends == [0, 0], (tmp_path / "log").read_text()[-2000:]
    one, two = steps_of(tmp_path / "one"), steps_of(tmp_path / "two")
    assert one[0].losses == two[0].losses, "the same passes, so the same losses until weights differ"
    tolerance = 1e-6 if weights == "fp32" else 5e-3
    for alone, joint in zip(one, two, strict=True):
        assert alone.clip_ids == joint.clip_ids
        assert joint.total == pytest.approx(alone.total, rel=tolerance)
        assert joint.grad_norm == pytest.approx(alone.grad_norm, rel=10 * tolerance)
    checkpoints.verify(tmp_path / "two" / "step_0000003")


def local_of_a_caller(name: str) -> Any:
    frame = sys._getframe(1)
    while name not in frame.f_locals:
        assert frame.f_back is not None, f"nobody who calls has {name}"
        frame = frame.f_back
    return frame.f_locals[name]


def test_weights_stay_the_same_in_every_process_and_only_the_first_writes(
    corpus: Path, tmp_path: Path
) -> None:
    train = training.train_settings(
        "full", steps=2, every=1, optimizer="adamw8bit", weights="bf16_stochastic"
    )
    job = shared(corpus, tmp_path / "run", train)

    def look(group: distributed.Peers, kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PROGRESS and values["done"] == 2:
            trainer = local_of_a_caller("trainer")
            sums = [p.detach().double().sum().item() for p in trainer.plan.trainable.values()]
            digest.write_json(tmp_path / f"rank-{group.rank}.json", {"sums": sums})

    assert together(job, tmp_path / "log", look) == [0, 0], (tmp_path / "log").read_text()[-2000:]
    first, second = (digest.read_json(tmp_path / f"rank-{rank}.json") for rank in (0, 1))
    assert first == second
    assert [step.step for step in steps_of(tmp_path / "run")] == [1, 2]
    assert len((tmp_path / "run" / "saves.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_a_term_signal_to_one_process_saves_and_ends_all_at_the_same_step_and_they_resume_exactly(
    corpus: Path, tmp_path: Path
) -> None:
    train = training.train_settings("lora", steps=5, every=5)
    assert together(shared(corpus, tmp_path / "whole", train), tmp_path / "log") == [0, 0]
    job = shared(corpus, tmp_path / "run", train)

    def stop_second(group: distributed.Peers, kind: str, values: dict[str, Any]) -> None:
        if group.rank == 1 and kind == jobs.PHASE and values["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    ends = together(job, tmp_path / "log", stop_second)
    assert ends == [kill_lab.BROKEN, kill_lab.BROKEN] and "SystemExit: 143" in (tmp_path / "log").read_text()
    assert [path.name for path in (tmp_path / "run").glob("state_*")] == ["state_0000003"]
    assert together(job, tmp_path / "log") == [0, 0]
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


def test_a_gradient_that_is_missing_here_counts_as_zero_and_one_missing_everywhere_stays_away(
    tmp_path: Path,
) -> None:
    """AdamW would decay a weight whose gradient is zero, and leaves one without a gradient alone."""

    def work(rank: int) -> None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        here, nowhere, both = (torch.nn.Parameter(torch.zeros(3, dtype=torch.bfloat16)) for _ in range(3))
        both.grad = torch.tensor([1.0, 2.0, 257.0]).bfloat16()
        if rank == 0:
            here.grad = torch.ones(3, dtype=torch.bfloat16)
        with distributed.joined(schema.Machine("cpu", 1, 2)) as group:
            group.add_gradients([here, nowhere, both])
        assert nowhere.grad is None and here.grad is not None and here.grad.tolist() == [1.0, 1.0, 1.0]
        assert both.grad.dtype == torch.bfloat16 and both.grad.tolist() == [2.0, 4.0, 512.0]
        assert memory.gradient_norms({"here": here, "nowhere": nowhere}).keys() == {"here"}

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = [kill_lab.child(lambda rank=rank: work(rank), tmp_path / "log") for rank in (0, 1)]
    assert [kill_lab.ended(child) for child in children] == [0, 0], (tmp_path / "log").read_text()


def test_processes_that_would_go_on_from_different_steps_are_stopped(tmp_path: Path) -> None:
    """As where another machine sees an older state: their weights would differ, and nobody would notice."""

    def work(rank: int) -> None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        with distributed.joined(schema.Machine("cpu", 1, 2)) as group:
            assert group.require_same_step(7) == 7
            with pytest.raises(CheckpointError, match="from different steps: 10, 11, in the order"):
                group.require_same_step(10 + rank)

    port = str(node_lab.free_port())
    children = [kill_lab.child(lambda rank=rank: work(rank), tmp_path / "log") for rank in (0, 1)]
    assert [kill_lab.ended(child) for child in children] == [0, 0], (tmp_path / "log").read_text()


@pytest.mark.slow
def test_torchrun_trains_a_job_for_two_and_its_weights_load(corpus: Path, tmp_path: Path) -> None:
    """The worker becomes torchrun: events of one process, weights of all, one process id to follow."""
    train = training.train_settings("lora", steps=4, every=2)
    counts = runner.run(shared(corpus, tmp_path / "run", train), "two")
    assert counts["num_train_clips"] == 12
    assert load_file(tmp_path / "run" / "step_0000004" / "lora_weights.safetensors")
    assert [step.step for step in steps_of(tmp_path / "run")] == [1, 2, 3, 4]


def test_torchrun_gives_a_trainer_that_is_asked_to_stop_as_long_as_its_parent_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own 30 s are not enough for the state of a large model; and Ctrl-C is the parent's to pass on."""
    became: list[str] = []
    monkeypatch.setattr(sys, "argv", ["worker", "job.json"])
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setattr(os, "execv", lambda _path, command: became.extend(command))
    worker._spread(2, None)
    assert {f"--shutdown-timeout={jobs.STOP_S}", "--signals-to-handle=SIGTERM"} <= set(became)


@pytest.mark.slow
def test_killing_the_worker_of_two_ends_both_and_the_run_goes_on_to_identical_bytes(
    corpus: Path, tmp_path: Path
) -> None:
    train = training.train_settings("lora", steps=30, every=10)
    runner.run(shared(corpus, tmp_path / "whole", train), "two")
    job = shared(corpus, tmp_path / "run", train)
    digest.write_json(tmp_path / "job.json", {"verb": "train", "job": records.to_json(job)})
    command = [sys.executable, "-m", "voicelathe.worker", str(tmp_path / "job.json")]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert worker.stdout is not None
    for line in worker.stdout:
        if jobs.decode(line).values.get("step") == 12:
            break
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    assert len(children) == 2
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a process outlived the one that started it"
        time.sleep(0.1)
    runner.run(job, "two")
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


@pytest.mark.slow
def test_what_stops_the_second_process_is_told_by_its_own_words(corpus: Path, tmp_path: Path) -> None:
    """Its clip is not a number; the first process never sees that clip."""
    train = training.train_settings("lora", steps=4, every=2)
    other = training.corpus(tmp_path / "bad")
    order = cache.items(other / "train.jsonl", other / "latents", None)
    name = batches.Order(list(order), train.clips_per_step, 1).of_step(1)[-1]  # of the second pass
    cached = {clip_id: tmp_path / "cache" / f"{clip_id}.safetensors" for clip_id in order}
    for clip_id, item in order.items():
        encoding = item.tensors["latents"].clone()
        cache.store(cached[clip_id], {"latents": encoding * float("nan") if clip_id == name else encoding})
    clips = records.read(other / "train.jsonl", records.CleanClip)
    cache.bundle({"train": clips}, cached, tmp_path / "latents")
    job = replace(shared(other, tmp_path / "run", train), latents=str(tmp_path / "latents"))
    with pytest.raises(WorkerError, match=f"the loss of clip {name} is not finite"):
        runner.run(job, "two")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"clips_per_pass": 8}, "1 passes a step cannot be shared evenly among machine.processes = 2"),
        ({"clips_per_pass": 4, "gradient_release": True}, "before machine.processes = 2 could add theirs"),
    ],
)
def test_a_step_that_two_processes_cannot_share_is_refused_with_what_to_change(
    changes: dict[str, Any], message: str
) -> None:
    tree = params.read_yaml(Path("params.yaml"))
    tree["machine"]["processes"] = 2
    tree["recipes"]["mini-full"]["train"].update(changes)
    with pytest.raises(ParamsError, match=message):
        params.check(tree, "params.yaml")
