"""Spread a pure function over shards and give the results back in the order of the shards, whatever finished first.

The result is the same for every engine and number of workers; a distributed engine would be one more branch here.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from voicelathe import settings

Shard = TypeVar("Shard")
Result = TypeVar("Result")


def map_shards(
    work: Callable[[Shard], Result], shards: Sequence[Shard], how: settings.Engine
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
