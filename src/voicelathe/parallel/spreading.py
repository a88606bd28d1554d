"""What becomes of shards in a cluster, and of one whose machine is lost?

A shard is one task, so nothing of ours outlives the driver, and at most `workers` of them exist at a time. Ray itself repeats nothing: a
shard that was lost with its process or its node is given out again here, and that is said.
"""

import os
import pickle
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voicelathe import digest
from voicelathe.errors import ClusterError, VoiceLatheError, WorkerError, first_line, listing
from voicelathe.parallel import on_node
from voicelathe.parallel.needs import Needs, WorkWatch, differences, facts, sizes
from voicelathe.parallel.nodes import ClusterNode, Connection, remedy, room, usable

LOOK_S = 5.0  # between two looks at a cluster that says nothing
MAX_LOSSES = 6  # of one shard; the third may still be a node that the head has not missed yet


@dataclass(frozen=True)
class TaskOrder:
    """What every task of one call is told."""

    root: str
    expected: Mapping[str, str]
    needs: Needs
    sizes: Mapping[str, int]


@dataclass
class Spreading:
    """Shards on their way: at most `workers` tasks at a time, results in the order of the shards."""

    connection: Connection
    order: TaskOrder
    work: Callable[[Any], Any]
    shards: Sequence[Any]
    workers: int
    watch: WorkWatch
    losses: Counter[int] = field(default_factory=Counter)

    def results(self) -> Iterator[Any]:
        ray = self.connection.ray
        needs = self.order.needs
        holds = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes or None}
        task = ray.remote(**holds, max_retries=0)(_do)
        waiting, pending, found = deque(range(len(self.shards))), dict[Any, int](), dict[int, Any]()
        following, failed = 0, dict[int, Exception]()
        try:
            while following < len(self.shards):
                while waiting and len(pending) < self.workers:
                    number = waiting.popleft()
                    pending[task.remote(self.order, self.work, self.shards[number])] = number
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=LOOK_S)
                if not ready:
                    self._require_nodes()
                for answer in ready:
                    number = pending.pop(answer)
                    try:
                        found[number] = _taken(ray.get(answer))
                    except ray.exceptions.RayError as problem:
                        self._lose(number, problem)
                        waiting.appendleft(number)
                    except Exception as problem:
                        failed[number] = problem
                        # those before it are still wanted; those behind it are not begun
                        waiting = deque(one for one in waiting if one < number)
                while following in found:
                    yield found.pop(following)
                    following += 1
                if following in failed:
                    raise failed[following]
        finally:
            for answer in pending:
                ray.cancel(answer, force=True)
        if self.losses:
            self.watch.notice(
                f"ray: {len(self.losses)} of {len(self.shards)} shards were lost and done again, {self.losses.total()} times in all"
            )

    def _lose(self, number: int, problem: Exception) -> None:
        """Say that a shard is given out again, unless it was lost too often: then the shard itself is to blame."""
        exceptions = self.connection.ray.exceptions
        if isinstance(problem, exceptions.RayTaskError):
            raise WorkerError(
                f"Shard {self._which(number)} could not be run by a node: {first_line(problem)}"
            ) from None
        self.losses[number] += 1
        if self.losses[number] == MAX_LOSSES:
            raise WorkerError(
                f"Shard {self._which(number)} ended its process {MAX_LOSSES} times, the last time so: {first_line(problem)} Run the "
                "same command with engine.kind: serial to see what it does."
            ) from None
        self.watch.notice(
            f"ray: shard {self._which(number)} was lost ({type(problem).__name__}: {first_line(problem)}); it is done again, on "
            f"another node if its own is gone ({self.losses.total()} so far)"
        )
        time.sleep(min(0.5 * 2 ** self.losses[number], LOOK_S))  # until the head misses a node that is gone

    def _which(self, number: int) -> str:
        content = self.watch.content(self.shards[number])
        return f"{number + 1} of {len(self.shards)}" + (f" ({content})" if content else "")

    def _require_nodes(self) -> None:
        if not usable(self.connection, self.order.needs):
            raise ClusterError(
                f"The cluster at {self.connection.where} has lost its last node with {room(self.order.needs)}. Start nodes again, then run the "
                "same command."
            )


def _taken(answer: tuple[str, Any]) -> Any:
    """The result of a task. Raises what the work raised, and ClusterError when the node is not fit for it."""
    kind, value = answer
    if kind == "raised":
        raise value
    if kind == "unfit":
        raise ClusterError(
            f"{value.name}, a node of the cluster, cannot go on with this work, which was begun:\n{listing(value.problems)}\n"
            f"{remedy([value])} Then run the same command again."
        )
    return value


_fit: set[str] = set()  # orders' expectations that this process was found to meet


def _do(order: TaskOrder, work: Callable[[Any], Any], shard: Any) -> tuple[str, Any]:
    """One shard, on a node: ("done", result), ("raised", error) or ("unfit", the node). Nodes that joined late are looked at here."""
    try:
        os.chdir(order.root)
    except OSError as problem:
        return "unfit", _this_node(
            [f"the project's folder {order.root} cannot be opened: {problem.strerror}"]
        )
    try:
        key = digest.of_value(dict(order.expected))
        found = [] if key in _fit else differences(order.expected, facts(order.needs))
        if problems := found or _moved(order):
            return "unfit", _this_node(problems)
        _fit.add(key)
        with on_node.entered():
            result = work(shard)
        if problems := _moved(order):  # a file system that went away gives clips that are missing
            return "unfit", _this_node(problems)
        return "done", result
    except Exception as problem:
        return "raised", _portable(problem)


def _moved(order: TaskOrder) -> list[str]:
    """Files that this node sees no more, or with another size."""
    return [
        f"file {path}: {'missing' if size < 0 else f'{size} bytes'} there, {order.sizes[path]} bytes here"
        for path, size in sizes(order.needs.files).items()
        if size != order.sizes[path]
    ]


def _this_node(problems: list[str]) -> ClusterNode:
    return ClusterNode(socket.gethostname(), 0.0, 0.0, problems)


def _portable(problem: Exception) -> Exception:
    """The error itself, with the node's name, where it survives the way back, or one that says the same."""
    if isinstance(problem, VoiceLatheError):
        problem.args = (f"{problem}\nSeen on {socket.gethostname()}, a node of the cluster.",)
    try:
        if type(pickle.loads(pickle.dumps(problem))) is type(problem):
            return problem
    except Exception:
        pass
    kind = VoiceLatheError if isinstance(problem, VoiceLatheError) else WorkerError
    return kind(f"{type(problem).__name__}: {problem}")
