"""The lock in the registry: one holder, whoever asks from wherever, and none for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe.errors import PromotionError
from voicelathe.registry import promote
from voicelathe.tracking import mutex
from voicelathe.tracking.live import processes
from voicelathe.tracking.registered import Registered
from voicelathe.tracking.store import connect

LOCK = "voicelathe.promotion"


def held_by(root: Path, mark: str) -> None:
    """As if a process had died, or works, with the lock in its hands."""
    stores.client(root).create_registered_model(LOCK, {mutex.HOLDER: mark, mutex.BY: "mara"})


def names(root: Path) -> list[str]:
    return [model.name for model in stores.client(root).search_registered_models()]


def dead_process() -> str:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = processes.mark(process.pid)
    process.communicate(b"\n")
    return mark


def test_a_promotion_on_another_machine_is_waited_for_and_then_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutex, "LIMIT_S", 0.3)
    held_by(project, "elsewhere/17/4711")
    with pytest.raises(
        PromotionError, match=r"mara \(elsewhere/17/4711\) has been promoting.*voicelathe\.promotion"
    ):
        promote.promote("mini-lora", project)
    assert promote.history(project) == [] and names(project) == [LOCK]


def test_the_lock_of_a_process_that_died_here_is_taken_over(project: Path) -> None:
    held_by(project, dead_process())
    assert promote.promote("mini-lora", project).version == "1"
    assert names(project) == ["voicelathe"]


def test_the_lock_is_let_go_after_success_and_after_failure(project: Path) -> None:
    promote.promote("mini-lora", project)
    with pytest.raises(PromotionError, match="stale"):
        promote.promote("mini-lora", project, "warmer", "step_0000020", expect="9")
    assert names(project) == ["voicelathe"]


def test_somebody_alive_on_this_machine_keeps_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutex, "LIMIT_S", 0.3)
    models = Registered(connect(runs.tracking(), project), "voicelathe")
    held_by(project, processes.mark())
    with pytest.raises(PromotionError, match="mara"), mutex.held(models):
        pytest.fail("two hold it")


def test_a_process_is_dead_only_when_it_was_here_and_is_gone() -> None:
    assert not processes.is_dead(processes.mark())
    assert processes.is_dead(dead_process())
    assert processes.is_dead(processes.mark().rpartition("/")[0] + "/1"), (
        "a later process with the same number"
    )
    assert (
        not processes.is_dead("elsewhere/999999/1")
        and not processes.is_dead("")
        and not processes.is_dead("x")
    )
