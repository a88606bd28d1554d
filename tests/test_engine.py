"""The engine: results in the order of the items, and an item that ends its process costs that item only."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from tests.factories import rows
from voicelathe import engine
from voicelathe.engine import Limits
from voicelathe.errors import ManifestError

ROOMY = Limits(memory_bytes=512 << 20, silent_s=60.0)
QUICK = Limits(memory_bytes=256 << 20, silent_s=1.5)


def twice(item: int) -> Iterator[int]:
    yield item
    yield 2 * item


def hostile(item: str) -> Iterator[str]:
    """One result, then what the item says."""
    yield f"began {item}"
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "hang":
        time.sleep(600)
    if item == "bomb":
        np.ones(1 << 30, np.uint8)
    if item == "fault":
        raise ManifestError("the file changed")
    yield f"ended {item}"


@pytest.mark.parametrize("how", [rows.SERIAL, rows.PARALLEL])
def test_every_item_gives_its_results_in_order(how: engine.settings.Engine) -> None:
    found = engine.try_each(twice, list(range(20)), how, ROOMY)
    assert [attempt.results for attempt in found] == [[n, 2 * n] for n in range(20)]
    assert all(attempt.lost is None for attempt in found)


def test_no_items_need_no_worker() -> None:
    assert engine.try_each(twice, [], rows.PARALLEL, ROOMY) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [rows.SERIAL, rows.PARALLEL])
def test_a_crash_a_hang_and_a_bomb_cost_one_item_each(how: engine.settings.Engine) -> None:
    items = ["a", "crash", "b", "hang", "c", "bomb", "d"]
    found = dict(zip(items, engine.try_each(hostile, items, how, QUICK), strict=True))
    for item in "abcd":
        assert found[item].results == [f"began {item}", f"ended {item}"] and found[item].lost is None
    assert {item: found[item].lost.reason for item in items if found[item].lost} == {
        **{"crash": "crash", "hang": "time", "bomb": "memory"}
    }
    assert found["hang"].results == ["began hang"]  # what was there before is kept
    assert found["crash"].lost and "SIGSEGV" in found["crash"].lost.detail


def test_an_error_of_the_work_stops_the_run() -> None:
    with pytest.raises(ManifestError, match="the file changed"):
        engine.try_each(hostile, ["a", "fault"], rows.PARALLEL, QUICK)


def gone(_: int) -> Iterator[int]:
    raise FileNotFoundError("no such folder")
    yield 0


def test_an_error_of_the_system_stops_the_run_too() -> None:
    with pytest.raises(FileNotFoundError):
        engine.try_each(gone, [1], rows.SERIAL, QUICK)


def test_a_partial_of_a_top_level_function_is_work() -> None:
    assert engine.try_each(partial(power, 2), [3], rows.SERIAL, ROOMY)[0].results == [9]


def power(exponent: int, item: int) -> Iterator[int]:
    yield item**exponent
