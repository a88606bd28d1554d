"""The engine: results in the order of the items, and an item that ends its process costs that item only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.factories import rows
from voicelathe.errors import ManifestError
from voicelathe.parallel import local
from voicelathe.parallel.local import ItemLimits

ROOMY = ItemLimits(memory_bytes=512 << 20, silent_s=60.0)
QUICK = ItemLimits(memory_bytes=256 << 20, silent_s=1.5)


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
def test_every_item_gives_its_results_in_order(how: local.schema.Engine) -> None:
    found = local.try_each(twice, list(range(20)), how, ROOMY)
    assert [attempt.results for attempt in found] == [[n, 2 * n] for n in range(20)]
    assert all(attempt.lost is None for attempt in found)


def test_no_items_need_no_worker() -> None:
    assert local.try_each(twice, [], rows.PARALLEL, ROOMY) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [rows.SERIAL, rows.PARALLEL])
def test_a_crash_a_hang_and_a_bomb_cost_one_item_each(how: local.schema.Engine) -> None:
    items = ["a", "crash", "b", "hang", "c", "bomb", "d"]
    found = dict(zip(items, local.try_each(hostile, items, how, QUICK), strict=True))
    for item in "abcd":
        assert found[item].results == [f"began {item}", f"ended {item}"] and found[item].lost is None
    assert {item: found[item].lost.reason for item in items if found[item].lost} == {
        **{"crash": "crash", "hang": "time", "bomb": "memory"}
    }
    assert found["hang"].results == ["began hang"]  # what was there before is kept
    assert found["crash"].lost and "SIGSEGV" in found["crash"].lost.detail


def test_an_error_of_the_work_stops_the_run() -> None:
    with pytest.raises(ManifestError, match="the file changed"):
        local.try_each(hostile, ["a", "fault"], rows.PARALLEL, QUICK)


def gone(_: int) -> Iterator[int]:
    raise FileNotFoundError("no such folder")
    yield 0


def test_an_error_of_the_system_stops_the_run_too() -> None:
    with pytest.raises(FileNotFoundError):
        local.try_each(gone, [1], rows.SERIAL, QUICK)


def test_a_partial_of_a_top_level_function_is_work() -> None:
    assert local.try_each(partial(power, 2), [3], rows.SERIAL, ROOMY)[0].results == [9]


def power(exponent: int, item: int) -> Iterator[int]:
    yield item**exponent


# --- a worker is given up for what it does with its own time, not for what the machine does with it -----------------


def looping(item: int) -> Iterator[int]:
    while item >= 0:
        item += 1
    yield item


def test_a_worker_that_computes_for_ever_is_given_up() -> None:
    (attempt,) = local.try_each(looping, [1], rows.SERIAL, QUICK)
    assert attempt.lost and attempt.lost.reason == "time"
    assert attempt.lost.detail == "no result in 1.5 s of its own time"


def stopped(item: int) -> Iterator[int]:
    me = os.getpid()
    subprocess.Popen(["sh", "-c", f"kill -STOP {me}; sleep 3; kill -CONT {me}"])
    time.sleep(0.2)
    yield item


def test_the_time_that_a_worker_is_stopped_for_does_not_count() -> None:
    (attempt,) = local.try_each(stopped, [7], rows.SERIAL, QUICK)
    assert attempt.results == [7] and attempt.lost is None


BURNER = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with its parent, however that ends


def starved(seconds: float) -> Iterator[float]:
    """Needs that much of a core which somebody with more right to it uses at the same time."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    burner = subprocess.Popen([sys.executable, "-c", BURNER])  # inherits the core
    os.nice(10)
    try:
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass
        yield time.process_time() - began
    finally:
        burner.kill()
        burner.wait()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_time_that_a_worker_waits_for_a_core_does_not_count() -> None:
    began = time.monotonic()
    (attempt,) = local.try_each(starved, [0.3], rows.SERIAL, QUICK)
    assert time.monotonic() - began > 2 * QUICK.silent_s, (
        "the worker was never starved; the test shows nothing"
    )
    assert len(attempt.results) == 1 and attempt.lost is None


def dozing(item: int) -> Iterator[int]:
    print("dozing", flush=True)
    time.sleep(1.0)
    yield item


SUSPENDED = """
from tests.parallel import test_local
from voicelathe.parallel import local
if __name__ == "__main__":
    (attempt,) = local.try_each(test_local.dozing, [7], test_local.rows.SERIAL, local.ItemLimits(512 << 20, 3.0))
    print(attempt.results, attempt.lost)
"""


@pytest.mark.timeout(60)
def test_the_time_that_the_whole_machine_sleeps_does_not_count(tmp_path: Path) -> None:
    """All processes of a run are stopped at once, as when a laptop is shut."""
    root = Path(__file__).parents[2]
    script = tmp_path / "suspended.py"
    script.write_text(SUSPENDED)
    run = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"},
        start_new_session=True,
    )
    assert run.stdout is not None and run.stdout.readline() == "dozing\n"
    os.killpg(run.pid, signal.SIGSTOP)
    time.sleep(5.0)
    os.killpg(run.pid, signal.SIGCONT)
    assert run.communicate(timeout=30)[0] == "[7] None\n"


# --- a process that stays for the next call, as on the nodes of a cluster ---------------------------------------------


def whose(item: str) -> Iterator[tuple[str, int]]:
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    yield item, os.getpid()


def test_the_next_call_finds_the_process_unless_it_was_lost_or_the_work_is_another() -> None:
    kept = partial(local._try_kept, whose, ROOMY)
    first, second = kept(["a", "b"]), kept(["c"])
    pids = {result[1] for attempt in [*first, *second] for result in attempt.results}
    assert len(pids) == 1
    crashed, after = kept(["crash", "d"])
    assert crashed.lost is not None and after.results[0][1] not in pids
    assert kept(["e"])[0].results == [("e", after.results[0][1])]
    (other,) = local._try_kept(whose, QUICK, ["f"])
    assert other.results[0][1] != after.results[0][1]
    assert len(local._KEPT) == 1, "the former one was ended"
    with pytest.raises(ManifestError):
        local._try_kept(hostile, ROOMY, ["fault"])
    assert local._KEPT == {}


HUNG = """
import os, sys
from tests.parallel import test_local
from voicelathe.parallel import local
if __name__ == "__main__":
    local.try_each(test_local.hangs, [sys.argv[1]], test_local.rows.SERIAL, test_local.ROOMY)
"""


def hangs(mark: str) -> Iterator[int]:
    Path(mark).with_suffix(".part").write_text(str(os.getpid()))
    Path(mark).with_suffix(".part").rename(mark)
    time.sleep(600)
    yield 0


@pytest.mark.timeout(120)
def test_a_worker_that_hangs_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    root, script, mark = Path(__file__).parents[2], tmp_path / "hung.py", tmp_path / "pid"
    script.write_text(HUNG)
    run = subprocess.Popen(
        [sys.executable, str(script), str(mark)],
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"},
    )
    while not mark.is_file():
        assert run.poll() is None
        time.sleep(0.05)
    worker = psutil.Process(int(mark.read_text()))
    run.kill()
    run.wait()
    assert psutil.wait_procs([worker], timeout=30)[1] == []
