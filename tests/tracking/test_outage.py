"""A real worker trains under the mirror while a real MLflow server is away: stopped, or frozen so that it answers nobody.

VOICELATHE_OUTAGE_S says for how many seconds; `make campaign` takes ten minutes.
"""

import contextlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs, training
from voicelathe import records
from voicelathe.process import child, jobs
from voicelathe.records import RunRecord
from voicelathe.tracking import store, ui
from voicelathe.tracking.live import mirror as live

OUTAGE_S = float(os.environ.get("VOICELATHE_OUTAGE_S", "10"))
WAITED = 0.01  # of its step time may an outage add to what a worker waits for its disk and for a processor
CLIPS = 96  # in a step, which then takes about a second


@dataclass
class Working:
    """A worker that trains until it is told to stop, and what it said of itself: (step, seconds waited so far)."""

    worker: child.Worker
    said: list[tuple[int, float]] = field(default_factory=list)

    @property
    def step(self) -> int:
        return self.said[-1][0] if self.said else 0

    def listen(self) -> None:
        for event in self.worker.events():
            if event.kind == jobs.PROGRESS:
                self.said.append((event.values["done"], event.values["waited_s"]))


@contextlib.contextmanager
def working(root: Path, directory: Path) -> Iterator[Working]:
    train = replace(
        training.train_settings(steps=1_000_000, every=1_000_000), clips_per_step=CLIPS, clips_per_pass=8
    )
    worker = child.Worker(training.train_job(training.corpus(root / "corpus"), directory, train), "outage")
    found = Working(worker)
    listener = threading.Thread(target=found.listen)
    listener.start()
    try:
        yield found
    finally:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.wait() == 143, worker.tail()
        listener.join()
        worker.end()


def until(condition: Any, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.2)


def away(server: Any, outage: str, place: Path, port: int, stack: contextlib.ExitStack) -> None:
    """Take the server away for a while and bring it back."""
    if outage == "refused":
        ui.stop(server)
    else:
        os.killpg(server.pid, signal.SIGSTOP)
    time.sleep(OUTAGE_S)
    if outage == "refused":
        stack.enter_context(stores.server_process(place, port))
    else:
        os.killpg(server.pid, signal.SIGCONT)


def last_step(uri: str) -> int:
    client = store.client_of(uri)
    return max(step for step, _ in stores.history(client, stores.only_run(client).info.run_id, "train/lr"))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("outage", ["refused", "black hole"])
def test_a_worker_neither_waits_for_a_server_that_is_away_nor_loses_or_doubles_a_point(
    root: Path, tmp_path: Path, empty_database: Path, outage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, port = tmp_path / "server", stores.free_port()
    place.mkdir()
    (place / "server.db").write_bytes(empty_database.read_bytes())
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(root)
    run = runs.planned(root, seed=8)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(stores.server_process(place, port))
        with live.Mirror(runs.tracking(), run, root) as mirror, working(root, root / run.directory) as work:
            until(lambda: work.step >= 5, 600)
            before = work.step
            away(server, outage, place, port, stack)
            back = work.step
            assert mirror.degraded and back > before + 2, "it trained on"
            until(lambda: last_step(uri) >= back, live.PAUSE_LIMIT_S + 120)
        with live.Mirror(runs.tracking(), run, root):
            pass  # as a resumed run begins: what the first mirror had no time for
        check_points(root, run, uri)
    shares = waited(root / run.directory, work, before, back)
    print(f"{outage}: {OUTAGE_S:g} s, steps {before} to {back} of {work.step}, waited {shares}")
    assert shares["away"] - shares["there"] < WAITED, shares


def check_points(root: Path, run: RunRecord, uri: str) -> None:
    """Every value of the journal is in the store, once."""
    client = store.client_of(uri)
    found = stores.only_run(client)
    rows = records.read(root / run.directory / "steps.jsonl", records.StepRecord)
    wanted = {
        "train/loss_total": [(row.step, row.total) for row in rows],
        "train_gradients/norm": [(row.step, row.grad_norm) for row in rows],
        "train/lr": [(row.step, row.learning_rate) for row in rows],
        **{f"train/loss_{name}": [(row.step, row.losses[name]) for row in rows] for name in rows[0].losses},
    }
    for key, values in wanted.items():
        assert stores.history(client, found.info.run_id, key) == values, key
    times = stores.history(client, found.info.run_id, "train_speed/clips_per_s")
    assert [step for step, _ in times] == [row.step for row in rows]


def waited(directory: Path, work: Working, before: int, back: int) -> dict[str, float]:
    """The share of its time that the worker waited, while the server was away and while it was there; medians of a step and its wait."""
    seconds = {row.step: row.seconds for row in records.read(directory / "timings.jsonl", records.StepTiming)}
    steps = list(zip(work.said, work.said[1:], strict=False))
    each = {step: now - then for (_, then), (step, now) in steps}
    shares = {}
    for name, chosen in (
        ("away", [step for step in each if before < step <= back]),
        ("there", [step for step in each if not before < step <= back]),
    ):
        shares[name] = sum(each[step] for step in chosen) / sum(seconds[step] for step in chosen)
    return shares | {
        "median_step_s": statistics.median(seconds.values()), "median_wait_s": statistics.median(each.values()),
    }  # fmt: skip
