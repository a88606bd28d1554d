"""Start a worker, follow it, and say what killed it. Parent side: no torch here.

One thread only drains the worker's events, so neither a slow terminal nor a slow server can stall it; its stderr goes to a log.
"""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any

from voicelathe import digest, environments, errors, families, jobs, layout, progress, records, triage
from voicelathe.redaction import harmless

LOGS = layout.CACHE / "logs"
TAIL_LINES = 15


def run(job: jobs.Job, label: str) -> dict[str, Any]:
    """Do a job in a worker of its own; returns the values of its `done` event.

    Raises the worker's own VoiceLatheError, or WorkerError with a diagnosis when it died.
    """
    with _started(job, label) as worker, progress.Display(label) as display:
        phase: dict[str, Any] = {"name": "start", "step": 0, "micro": 0}
        for event in worker.events():
            if event.kind == jobs.PHASE:
                phase = event.values
                display.phase(phase["name"])
            elif event.kind == jobs.PROGRESS:
                display.advance(event.values["done"], event.values["total"], event.values["unit"])
            elif event.kind == jobs.NOTICE:
                display.notice(event.values["text"])
            elif event.kind == jobs.DONE:
                return event.values
            elif event.kind == jobs.FAILED:
                raise _as_error(event.values, phase, worker)
        raise _diagnosed(worker, triage.of_death(label, worker.wait(), phase, worker.log, worker.tail()))


class Speaker:
    """A speak worker that stays alive: load once, answer many requests."""

    def __init__(self, job: jobs.SpeakJob, label: str = "speak") -> None:
        assert job.interactive
        self._context = _started(job, label)
        self._worker = self._context.__enter__()
        self._events = self._worker.events()
        self._await(jobs.READY)

    def say(self, request: jobs.SpeakRequest) -> records.SampleRecord:
        """Speak one text. Raises the worker's error; the speaker stays usable after a refused request."""
        stdin = self._worker.process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a dead worker is diagnosed below
            stdin.write(digest.canonical_json(records.to_json(request)).encode() + b"\n")
            stdin.flush()
        return records.from_json(records.SampleRecord, self._await(jobs.SAMPLE), "speak worker")

    def close(self) -> None:
        self._context.__exit__(None, None, None)

    def __enter__(self) -> "Speaker":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _await(self, kind: str) -> dict[str, Any]:
        phase: dict[str, Any] = {"name": "start", "step": 0, "micro": 0}
        for event in self._events:
            if event.kind == kind:
                return event.values
            if event.kind == jobs.FAILED:
                raise _as_error(event.values, phase, self._worker)
            if event.kind == jobs.PHASE:
                phase = event.values
        worker = self._worker
        raise _diagnosed(worker, triage.of_death("speak", worker.wait(), phase, worker.log, worker.tail()))


class Worker:
    """A running worker process and the queue its events end up in."""

    def __init__(self, job: jobs.Job, label: str) -> None:
        verb, interpreter = jobs.verb_of(job), _interpreter(job)
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{label}-{verb}.log"
        self._description = LOGS.parent / "jobs" / f"{label}-{verb}-{os.getpid()}.json"
        digest.write_json(self._description, {"verb": verb, "job": records.to_json(job)})
        command = [interpreter, "-P", "-m", "voicelathe.worker", str(self._description), str(os.getpid())]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(jobs.threads_of(job)),
            )
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()

    def events(self) -> Iterator[jobs.Event]:
        while (line := self._queue.get()) is not None:
            yield jobs.decode(line)

    def wait(self) -> int:
        return self.process.wait()

    def tail(self) -> list[str]:
        """The last lines the worker printed."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]

    def end(self) -> None:
        """Close its stdin; if it does not leave by itself, ask it to, then make it."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        for signal_number, patience_s in ((None, 5), (signal.SIGTERM, jobs.STOP_S), (signal.SIGKILL, 10)):
            if signal_number is not None:
                self.process.send_signal(signal_number)
            try:
                self.process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        self._description.unlink(missing_ok=True)

    def _drain(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            self._queue.put(line)
        self._queue.put(None)


@contextmanager
def _started(job: jobs.Job, label: str) -> Iterator[Worker]:
    worker = Worker(job, label)
    try:
        yield worker
    finally:
        worker.end()


def _interpreter(job: jobs.Job) -> str:
    """Ours, or that of the family's upstream. Raises FamilyUnavailable when there is none yet."""
    target = getattr(job, "target", None)
    if target is None or jobs.verb_of(job) not in families.spec(target.family).elsewhere:
        return sys.executable
    return str(environments.python(target.family).absolute())


def _environment(threads: int) -> dict[str, str]:
    """What a worker inherits: no proxies to the outside, no hub downloads, one thread pool of the size params.yaml says."""
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": str(threads),
    }
    return {**harmless(os.environ), **fixed}


def die_with_parent() -> None:
    """For stages only, never for a user's own program that serves a voice: end this process when the process that started it dies, so that a killed `dvc` leaves no stage behind."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


def _as_error(values: dict[str, Any], phase: dict[str, Any], worker: Worker) -> errors.VoiceLatheError:
    if values["error"] == "OutOfMemory":
        return _diagnosed(worker, triage.of_memory(phase, values["message"], worker.log))
    kind = getattr(errors, values["error"], errors.WorkerError)
    made: errors.VoiceLatheError = kind(values["message"])
    return made


def _diagnosed(worker: Worker, diagnosis: str) -> errors.WorkerError:
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
