"""The live mirror: what MLflow does reaches neither the training nor the numbers."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe.records import RunRecord
from voicelathe.tracking import replay, store
from voicelathe.tracking.live.mirror import Mirror

STEPS = 60
PATIENCE_S = 1.0  # in these tests, at the end of a run whose server does not answer
KEYS = (
    *("train/loss_total", "train/loss_diff", "train/loss_stop", "train/signs", "train/lr"),
    *("train_gradients/norm", "train_gradients/norm_lm", "train_speed/clips_per_s"),
)


@pytest.fixture
def run(root: Path) -> RunRecord:
    """The run as the train stage knows it; its journals are not written yet."""
    planned = runs.planned(root)
    for name in ("steps.jsonl", "timings.jsonl"):
        (root / planned.directory / name).unlink()
    return planned


def train(
    root: Path, run: RunRecord, first: int = 1, last: int = STEPS, pause_s: float = 0.0, seconds: float = 0.25
) -> float:
    """Journal steps as a worker does. Returns the longest time that one of them took, pause excluded."""
    slowest = 0.0
    for step, timing in zip(*runs.journals(last, first), strict=True):
        began = time.monotonic()
        runs.append(root / run.directory, [step], [replace(timing, seconds=seconds)])
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(pause_s)
    return slowest


def assert_every_step_once(root: Path) -> None:
    client = stores.client(root)
    run = stores.only_run(client)
    steps, _timings = runs.journals(STEPS)
    for key in KEYS:
        found = stores.history(client, run.info.run_id, key)
        assert [step for step, _value in found] == list(range(1, STEPS + 1)), key
    assert stores.history(client, run.info.run_id, "train/loss_total") == [(s.step, s.total) for s in steps]


def any_run(client: Any) -> Any:
    experiment = client.get_experiment_by_name("voicelathe")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return found[0] if found else None


def wait_for(condition: Callable[[], Any], limit_s: float = 20.0) -> Any:
    end = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
    return found


def test_steps_appear_while_the_run_trains_and_the_run_ends_finished(root: Path, run: RunRecord) -> None:
    client = stores.client(root)
    with Mirror(runs.tracking(), run, root, every_s=0.1) as mirror:
        train(root, run, last=20)
        started = wait_for(lambda: any_run(client))
        wait_for(lambda: len(stores.history(client, started.info.run_id, "train/loss_total")) == 20)
        assert client.get_run(started.info.run_id).info.status == "RUNNING"
        train(root, run, first=21)
    assert not mirror.degraded
    assert_every_step_once(root)
    assert stores.only_run(client).info.status == "FINISHED"


def test_the_replay_after_a_live_mirror_adds_no_step_twice(root: Path, run: RunRecord) -> None:
    with Mirror(runs.tracking(), run, root, every_s=0.1):
        train(root, run)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    assert_every_step_once(root)
    assert stores.only_run(stores.client(root)).data.params["parameters.trainable"] == "90000"


@pytest.mark.parametrize(
    "error, status", [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")]
)
def test_a_run_that_does_not_end_well_is_marked_as_such(
    root: Path, run: RunRecord, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), Mirror(runs.tracking(), run, root, every_s=0.1):
        train(root, run, last=5)
        raise error
    found = stores.only_run(stores.client(root))
    assert found.info.status == status
    assert found.data.metrics["train/loss_total"] > 0, "what was journaled before is there"


def test_a_resumed_run_continues_the_same_mlflow_run(root: Path, run: RunRecord) -> None:
    with pytest.raises(KeyboardInterrupt), Mirror(runs.tracking(), run, root, every_s=0.1):
        train(root, run, last=27)
        raise KeyboardInterrupt
    first = stores.only_run(stores.client(root))
    with Mirror(runs.tracking(), run, root, every_s=0.05):
        time.sleep(0.3)  # the mirror reads the old journal before the worker cuts it back to its last state
        for name in ("steps.jsonl", "timings.jsonl"):
            path = root / run.directory / name
            path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:20]))
            time.sleep(0.2)
        train(root, run, first=21, pause_s=0.01, seconds=0.5)
    assert_every_step_once(root)
    again = stores.only_run(stores.client(root))
    assert (again.info.run_id, again.info.status) == (first.info.run_id, "FINISHED")
    points = stores.client(root).get_metric_history(again.info.run_id, "train/lr")
    times = {point.step: point.timestamp - again.info.start_time for point in points}
    assert times[27] == 27 * 250, "what the first life sent stays"
    assert times[28] == 20 * 250 + 8 * 500, "the second life counts its own seconds from the restored step on"
    replay.mirror_all("mini-lora", runs.tracking(), root)
    assert_every_step_once(root)


def in_a_process(root: Path, uri: str, body: str) -> tuple[float, str]:
    """Run a training under a mirror in a process of its own; gives how long it took to leave and what it printed."""
    code = f"""
        import sys, time
        from pathlib import Path
        from tests.factories import runs
        from tests.tracking.test_live import train
        from voicelathe.tracking.live import mirror as live
        from voicelathe.tracking.live.mirror import Mirror
        live.PATIENCE_S[False] = {PATIENCE_S}
        root = Path({str(root)!r})
        run = runs.planned(root)
        {body}
    """
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    return time.time() - float(printed.split()[printed.split().index("left") + 1]), printed


TRAIN = "began = time.monotonic()\n        with Mirror(runs.tracking(), run, root) as mirror: slowest = train(root, run, pause_s=0.02)\n        print('slowest', slowest, 'total', time.monotonic() - began, 'degraded', mirror.degraded, 'left', time.time())"


@pytest.mark.parametrize("outage", [pytest.param("refused", marks=pytest.mark.slow), "black hole"])
def test_an_outage_costs_the_training_nothing_and_loses_nothing(
    root: Path, run: RunRecord, outage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stores.black_hole() as hole:
        uri = hole if outage == "black hole" else f"http://127.0.0.1:{stores.free_port()}"
        uri = uri.replace("http://", "http://anna:hunter2@")
        leaving, printed = in_a_process(root, uri, TRAIN)
    words = printed.split()
    slowest, total = float(words[words.index("slowest") + 1]), float(words[words.index("total") + 1])
    assert slowest < 4.0, (
        "a step waited for MLflow"
    )  # which takes 5 s to give up once; these are no measurements
    assert total < 30, "the end of the run waited for MLflow"
    assert leaving < 30, "the process could not leave"
    assert printed.count("is not keeping up") == 1 and "degraded True" in printed
    assert "hunter2" not in printed
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    assert_every_step_once(root)


def test_a_store_that_cannot_be_opened_is_the_mirrors_problem_alone(
    root: Path, run: RunRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with Mirror(runs.tracking(), run, root, every_s=0.05) as mirror:
        train(root, run, last=3)
        time.sleep(0.3)
    assert mirror.degraded and capsys.readouterr().err.count("is not keeping up") == 1


def test_a_damaged_journal_line_is_the_mirrors_problem_alone(root: Path, run: RunRecord) -> None:
    with Mirror(runs.tracking(), run, root, every_s=0.05) as mirror:
        train(root, run, last=3)
        with (root / run.directory / "steps.jsonl").open("ab") as file:
            file.write(b"not json\n")
        wait_for(lambda: mirror.degraded)
    assert mirror.degraded


def test_points_that_arrive_late_after_all_are_not_doubled(root: Path, run: RunRecord) -> None:
    """A server may finish a call that the mirror had given up: the replay then sends equal points, which MLflow drops."""
    from voicelathe.tracking.curves import Curves
    from voicelathe.tracking.runs import ensure, send

    train(root, run)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    opened = store.connect(runs.tracking(), root)
    found = ensure(opened, run, root)
    curves = Curves(found.info.start_time)
    curves.take(*runs.journals(STEPS))
    send(opened, found.info.run_id, curves.ready(final=True))
    assert_every_step_once(root)


def test_a_store_that_comes_back_gets_everything_before_the_run_ends(root: Path, run: RunRecord) -> None:
    database = root / "mlflow.db"
    kept = database.rename(root / "kept.db")
    database.mkdir()
    with Mirror(runs.tracking(), run, root, every_s=0.05) as mirror:
        train(root, run)
        wait_for(lambda: mirror.degraded)
        database.rmdir()
        kept.rename(database)
    assert_every_step_once(root)


def test_a_store_that_fails_in_the_middle_of_a_run_misses_nothing(root: Path, run: RunRecord) -> None:
    database = sqlite3.connect(root / "mlflow.db", isolation_level=None)
    with Mirror(runs.tracking(), run, root, every_s=0.05) as mirror:
        train(root, run, last=20)
        client = stores.client(root)
        started = wait_for(lambda: any_run(client))
        wait_for(lambda: len(stores.history(client, started.info.run_id, "train/lr")) == 20)
        database.execute(
            "create trigger full before insert on metrics begin select raise(abort, 'disk full'); end"
        )
        train(root, run, first=21, last=40)
        wait_for(lambda: mirror.degraded)
        database.execute("drop trigger full")
        train(root, run, first=41)
    assert_every_step_once(root)
