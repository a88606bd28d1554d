"""What another branch promoted is protected in this one, whose journal does not know it: prune keeps it, git's history says where it is."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.factories import runs as factory
from voicelathe.errors import PromotionError
from voicelathe.registry import promote
from voicelathe.registry import promoted as production
from voicelathe.registry.history import journal, reachable
from voicelathe.registry.weights import retention

RECIPE = "mini-lora"


def git(root: Path, *words: str) -> None:
    who = ("git", "-c", "user.name=anna", "-c", "user.email=anna@example.org")
    subprocess.run([*who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def elsewhere(promoted: Path) -> Path:
    """On a branch that was made before the promotion; its MLflow is its own, so nothing seems to be in production."""
    git(promoted, "init", "-q", "-b", "main")
    git(promoted, "add", "params.yaml")
    git(promoted, "commit", "-qm", "base")
    git(promoted, "branch", "other")
    git(promoted, "add", "registry/journal.jsonl")
    git(promoted, "commit", "-qm", "promoted")
    git(promoted, "switch", "-q", "other")
    (promoted / "mlflow.db").unlink()
    shutil.rmtree(promoted / "mlruns")
    return promoted


def test_weights_that_another_branch_promoted_are_not_pruned(elsewhere: Path) -> None:
    assert journal.read(elsewhere) == []
    (promotion,) = {one.path: one for one in reachable.promotions(elsewhere)}.values()
    found = retention.plan([RECIPE], elsewhere, "nobody needs to listen")
    assert found.kept[promotion.path].startswith("version 1 of")
    assert promotion.path not in {one.path for one in found.doomed} and found.doomed


def test_without_git_the_journal_here_is_all_there_is(promoted: Path) -> None:
    assert reachable.promotions(promoted) == [one.promotion for one in journal.read(promoted)]


def test_earlier_weights_that_are_not_here_keep_nobody_from_making_room(promoted: Path) -> None:
    """Of another machine, or deleted by hand long ago: only what is in production, selected or nominated must be sound."""
    before = journal.read(promoted)[-1].promotion.path
    promote.promote(RECIPE, promoted, "better", "step_0000020")
    factory.finished(promoted, RECIPE, seed=8)
    shutil.rmtree(promoted / before)
    found = retention.plan([RECIPE], promoted, "nobody needs to listen")
    assert found.refusals == [] and found.doomed
    now = journal.read(promoted)[-1].promotion.path
    shutil.rmtree(promoted / now)
    assert any(now in one for one in retention.plan([RECIPE], promoted, "no").refusals)


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_journal_that_an_applied_experiment_put_back_is_noticed_and_taken_back(
    promoted: Path, is_committed: bool
) -> None:
    """As `dvc exp apply` leaves it: the lines are in the last commit, or where DVC put aside what was not committed."""
    git(promoted, "init", "-q", "-b", "main")
    git(promoted, "add", "params.yaml", "registry/journal.jsonl")
    git(promoted, "commit", "-qm", "promoted")
    then = (promoted / journal.FILE).read_bytes()
    promote.promote(RECIPE, promoted, "better", "step_0000020")
    now = (promoted / journal.FILE).read_bytes()
    if is_committed:
        git(promoted, "commit", "-qam", "promoted again")
    else:
        git(promoted, "stash", "-q")
        git(promoted, "update-ref", reachable.APPLIED, "refs/stash")
        git(promoted, "stash", "drop", "-q")
    (promoted / journal.FILE).write_bytes(then)
    told = production.status(promoted).problem
    assert told is not None and "older than what git has: 2 lines are missing" in told
    for act in (lambda: promote.rollback(promoted, "back"), lambda: promote.promote(RECIPE, promoted)):
        with pytest.raises(PromotionError, match="Take them back, then do the same again: git checkout"):
            act()
    git(promoted, *told.rpartition(": git ")[2].split())
    assert (promoted / journal.FILE).read_bytes() == now
    assert production.status(promoted).state == "in production"
