"""Start a worker, follow it, and say what killed it. Parent side: no torch here."""

import contextlib
import ctypes
import itertools
import os
import queue
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from voicelathe import digest, errors, records
from voicelathe.errors import WorkerLost
from voicelathe.process import child, jobs, progress, triage

_NUMBERS = itertools.count(1)  # two speakers of one process have a log each


class Leash:
    """By which another thread may end workers before they are done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: child.Worker | None = None
        self.is_pulled = False

    def hold(self, worker: child.Worker) -> None:
        with self._lock:
            self._worker = worker
            if self.is_pulled:
                worker.process.kill()

    def pull(self) -> None:
        """End the worker that runs now, and every one that would be started after it."""
        with self._lock:
            self.is_pulled = True
            if self._worker is not None:
                self._worker.process.kill()


def run(job: jobs.Job, label: str, leash: Leash | None = None) -> dict[str, Any]:
    """Do a job in a worker of its own; returns the values of its `done` event. With a leash its progress is not shown.

    Raises the worker's own VoiceLatheError, or WorkerError with a diagnosis when it died.
    """
    with child.started(job, label) as worker:
        if leash is not None:
            leash.hold(worker)
        return _follow(worker, label, is_shown=leash is None)


def run_all(shares: Sequence[jobs.Job], label: str, device: str) -> list[dict[str, Any]]:
    """Do several jobs at once, each in a worker of its own; on cuda each sees one device. Raises as `run`, and then ends all of them."""
    if len(shares) == 1:
        return [run(shares[0], label)]
    seen = _devices(len(shares)) if device == "cuda" else [None] * len(shares)
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(child.started(job, f"{label}-{number}", only))
            for number, (job, only) in enumerate(zip(shares, seen, strict=True), 1)
        ]
        return [
            _follow(worker, f"{label} {place} of {len(workers)}") for place, worker in enumerate(workers, 1)
        ]


def _devices(wanted: int) -> list[str | None]:
    """As many devices as workers, of those that this process may see. Raises WorkerError when there are fewer."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = [one.strip() for one in named.split(",") if one.strip()] if named is not None else _cards()
    if len(cards) < wanted:
        raise errors.WorkerError(
            f"listen.race.workers = {wanted}, but {len(cards)} CUDA device{'s are' if len(cards) != 1 else ' is'} visible; a worker needs one of its own. "
            f"Set it to {max(1, len(cards))}."
        )
    return list(cards[:wanted])


def _cards() -> list[str]:
    """The numbers of the devices, as the driver lists them; none where it cannot be asked."""
    with contextlib.suppress(OSError):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
        return [str(number) for number, _ in enumerate(listed.stdout.splitlines())]
    return []


def _follow(worker: child.Worker, label: str, is_shown: bool = True) -> dict[str, Any]:
    with progress.Display(label) as display:
        phase: dict[str, Any] = {"name": "start", "step": 0, "micro": 0}
        for event in worker.events():
            if event.kind == jobs.PHASE:
                phase = event.values
                display.phase(phase["name"])
            elif event.kind == jobs.PROGRESS and is_shown:
                display.advance(event.values["done"], event.values["total"], event.values["unit"])
            elif event.kind == jobs.NOTICE:
                display.notice(event.values["text"])
            elif event.kind == jobs.DONE:
                return event.values
            elif event.kind == jobs.FAILED:
                raise _as_error(event.values, phase, worker)
        raise _diagnosed(worker, triage.of_death(label, worker.wait(), phase, worker.log, worker.tail()))


