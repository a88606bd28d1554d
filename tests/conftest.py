"""Shared set-up: nothing of ours is mocked; one thread, because results are bit-identical at one thread count only."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for every process a test starts
os.environ["MKL_CBWR"] = "AVX2,STRICT"  # as the worker sets it
os.environ["CUBLAS_WORKSPACE_CONFIG"] = (
    ":4096:8"  # on a card read once, by the first product; also as the worker sets it
)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DVC_NO_ANALYTICS"] = "1"

from tests.factories.mlflow_fixtures import (
    empty_database,
    finished_project,
    project,
    promoted,
    promoted_project,
    root,
    tracked_project,
)

START = Path.cwd()
__all__ = [
    "empty_database",
    "finished_project",
    "project",
    "promoted",
    "promoted_project",
    "root",
    "tracked_project",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who forks goes before who fakes.

    A backward pass over fake tensors (a rehearsal) starts autograd's device threads where torch is a CUDA build, and a process
    with such threads must not train in a child that it forks: "Unable to handle autograd's threading".
    """
    items.sort(key=lambda item: not hasattr(getattr(item, "module", None), "kill_lab"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Slow tests that have not begun by VOICELATHE_SLOW_UNTIL (Unix seconds) are skipped by name: on a slow machine the rest of `.ci/run` needs the time."""
    until = os.environ.get("VOICELATHE_SLOW_UNTIL")
    if until and "slow" in item.keywords and time.time() > float(until):
        pytest.skip(f"not run, the time of slow tests is used up: {item.nodeid}")


@pytest.fixture(autouse=True)
def _leaves_the_process_where_it_was() -> Iterator[None]:
    """Fails the test, or the first one of a fixture, that moves every later test into another directory."""
    yield
    if (left_in := Path.cwd()) != START:
        os.chdir(START)
        pytest.fail(f"the process is in {left_in} now")
