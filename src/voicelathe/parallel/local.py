"""Spread a pure function over shards and give the results back in the order of the shards, whatever finished first.

The result is the same for every engine and number of workers; a distributed engine would be one more branch here.
`try_each` is for work on files that somebody else wrote: what ends or stalls its process costs that one item, not the run.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from voicelathe.config import schema

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

Shard = TypeVar("Shard")
Result = TypeVar("Result")


def map_shards(
    work: Callable[[Shard], Result], shards: Sequence[Shard], how: schema.Engine
) -> Iterator[Result]:
    """Yield `work(shard)` for each shard, in order. `work` must be a top-level function (or a partial of one)."""
    if how.kind == "serial" or how.workers == 1 or len(shards) < 2:
        yield from map(work, shards)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(how.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, shards)


def cut(items: Sequence[Shard], size: int) -> list[Sequence[Shard]]:
    """Consecutive pieces of at most `size` items."""
    return [items[start : start + size] for start in range(0, len(items), size)]


# --- work that may not come back -------------------------------------------------------------------------------------


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


def try_each(
    work: Callable[[Shard], Iterable[Result]], items: Sequence[Shard], how: schema.Engine, limits: ItemLimits
) -> list[Attempt[Result]]:
    """What `work(item)` yields for each item, in order, every item in a process that can be lost without the others.

    `work` must be a top-level function (or a partial of one). An exception that it raises is raised here; running out of memory,
    dying by a signal and giving no result for `limits.silent_s` of its own time are part of the answer.
    """
    waiting = deque(enumerate(items))
    found: dict[int, Attempt[Result]] = {}
    num_workers = min(1 if how.kind == "serial" else how.workers, len(items))
    workers = [_Worker(work, limits) for _ in range(num_workers)]
    try:
        while len(found) < len(items):
            for at, worker in enumerate(workers):
                if worker.is_idle and waiting:
                    workers[at] = worker = worker if worker.is_alive else _Worker(work, limits)
                    worker.begin(*waiting.popleft())
            for worker in _heard_of(workers):
                if worker.step():
                    found[worker.number] = Attempt(worker.results, worker.lost)
    finally:
        for worker in workers:
            worker.end()
    return [found[number] for number in range(len(items))]


def _heard_of(workers: Iterable["_Worker"]) -> list["_Worker"]:
    """Busy workers that said something, died, or were silent for too long."""
    from multiprocessing.connection import wait

    busy = [worker for worker in workers if not worker.is_idle]
    ready = wait([worker.connection for worker in busy], timeout=LOOK_S)
    return [worker for worker in busy if worker.connection in ready or worker.is_out_of_time()]


@dataclass
class _Worker:
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
