"""Histories drawn at random against a model of what should be: promotions, rollbacks, restores, hands in MLflow. No lie in any of them.

MLflow is real; the model knows only which candidate the last command that said "done" put into production.
"""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.factories import mlflow_stores as stores
from voicelathe.errors import PromotionError
from voicelathe.registry import promote, promoted
from voicelathe.registry.history import journal

RECIPE, NAME = "mini-lora", "voicelathe"
STEPS = st.sampled_from([10, 20, 30, 40])


class Histories(RuleBasedStateMachine):
    """Every command either does what it says or refuses, and `status` never calls a version what it is not."""

    tracked: Path  # set by the test
    places: Path

    @initialize()
    def begin(self) -> None:
        number = sum(1 for _ in self.places.iterdir())
        self.root = stores.copy_tracked(self.tracked, self.places / str(number))
        self.stack: list[str] = []  # candidates, without what was rolled back from
        self.believes = True  # whether journal and MLflow were left in agreement

    @rule(step=STEPS, takes_over=st.booleans())
    def put(self, step: int, takes_over: bool) -> None:
        status = promoted.status(self.root)
        foreign = status.state in ("moved", "replaced")
        take_over = status.alias if takes_over and foreign else None
        try:
            done = promote.promote(RECIPE, self.root, "drawn", f"step_{step:07d}", take_over=take_over)
        except PromotionError:
            assert foreign and take_over is None, "refused although nothing spoke against it"
            return
        assert not foreign or take_over is not None, "a reason for something else took the alias over"
        assert done.candidate == f"step_{step:07d}@1"
        if not self.stack or self.stack[-1] != done.candidate:
            self.stack.append(done.candidate)
        self.believes = True
        assert self.spoken() == done.candidate

    @rule()
    def back(self) -> None:
        before, history = self.spoken(), (self.root / journal.FILE).read_bytes() if self.stack else b""
        try:
            done = promote.rollback(self.root, "drawn")
        except PromotionError:
            assert self.spoken() == before, "a refused rollback changed something"
            assert not self.stack or (self.root / journal.FILE).read_bytes() == history
            return
        assert len(self.stack) > 1 and done.candidate == self.stack[-2], "it went where nobody was before"
        self.stack.pop()
        self.believes = True
        assert self.spoken() == done.candidate != before

    @rule()
    def back_up(self) -> None:
        shutil.rmtree(self.root / "backup", ignore_errors=True)
        shutil.copytree(self.root / "mlruns", self.root / "backup")
        shutil.copy(self.root / "mlflow.db", self.root / "backup.db")

    @rule()
    def restore(self) -> None:
        if (self.root / "backup").is_dir():
            shutil.rmtree(self.root / "mlruns")
            shutil.copytree(self.root / "backup", self.root / "mlruns")
            shutil.copy(self.root / "backup.db", self.root / "mlflow.db")
            self.believes = False

    @rule(version=st.sampled_from(["1", "2", "3"]))
    def move_by_hand(self, version: str) -> None:
        if version in self.versions():
            stores.client(self.root).set_registered_model_alias(NAME, "production", version)
            self.believes = False

    @invariant()
    def status_tells_the_truth(self) -> None:
        if not hasattr(self, "root"):
            return
        status = promoted.status(self.root)
        if status.state == "in production":
            assert status.promotion is not None and self.stack
            assert self.spoken() == status.promotion.candidate == self.stack[-1]
        elif self.believes:
            assert status.state == "none" and not self.stack

    def versions(self) -> dict[str, str]:
        found = stores.client(self.root).search_model_versions(f"name = '{NAME}'")
        return {str(one.version): one.tags["voicelathe.candidate"] for one in found}

    def spoken(self) -> str | None:
        """The candidate that MLflow's alias leads to, whatever the journal says."""
        alias = promoted.status(self.root).alias
        return self.versions()[alias] if alias else None


def run(tracked: Path, places: Path, number: int) -> None:
    Histories.tracked, Histories.places = tracked, places
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    phases = [Phase.explicit, Phase.generate]
    chosen = settings(
        max_examples=number, stateful_step_count=8, deadline=None, suppress_health_check=quiet, phases=phases,
        derandomize=True, database=None,
    )  # fmt: skip
    run_state_machine_as_test(Histories, settings=chosen)


def test_three_histories_hold_no_lie(
    tracked_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run(tracked_project, tmp_path, 3)
    assert sum(1 for _ in tmp_path.iterdir()) >= 3, "a history that did not happen holds no lie either"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_forty_histories_hold_no_lie(
    tracked_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run(tracked_project, tmp_path, 40)
    assert sum(1 for _ in tmp_path.iterdir()) >= 40