class Speaker:
    """A speak worker that stays alive: load once, answer many requests, one at a time.

    The kernel ends a worker when the *thread* that started it ends, so a speaker is made by a thread that outlives it.
    """

    def __init__(self, job: jobs.SpeakJob, label: str = "speak") -> None:
        assert job.interactive
        self._turn = threading.Lock()
        self._context = child.started(job, f"{label}-{os.getpid()}-{next(_NUMBERS)}")
        self._worker = self._context.__enter__()
        self._phase: dict[str, Any] = {"name": "start", "step": 0, "micro": 0}
        try:
            self._await(jobs.READY, None, None)
        except BaseException:
            self._worker.kill()
            raise

    def say(self, request: jobs.SpeakRequest, limit_s: float | None = None) -> records.SampleRecord:
        """Speak one text. Raises the worker's error; the speaker stays usable after a refused request.

        Raises WorkerError, and is of no use any more, when the worker died, was silent for `limit_s` or answered another request.
        """
        with self._turn:
            answer = self._ask(request, limit_s)
        return records.from_json(records.SampleRecord, answer["sample"], "speak worker")

    def ping(self, limit_s: float) -> None:
        """Raises WorkerError unless the worker answers."""
        with self._turn:
            self._ask(
                jobs.SpeakRequest(uuid.uuid4().hex, "", "", 0, None, 0.0, None, "", None, None), limit_s
            )

    @property
    def is_alive(self) -> bool:
        return self._worker.process.poll() is None

    @property
    def pid(self) -> int:
        return self._worker.process.pid

    def close(self) -> None:
        self._context.__exit__(None, None, None)
        if self._worker.process.returncode == 0:
            self._worker.log.unlink(missing_ok=True)

    def __enter__(self) -> "Speaker":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: jobs.SpeakRequest, limit_s: float | None) -> dict[str, Any]:
        stdin = self._worker.process.stdin
        assert stdin is not None
        line = _line(request)  # what cannot be written is never waited for
        with contextlib.suppress(BrokenPipeError, ValueError):  # a dead or ended worker is diagnosed below
            stdin.write(line)
            stdin.flush()
        return self._await(jobs.SAMPLE, request.request_id, limit_s)

    def _await(self, kind: str, request_id: str | None, limit_s: float | None) -> dict[str, Any]:
        end = None if limit_s is None else time.monotonic() + limit_s
        while True:
            try:
                event = self._worker.event(None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                self._worker.kill()
                raise WorkerLost(
                    f"The speak worker was silent for {limit_s:g} s and was ended; another takes its place. See {self._worker.log}."
                ) from None
            if event is None:
                raise self._dead()
            if event.kind == jobs.PHASE:
                self._phase = event.values
            elif event.kind in (kind, jobs.FAILED):
                return self._checked(event, request_id)

    def _checked(self, event: jobs.Event, request_id: str | None) -> dict[str, Any]:
        answered = event.values.get("request_id")
        if answered is None and event.kind == jobs.FAILED:  # the worker itself failed, not a request
            raise _as_error(event.values, self._phase, self._worker)
        if answered != request_id:
            self._worker.kill()
            raise WorkerLost(
                f"The speak worker answered request {answered} instead of {request_id}. Nothing of it is given out; the worker was ended. "
                "This is a bug of voicelathe."
            )
        if event.kind == jobs.FAILED:
            raise _as_error(event.values, self._phase, self._worker)
        return event.values

    def _dead(self) -> WorkerLost:
        worker = self._worker
        return WorkerLost(
            str(
                _diagnosed(
                    worker, triage.of_death("speak", worker.wait(), self._phase, worker.log, worker.tail())
                )
            )
        )


def _line(request: jobs.SpeakRequest) -> bytes:
    """Raises RequestError for a text that no pipe can hold."""
    written = digest.canonical_json(records.to_json(request))
    if half := digest.half_character(written):
        raise errors.RequestError(f"The request holds half a character ({half}), which cannot be written.")
    return written.encode() + b"\n"


def die_with_parent() -> None:
    """For stages only, never for a user's own program that serves a voice: end this process when the process that started it dies, so that a killed `dvc` leaves no stage behind."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


def _as_error(values: dict[str, Any], phase: dict[str, Any], worker: child.Worker) -> errors.VoiceLatheError:
    if values["error"] == "OutOfMemory":
        return _diagnosed(worker, triage.of_memory(phase, values["message"], worker.log))
    kind = getattr(errors, values["error"], errors.WorkerError)
    made: errors.VoiceLatheError = kind(values["message"])
    return made


def _diagnosed(worker: child.Worker, diagnosis: str) -> errors.WorkerError:
    """The error, which the worker's log also keeps: the worker itself never knew its last phase was the last."""
    with worker.log.open("a", encoding="utf-8") as log:
        log.write(f"\n{diagnosis}\n")
    return errors.WorkerError(diagnosis)


def stop_with_exit_code() -> None:
    """Turn SIGTERM into SystemExit, so that the worker is ended in order; a second one does not disturb that."""

    def leave(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)
