"""Spread a pure function over shards and give the results back in the order of the shards, whatever finished first.

The result is the same for every engine and number of workers; the engine of several machines is `ray_cluster`.
`try_each` is for work on files that somebody else wrote: what ends or stalls its process costs that one item, not the run.
"""

import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from voicelathe.config import schema
from voicelathe.parallel.isolated import (
    Attempt,
    IsolatedWorker,
    ItemLimits,
    Lost,
    end_with_parent,
    heard_of,
)
from voicelathe.parallel.needs import UNWATCHED, Needs, WorkWatch

__all__ = ["Attempt", "ItemLimits", "Lost", "cut", "for_cluster", "map_shards", "task_size", "try_each"]

Shard = TypeVar("Shard")
Result = TypeVar("Result")


def map_shards(
    work: Callable[[Shard], Result],
    shards: Sequence[Shard],
    how: schema.Engine,
    needs: Needs = Needs(),  # noqa: B008 - frozen and empty
    watch: WorkWatch = UNWATCHED,
) -> Iterator[Result]:
    """Yield `work(shard)` for each shard, in order. `work` must be a top-level function (or a partial of one).

    What it `needs` has to be on every machine of a cluster. Raises ClusterError, before any work, where it is not.
    """
    if how.kind == "ray":
        from voicelathe.parallel import ray_cluster

        yield from ray_cluster.map_shards(work, shards, how, needs, watch)
        return
    if how.kind == "serial" or how.workers == 1 or len(shards) < 2:
        yield from map(work, shards)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(how.workers, context, end_with_parent, (signal.SIGTERM,)) as pool:
        yield from pool.map(work, shards)


def cut(items: Sequence[Shard], size: int) -> list[Sequence[Shard]]:
    """Consecutive pieces of at most `size` items."""
    return [items[start : start + size] for start in range(0, len(items), size)]


ITEMS_PER_TASK, TASKS_PER_WORKER = (
    64,
    4,
)  # of a cluster: a lost node costs so many items, and no worker waits long for the last one


def for_cluster(items: Sequence[Shard], how: schema.Engine) -> list[Sequence[Shard]]:
    """Consecutive pieces for tasks of a cluster."""
    return cut(items, task_size(len(items), how))


def task_size(num_items: int, how: schema.Engine) -> int:
    """How many of so many items one task of a cluster does."""
    return max(1, min(ITEMS_PER_TASK, num_items // (TASKS_PER_WORKER * how.workers)))


def try_each(
    work: Callable[[Shard], Iterable[Result]],
    items: Sequence[Shard],
    how: schema.Engine,
    limits: ItemLimits,
    needs: Needs = Needs(),  # noqa: B008 - frozen and empty
    watch: WorkWatch = UNWATCHED,
) -> list[Attempt[Result]]:
    """What `work(item)` yields for each item, in order, every item in a process that can be lost without the others.

    `work` must be a top-level function (or a partial of one). An exception that it raises is raised here; running out of memory,
    dying by a signal and giving no result for `limits.silent_s` of its own time are part of the answer. `needs`: as for map_shards.
    """
    if how.kind == "ray":
        found: list[Attempt[Result]] = []
        kept: Callable[[Sequence[Shard]], list[Attempt[Result]]] = partial(_try_kept, work, limits)
        for some in map_shards(kept, for_cluster(items, how), how, needs, watch):
            found += some
            watch.advance(len(found))
        return found
    num_workers = min(1 if how.kind == "serial" else how.workers, len(items))
    workers = [IsolatedWorker(work, limits) for _ in range(num_workers)]
    try:
        return _tried(items, workers, watch)
    finally:
        for worker in workers:
            worker.end()


def _tried(items: Sequence[Shard], workers: list[IsolatedWorker], watch: WorkWatch) -> list[Attempt[Any]]:
    """The items' results; a worker that is lost is replaced in the list."""
    waiting = deque(enumerate(items))
    found: dict[int, Attempt[Any]] = {}
    while len(found) < len(items):
        for at, worker in enumerate(workers):
            if worker.is_idle and waiting:
                workers[at] = worker = (
                    worker if worker.is_alive else IsolatedWorker(worker.work, worker.limits)
                )
                worker.begin(*waiting.popleft())
        for worker in heard_of(workers):
            if worker.step():
                found[worker.number] = Attempt(worker.results, worker.lost)
                watch.advance(len(found))
    return [found[number] for number in range(len(items))]


_KEPT: dict[bytes, IsolatedWorker] = {}  # at most one: what the last call of `_try_kept` leaves for the next


def _try_kept(
    work: Callable[[Shard], Iterable[Result]], limits: ItemLimits, items: Sequence[Shard]
) -> list[Attempt[Result]]:
    """As `try_each`, one item after the other, in a process that stays for the next call: starting one costs as much as many clips."""
    key = pickle.dumps((work, limits))
    kept = _KEPT.pop(key, None)
    for other in _KEPT.values():
        other.end()
    _KEPT.clear()
    workers = [kept or IsolatedWorker(work, limits)]
    try:
        found = _tried(items, workers, UNWATCHED)
    except BaseException:
        workers[0].end()
        raise
    if workers[0].is_alive:
        _KEPT[key] = workers[0]
    return found
