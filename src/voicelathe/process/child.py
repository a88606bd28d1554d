"""A worker as a process: how it is started, what it inherits, where its events and its last words lie, how it ends. No torch here.

One thread only drains the worker's events, so neither a slow terminal nor a slow server can stall it; its stderr goes to a log.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from voicelathe import digest, families, layout, records
from voicelathe.process import environments, jobs
from voicelathe.redaction import harmless

LOGS = layout.CACHE / "logs"


TAIL_LINES = 15


class Worker:
    """A running worker process and the queue its events end up in."""

    def __init__(self, job: jobs.Job, label: str, device: str | None = None) -> None:
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
                env=_environment(jobs.threads_of(job), device),
            )
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()

    def events(self) -> Iterator[jobs.Event]:
        while (line := self._queue.get()) is not None:
            yield jobs.decode(line)

    def event(self, timeout_s: float | None) -> jobs.Event | None:
        """The next event; None when the worker has ended. Raises queue.Empty when it says nothing for so long."""
        line = self._queue.get(timeout=timeout_s)
        if line is None:
            self._queue.put(None)  # whoever asks again is told the same
        return None if line is None else jobs.decode(line)

    def wait(self) -> int:
        return self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

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
def started(job: jobs.Job, label: str, device: str | None = None) -> Iterator[Worker]:
    """A worker for as long as the block takes."""
    worker = Worker(job, label, device)
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


ON_CUDA = {
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1",  # on Hopper and later cuDNN's attention would build a plan for every new length of clip
}


def _environment(threads: int, device: str | None = None) -> dict[str, str]:
    """What a worker inherits: no proxies to the outside, no hub downloads, one thread pool of the size params.yaml says.

    `device`: the only CUDA device it may see.
    """
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        **ON_CUDA,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": str(threads),
    }
    if device is not None:
        fixed["CUDA_VISIBLE_DEVICES"] = device
    return {**harmless(os.environ), **fixed}
