"""Two machines train one run: two torchrun agents on one machine, each with processes of its own, over gloo."""

import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.factories import training
from tests.train import node_lab
from tests.train.test_loop import final_state
from tests.train.test_peers import steps_of, together
from voicelathe.train import loop

pytestmark = pytest.mark.slow
STEPS = 200  # enough that a signal is there before they are done, on a quick machine, too


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return training.corpus(tmp_path_factory.mktemp("corpus"))


def test_two_machines_have_the_losses_of_one_process_and_the_bytes_of_two_processes_on_one_machine(
    corpus: Path, tmp_path: Path
) -> None:
    train = training.train_settings("full", steps=4, every=2)
    loop.run(training.train_job(corpus, tmp_path / "one", train), lambda *_: None)
    alone = node_lab.shared(training.train_job(corpus, tmp_path / "two", train))
    assert together(alone, tmp_path / "log") == [0, 0], (tmp_path / "log").read_text()
    job = node_lab.shared(training.train_job(corpus, tmp_path / "nodes", train))
    ends = node_lab.both(node_lab.project(tmp_path / "project"), job)
    assert [code for code, _ in ends] == [0, 0], ends
    for one, several in zip(steps_of(tmp_path / "one"), steps_of(tmp_path / "nodes"), strict=True):
        assert one.clip_ids == several.clip_ids
        assert several.total == pytest.approx(one.total, rel=1e-6)
    assert final_state(tmp_path / "nodes") == final_state(tmp_path / "two")
    assert [step.step for step in steps_of(tmp_path / "nodes")] == [1, 2, 3, 4], "one machine writes"


def test_four_processes_give_the_same_bytes_on_one_machine_and_on_two(corpus: Path, tmp_path: Path) -> None:
    """So machines are no part of a run's identity: only how many processes there are in all."""
    train = replace(training.train_settings("lora", steps=2, every=2), clips_per_pass=1)
    four = node_lab.shared(training.train_job(corpus, tmp_path / "one", train), 4)
    assert together(four, tmp_path / "log") == [0] * 4, (tmp_path / "log").read_text()
    job = node_lab.shared(training.train_job(corpus, tmp_path / "nodes", train), 4)
    ends = node_lab.both(node_lab.project(tmp_path / "project", processes=4), job)
    assert [code for code, _ in ends] == [0, 0], ends
    assert final_state(tmp_path / "nodes") == final_state(tmp_path / "one")


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.is_file() else 0


@pytest.mark.parametrize("which", ["stage", "joiner"])
def test_a_killed_machine_ends_the_other_with_what_to_do_and_the_same_commands_resume_exactly(
    corpus: Path, tmp_path: Path, which: str
) -> None:
    """SIGKILL for everything that a machine runs: its connections close, and the other ends long before any time-out."""
    train = training.train_settings("lora", steps=40, every=5)
    whole = node_lab.shared(training.train_job(corpus, tmp_path / "whole", train))
    assert together(whole, tmp_path / "log") == [0, 0], (tmp_path / "log").read_text()
    folder, run = node_lab.project(tmp_path / "project"), tmp_path / "run"
    job = node_lab.shared(training.train_job(corpus, run, train))
    machines = {"stage": node_lab.stage(folder, job), "joiner": node_lab.joiner(folder)}
    node_lab.until(lambda: lines_of(run / "steps.jsonl") >= 12)
    killed = machines.pop(which)
    node_lab.signal_all(node_lab.family_of(killed.pid), signal.SIGKILL)
    began = time.monotonic()
    (left,) = machines.values()
    code, said = node_lab.ended(left)
    assert code == 1 and "ClusterError: " in said and "start the same commands again" in said, said
    assert "Traceback" not in said
    assert time.monotonic() - began < 60, "it waited for a time-out"
    killed.communicate()
    ends = node_lab.both(folder, job)
    assert [code for code, _ in ends] == [0, 0], ends
    assert final_state(run) == final_state(tmp_path / "whole")


@pytest.mark.parametrize("which", ["stage", "joiner"])
def test_a_term_signal_to_one_machine_saves_and_ends_both_and_the_same_commands_resume_exactly(
    corpus: Path, tmp_path: Path, which: str
) -> None:
    train = training.train_settings("lora", steps=STEPS, every=STEPS)
    whole = node_lab.shared(training.train_job(corpus, tmp_path / "whole", train))
    assert together(whole, tmp_path / "log") == [0, 0], (tmp_path / "log").read_text()
    folder, run = node_lab.project(tmp_path / "project"), tmp_path / "run"
    job = node_lab.shared(training.train_job(corpus, run, train))
    machines = {"stage": node_lab.stage(folder, job), "joiner": node_lab.joiner(folder)}
    node_lab.until(lambda: lines_of(run / "steps.jsonl") >= 5)
    machines[which].send_signal(signal.SIGTERM)
    ends = {name: node_lab.ended(machine) for name, machine in machines.items()}
    other = ends["joiner" if which == "stage" else "stage"]
    assert other[0] == 1 and "One of the machines of this run was asked to stop" in other[1], ends
    (state,) = run.glob("state_*")
    assert int(state.name.removeprefix("state_")) == lines_of(run / "steps.jsonl") < STEPS
    assert [code for code, _ in node_lab.both(folder, job)] == [0, 0]
    assert final_state(run) == final_state(tmp_path / "whole")


def test_a_machine_that_says_nothing_more_is_missed_in_bounded_time(corpus: Path, tmp_path: Path) -> None:
    """As a machine without power: its connections stay open, and nothing else would end a step for an hour."""
    run, train = tmp_path / "run", training.train_settings("lora", steps=2000, every=2000)
    job = node_lab.shared(training.train_job(corpus, run, train))
    workers = node_lab.workers(tmp_path, job, silent_s=8.0)
    node_lab.until(lambda: lines_of(run / "steps.jsonl") >= 3)
    pids = node_lab.family_of(workers[1].pid)
    node_lab.signal_all(pids, signal.SIGSTOP)
    began = time.monotonic()
    try:
        code, said = node_lab.ended(workers[0], 90)
    finally:
        node_lab.signal_all(pids, signal.SIGKILL)
        workers[1].communicate()
    assert code != 0 and "Nothing was heard of process 1 of this run" in said, said
    assert 6 < time.monotonic() - began < 60


def test_what_stops_one_machine_is_told_on_the_other_in_its_own_words(corpus: Path, tmp_path: Path) -> None:
    """The second machine's clips are gone, which the first never reads."""
    run, train = tmp_path / "run", training.train_settings("lora", steps=4, every=4)
    job = node_lab.shared(training.train_job(corpus, run, train))
    gone = replace(job, clips=str(tmp_path / "gone.jsonl"))
    said = [node_lab.ended(one)[1] for one in node_lab.workers(tmp_path, job, 60.0, second=gone)]
    assert "stopped: " in said[0] and "gone.jsonl is missing" in said[0], said


def test_who_joins_trains_the_preflight_and_then_the_run(corpus: Path, tmp_path: Path) -> None:
    train = training.train_settings("lora", steps=2, every=2)
    folder = node_lab.project(tmp_path / "project")
    joiner = node_lab.joiner(folder)
    for name in ("preflight-0123", "0123"):
        job = node_lab.shared(training.train_job(corpus, tmp_path / name, train))
        code, said = node_lab.ended(node_lab.stage(folder, job))
        assert code == 0, said
    code, said = node_lab.ended(joiner)
    assert code == 0 and "the preflight is trained; waiting for the training itself" in said, said
    assert final_state(tmp_path / "preflight-0123") == final_state(tmp_path / "0123")
