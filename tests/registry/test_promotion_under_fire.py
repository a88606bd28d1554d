"""Promotions that are killed at any write, and promotions that race: the alias is never absent and one racer wins."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores, runs
from voicelathe.tracking import replay

ROOT = Path(__file__).parents[2]


def lab(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.registry.promotion_lab", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_old_or_new_and_repairable(trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        old, new, seen, repaired = trial["old"], trial["new"], trial["seen"], trial["repaired"]
        assert seen["alias"] in (old, new), trial
        assert seen["state"] in ("in production", "unfinished"), trial
        assert (repaired["alias"], repaired["state"], repaired["journal"]) == (
            new,
            "in production",
            ["done", new],
        ), trial
    flips = [trial["seen"]["alias"] == trial["new"] for trial in trials]
    assert flips == sorted(flips) and not flips[0] and flips[-1], (
        "there is exactly one moment at which it changes"
    )


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, tracked_project: Path) -> list[dict[str, Any]]:
    """Two kills and a race in one process, because importing MLflow takes longer than any of them."""
    root = mlflow_stores.copy_tracked(tracked_project, tmp_path_factory.mktemp("lab") / "project")
    return lab("short", str(root))


@pytest.mark.slow
def test_a_promotion_killed_while_it_switches_leaves_the_old_or_the_new_version(
    short: list[dict[str, Any]],
) -> None:
    trials = [trial for trial in short if "point" in trial]
    assert_old_or_new_and_repairable(trials)
    points = [trial["point"].split()[-1] for trial in trials]
    assert points == ["write_bytes", "set_registered_model_alias", "end"]
    assert [trial["survived"] is None for trial in trials] == [True, True, False]


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_promotion_killed_at_any_write_at_all_can_be_repeated(project: Path, tmp_path: Path) -> None:
    """From the first byte of the registration on; every trial starts from a candidate that was never registered."""
    trials = lab("crash-everywhere", str(project), str(tmp_path / "copies"))
    assert_old_or_new_and_repairable(trials)
    assert len(trials) > 20
    assert all(trial["num_versions"] == 2 for trial in trials), "a repeated promotion registers nothing twice"


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_hundred_kills_leave_the_old_or_the_new_version_and_a_whole_journal(project: Path) -> None:
    trials = lab("crash", str(project), "100")
    assert len(trials) == 100 and all(trial["survived"] is None for trial in trials)
    for trial in trials:
        assert trial["seen"]["alias"] in (trial["old"], trial["new"]), trial
        assert trial["seen"]["state"] in ("in production", "unfinished"), trial
        assert trial["repaired"]["journal"] == ["done", trial["new"]], trial
        assert trial["repaired"]["state"] == "in production", trial


def assert_one_winner_each(trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        won = [version for outcome, version in trial["told"] if outcome == "won"]
        assert won == [trial["seen"]["alias"]], trial
        assert trial["seen"]["journal"] == ["done", won[0]] and trial["seen"]["state"] == "in production", (
            trial
        )
        lost = [message for outcome, message in trial["told"] if outcome == "lost"]
        stale = (
            f"stale: expected version {trial['expected']} of voicelathe in production, found version {won[0]}"
        )
        assert len(lost) == 3 and all(message.startswith(stale) for message in lost), trial


def test_of_four_promoters_exactly_one_wins_every_time(short: list[dict[str, Any]]) -> None:
    trials = [trial for trial in short if "told" in trial]
    assert len(trials) == 1
    assert_one_winner_each(trials)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_of_four_promoters_exactly_one_wins_a_hundred_times(project: Path) -> None:
    assert_one_winner_each(lab("race", str(project), "100"))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_of_two_checkouts_exactly_one_wins_a_hundred_times_whatever_their_reasons(
    root: Path, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reason for something else never takes over what the other one has just put into production."""
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "server.db").write_bytes(empty_database.read_bytes())
    with mlflow_stores.server(directory) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        replay.mirror_all("mini-lora", runs.tracking(), root)
        second = Path(shutil.copytree(root, tmp_path / "second"))
        trials = lab("race-checkouts", str(root), str(second), "100")
    assert len(trials) == 100
    for trial in trials:
        (won,) = [version for outcome, version in trial["told"] if outcome == "won"]
        (lost,) = [said for outcome, said in trial["told"] if outcome == "lost"]
        assert "--take-over" in lost, trial
        winner, loser = trial["seen"][trial["won"]], trial["seen"][1 - trial["won"]]
        assert (winner["alias"], winner["state"]) == (won, "in production"), trial
        assert (loser["alias"], loser["state"]) == (won, "moved"), trial
