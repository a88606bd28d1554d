"""A process that works on files which somebody else wrote: it may crash, hang or fill its memory, and costs the item that did it.

Files come from anywhere, so the process is given up for what it does with its own time, and for memory that it has no right to.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

Result = TypeVar("Result")


@dataclass(frozen=True)
class ItemLimits:
    """What a worker may use for one item."""

    memory_bytes: int  # of address space, on top of what the process needed to start
    silent_s: float  # of its own time (`OwnTime`) without a result; then the process is ended


LOOK_S = 0.5  # between two looks at a silent worker
NO_CORE = "RTt"  # states of a process that is running, waits for a core or was stopped (proc(5))


class OwnTime:
    """How long a process has had since `restart`: what it computed, and what it slept or waited for a file.

    Waiting for a core that others use is not its own time, nor is being stopped, nor what passes while the whole machine is
    suspended: of sleep, at most 2 * LOOK_S count between two looks. So a slow machine ends no worker, and one that hangs is still ended.
    """

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/stat")
        self.restart()

    def restart(self) -> None:
        self.seconds, self._looked_s, (_, self._used_s) = 0.0, time.monotonic(), self._now()

    def look(self) -> None:
        """Add what has passed since the last look, if that is long enough ago."""
        passed_s = time.monotonic() - self._looked_s
        if passed_s < LOOK_S:
            return
        state, used_s = self._now()
        slept_s = 0.0 if state in NO_CORE else min(passed_s, 2 * LOOK_S)
        self.seconds += max(used_s - self._used_s, slept_s)
        self._looked_s, self._used_s = self._looked_s + passed_s, used_s

    def _now(self) -> tuple[str, float]:
        """The state of the process, and the seconds that its threads have computed."""
        values = self._file.read_text().rpartition(")")[2].split()
        return values[0], (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Lost:
    """Why the work on an item ended before its time."""

    reason: Literal["crash", "time", "memory"]
    detail: str


@dataclass(frozen=True)
class Attempt(Generic[Result]):
    """The results that an item gave, all of them when `lost` is None."""

    results: list[Result]
    lost: Lost | None


def heard_of(workers: Iterable["IsolatedWorker"]) -> list["IsolatedWorker"]:
    """Busy workers that said something, died, or were silent for too long."""
    from multiprocessing.connection import wait

    busy = [worker for worker in workers if not worker.is_idle]
    ready = wait([worker.connection for worker in busy], timeout=LOOK_S)
    return [worker for worker in busy if worker.connection in ready or worker.is_out_of_time()]


@dataclass
class IsolatedWorker:
    """A process, and what it has given for the item it works on."""

    work: Callable[[Any], Iterable[Any]]
    limits: ItemLimits
    number: int = -1
    results: list[Any] = field(default_factory=list)
    lost: Lost | None = None
    is_idle: bool = True

    def __post_init__(self) -> None:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, self.work, self.limits.memory_bytes), daemon=True
        )
        self.process.start()
        theirs.close()
        self.time = OwnTime(self.process.pid or 0)
        try:
            self.connection.recv()
        except EOFError:
            self.process.join()
            raise RuntimeError(f"a worker could not start (exit code {self.process.exitcode})") from None

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive() and self.lost is None

    def begin(self, number: int, item: object) -> None:
        self.number, self.results, self.is_idle = number, [], False
        self.connection.send(item)
        self.time.restart()

    def is_out_of_time(self) -> bool:
        self.time.look()
        return self.time.seconds >= self.limits.silent_s

    def step(self) -> bool:
        """Take in one message, or give up; True when the item is done or lost."""
        if not self.connection.poll():
            return self._lose(Lost("time", f"no result in {self.limits.silent_s:g} s of its own time"))
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return self._lose(Lost("crash", f"its process ended with {_ending(self.process.exitcode)}"))
        if kind == "raised":
            raise value
        if kind == "memory":
            return self._lose(Lost("memory", f"needs more than {self.limits.memory_bytes >> 20} MiB"))
        if kind == "result":
            self.results.append(value)
            self.time.restart()
            return False
        self.is_idle = True
        return True

    def _lose(self, lost: Lost) -> bool:
        self.lost, self.is_idle = lost, True
        self.end()
        return True

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _ending(code: int | None) -> str:
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
        return f"exit code {code}"


def _serve(connection: "Connection", work: Callable[[Any], Iterable[Any]], memory_bytes: int) -> None:
    """The worker's side: items in, results out, one message each; ends when the other side is gone."""
    import resource

    end_with_parent(signal.SIGKILL)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send("ready")
    try:
        while True:
            connection.send(_served(connection, work, connection.recv()))
    except (EOFError, OSError):  # the parent has gone
        return


def _served(connection: "Connection", work: Callable[[Any], Iterable[Any]], item: Any) -> tuple[str, Any]:
    try:
        for result in work(item):
            connection.send(("result", result))
    except MemoryError:
        return "memory", None
    except Exception as problem:
        return "raised", problem
    return "done", None


PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(signal_number: int) -> None:
    """Called in a process of ours: the kernel ends it when the process that started it dies, in whatever way."""
    import multiprocessing

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it died before the request took effect
        os._exit(1)
