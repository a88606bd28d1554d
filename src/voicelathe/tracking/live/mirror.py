"""How does MLflow see a run while it trains, without ever being able to stop or slow it?

The worker writes its two journals and knows nothing of MLflow. A daemon thread of the stage reads them and sends what
is new every two seconds. Whatever MLflow does (refuse, hang, fail), the thread keeps it to itself, says so once, tries
again later, and the stage `track` brings what is missing from the same files.
"""

import json
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from voicelathe import records
from voicelathe.config import schema
from voicelathe.records import RunRecord, StepRecord, StepTiming
from voicelathe.redaction import public
from voicelathe.tracking import runs
from voicelathe.tracking import store as stores
from voicelathe.tracking.curves import SECTION, Curves, Point
from voicelathe.tracking.live import dead, processes, usage
from voicelathe.tracking.live.tail import Tail
from voicelathe.tracking.pages import comparison

EVERY_S = 2.0
PAUSE_LIMIT_S = 300.0
PATIENCE_S = {
    True: 60.0,
    False: 5.0,
}  # at the end; an embedded store may still be making its database, but cannot hang
Row = TypeVar("Row", StepRecord, StepTiming)


class Mirror:
    """`with Mirror(tracking, run, root):` around a training. Neither entering, leaving nor anything between raises.

    Leaving waits at most a few seconds for the last points and then marks the MLflow run FINISHED; after an exception
    FAILED, after an interruption KILLED.
    """

    def __init__(
        self, tracking: schema.Tracking, run: RunRecord, root: Path, every_s: float = EVERY_S
    ) -> None:
        self._tracking, self._run, self._root, self._every_s = tracking, run, root, every_s
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:")
        directory = root / run.directory
        self._steps, self._timings = Tail(directory / "steps.jsonl"), Tail(directory / "timings.jsonl")
        self._usage = Tail(directory / usage.FILE)
        is_cuda = run.identity.device != "cpu"
        self._sampler = usage.Sampler(directory, is_cuda, every_s * usage.EVERY_S / EVERY_S)
        self._stop = threading.Event()
        self._status = "FINISHED"
        self._failures = 0
        self._connection: _Connection | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
        self.degraded = False  # something was not sent in time; the stage `track` brings it

    def __enter__(self) -> "Mirror":
        self._thread.start()
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._status = "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._sampler.stop()
        self._stop.set()
        self._thread.join(PATIENCE_S[stores.is_embedded(self._uri)])
        if self._thread.is_alive():
            self._degrade("it did not answer in time")

    def _work(self) -> None:
        """The thread. It ends after `_stop` was set, and only then."""
        ending = False
        while not ending:
            ending = self._stop.wait(
                0.0 if self._connection is None and not self._failures else self._pause_s()
            )
            try:
                self._send(ending)
                self._failures = 0
            except Exception as problem:  # whatever MLflow raises must not reach the training
                self._failures += 1
                self._connection = None
                self._degrade(stores.reason(problem))

    def _send(self, ending: bool) -> None:
        if self._connection is None:
            self._connection = _Connection(self._tracking, self._run, self._root)
            self._rewind()
        connection = self._connection
        connection.curves.take(*self._read(connection.curves))
        connection.send(connection.curves.ready(ending))
        connection.send_usage(list(usage.points(self._usage.read()[1])))
        if ending:
            connection.store.client.set_terminated(connection.run_id, self._status)

    def _read(self, curves: Curves) -> tuple[list[StepRecord], list[StepTiming]]:
        """New lines of both journals; all of both when a resumed worker has cut one of them back."""
        (steps_over, steps), (timings_over, timings) = self._steps.read(), self._timings.read()
        if steps_over or timings_over:
            self._rewind()
            curves.start_over()
            (_, steps), (_, timings) = self._steps.read(), self._timings.read()
        return _parse(StepRecord, steps), _parse(StepTiming, timings)

    def _rewind(self) -> None:
        self._steps, self._timings = Tail(self._steps.path), Tail(self._timings.path)
        self._usage = Tail(self._usage.path)

    def _pause_s(self) -> float:
        return min(PAUSE_LIMIT_S, self._every_s * 2.0**self._failures)

    def _degrade(self, why: str) -> None:
        if not self.degraded:
            self.degraded = True
            print(
                f"MLflow at {public(self._uri)} is not keeping up ({why}). Training goes on; the stage `track` sends what is missing.",
                file=sys.stderr,
                flush=True,
            )


class _Connection:
    """A store that answered, the MLflow run in it, and the steps it holds already."""

    def __init__(self, tracking: schema.Tracking, run: RunRecord, root: Path) -> None:
        self.store = stores.connect(tracking, root)
        found = runs.ensure(self.store, run, root)
        self.run_id: str = found.info.run_id
        self.curves = Curves(found.info.start_time)
        self._sent = {step for _key, step in runs.history(self.store, found, [f"{SECTION}/loss_total"])}
        self._looked = {
            step for _key, step in runs.history(self.store, found, [f"{usage.SECTION}/worker_gb"])
        }
        dead.end_in(self.store)
        comparison.ensure(self.store)
        self.store.client.set_tag(self.run_id, runs.PROCESS, processes.mark())
        if self.store.client.get_run(self.run_id).info.status != "RUNNING":
            self.store.client.update_run(self.run_id, status="RUNNING")

    def send(self, points: list[Point]) -> None:
        new = [point for point in points if point.step not in self._sent]
        runs.send(self.store, self.run_id, new)
        self._sent.update(point.step for point in new)

    def send_usage(self, points: list[Point]) -> None:
        new = [point for point in points if point.step not in self._looked]
        runs.send(self.store, self.run_id, new)
        self._looked.update(point.step for point in new)


def _parse(kind: type[Row], lines: list[bytes]) -> list[Row]:
    return [records.from_json(kind, json.loads(line), "journal") for line in lines]
