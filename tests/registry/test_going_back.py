"""Rollback never lies: it walks back through history, knows a version by what it is and not by its number, and says what it cannot do."""

import shutil
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe import digest
from voicelathe.errors import PromotionError
from voicelathe.registry import gates, promote, promoted, verify
from voicelathe.registry.history import journal, refusals
from voicelathe.registry.speaking import say
from voicelathe.tracking import registered, replay

RECIPE, NAME = "mini-lora", "voicelathe"


def put(root: Path, step: int, **more: str) -> str:
    return promote.promote(RECIPE, root, "tried", f"step_{step:07d}", **more).version  # type: ignore[arg-type]


def back(root: Path, **more: str) -> str:
    return promote.rollback(root, "it sounds bad", **more).candidate  # type: ignore[arg-type]


def seen(root: Path) -> tuple[str | None, str, str | None]:
    """Alias, state, and the candidate that the version of the alias says it is."""
    found = promoted.status(root)
    client = stores.client(root)
    tags = client.get_model_version(NAME, found.alias).tags if found.alias else {}
    return found.alias, found.state, tags.get("voicelathe.candidate")


def test_rolling_back_twice_goes_back_twice_and_not_forth_again(project: Path) -> None:
    for step in (10, 20, 30):
        put(project, step)
    assert back(project) == "step_0000020@1"
    assert back(project) == "step_0000010@1"
    assert seen(project) == ("1", "in production", "step_0000010@1")
    with pytest.raises(PromotionError, match="no earlier version"):
        back(project)
    put(project, 40)
    assert back(project) == "step_0000010@1"


def test_rollback_to_names_any_version_that_was_in_production(project: Path) -> None:
    for step in (10, 20, 30):
        put(project, step)
    assert back(project, to="1") == "step_0000010@1"
    assert back(project, to="3") == "step_0000030@1"
    with pytest.raises(
        PromotionError, match=r"Version 3 \(mini-lora step_0000030@1\) is in production already"
    ):
        back(project, to="3")
    with pytest.raises(PromotionError, match=r"Version 9 was never in production; there are: 1, 2, 3"):
        back(project, to="9")


@pytest.fixture
def restored(project: Path) -> Path:
    """MLflow restored from a backup after version 2 went into production: only the journal still knows of it."""
    put(project, 10)
    shutil.copytree(project / "mlruns", project / "backup")
    shutil.copy(project / "mlflow.db", project / "backup.db")
    put(project, 20)
    shutil.rmtree(project / "mlruns")
    (project / "backup").rename(project / "mlruns")
    shutil.copy(project / "backup.db", project / "mlflow.db")
    return project


def test_after_a_restore_a_number_given_again_is_not_taken_for_the_old_version(restored: Path) -> None:
    assert seen(restored)[:2] == ("1", "moved")
    assert put(restored, 30, take_over="1") == "2"
    assert seen(restored) == ("2", "in production", "step_0000030@1")
    before = (restored / journal.FILE).read_bytes()
    with pytest.raises(
        PromotionError,
        match=r"Version 2 \(mini-lora step_0000020@1\).* is not in MLflow at sqlite.*--candidate",
    ):
        back(restored)
    assert seen(restored) == ("2", "in production", "step_0000030@1")
    assert (restored / journal.FILE).read_bytes() == before, "checked before it began"
    assert back(restored, to="1") == "step_0000010@1"
    assert seen(restored) == ("1", "in production", "step_0000010@1")


def test_a_number_that_means_another_candidate_by_now_neither_speaks_nor_counts(project: Path) -> None:
    """MLflow rebuilt from local files; a promotion that no gate allowed got the number that the journal knows."""
    put(project, 10)
    client = stores.client(project)
    client.delete_registered_model(NAME)
    models = registered.Registered(promote.connect(runs.tracking(), project), NAME)
    version = promote._register(models, gates.examine(RECIPE, project, gates.load_params(project), "30"))
    models.set_alias("production", version)
    assert version == "1" and promoted.status(project).state == "replaced"
    for refused in (
        lambda: say.speak_production("Hello.", project / "out.wav", project, {}),
        lambda: registered.load(f"sqlite:///{project}/mlflow.db", f"models:/{NAME}@production"),
        lambda: put(project, 20),
        lambda: back(project),
    ):
        with pytest.raises(PromotionError, match=r"not what was promoted: .*rebuilt or\s+restored"):
            refused()
    assert "is not what was promoted" in str(verify.verify(f"models:/{NAME}@production", project).broken)
    put(project, 20, take_over="1")
    assert seen(project)[1:] == ("in production", "step_0000020@1")


def test_a_version_that_got_another_number_is_found_by_what_it_is(
    project: Path, empty_database: Path
) -> None:
    put(project, 10)
    put(project, 20)
    shutil.copy(empty_database, project / "mlflow.db")
    replay.mirror_all(RECIPE, runs.tracking(), project)
    assert promoted.status(project).state == "lost"
    assert (put(project, 20), put(project, 10), put(project, 30)) == ("1", "2", "3")
    assert back(project) == "step_0000010@1" and seen(project) == ("2", "in production", "step_0000010@1")


def test_a_version_deleted_in_mlflow_is_named_and_not_called_a_dead_server(project: Path) -> None:
    put(project, 10)
    put(project, 20)
    stores.client(project).delete_model_version(NAME, "1")
    with pytest.raises(PromotionError, match=r"is not in MLflow .*deleted there") as caught:
        back(project)
    assert "Start it" not in str(caught.value)
    assert promoted.status(project).state == "in production", "nothing was begun"


def test_what_changes_between_the_gates_and_the_alias_stops_the_promotion(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = promote.gates.examine
    record = digest.read_json(project / "consent/awb.json")
    weights = project / promote.promote(RECIPE, project, dry_run=True).path

    def revoke() -> None:
        digest.write_json(project / "consent/awb.json", {**record, "revoked_at": "2026-06-01"})

    for change, expected in (
        (revoke, "revoked_at"),
        (lambda: (weights / "lora_weights.safetensors").unlink(), "lora_weights.safetensors is gone"),
        (lambda: shutil.rmtree(weights), "is gone, or holds other weights"),
    ):
        digest.write_json(project / "consent/awb.json", record)

        def meanwhile(*asked: object, change: object = change) -> object:
            case = examine(*asked)  # type: ignore[arg-type]
            change()  # type: ignore[operator]
            return case

        if not weights.is_dir() or not (weights / "lora_weights.safetensors").is_file():
            shutil.rmtree(weights, ignore_errors=True)
            shutil.copytree(project / "kept", weights)
        else:
            shutil.copytree(weights, project / "kept", dirs_exist_ok=True)
        monkeypatch.setattr(promote.gates, "examine", meanwhile)
        with pytest.raises(PromotionError, match=rf"(?s)passed the gates, but meanwhile.*{expected}"):
            promote.promote(RECIPE, project)
        monkeypatch.setattr(promote.gates, "examine", examine)
        assert promote.history(project) == []


def test_who_was_refused_is_written_down_and_a_question_is_not(project: Path) -> None:
    with pytest.raises(PromotionError):
        promote.promote(RECIPE, project, None, "step_0000020", dry_run=True)
    assert refusals.read(project) == []
    with pytest.raises(PromotionError):
        promote.promote(RECIPE, project, None, "step_0000020")
    with pytest.raises(PromotionError):
        promote.rollback(project, "token=abcdef0123456 is bad")
    first, second = refusals.read(project)
    assert (first.action, first.what) == (
        "promote",
        "mini-lora step_0000020",
    ) and "was selected" in first.refused
    assert second.action == "rollback" and second.because == "token=*** is bad"


def test_what_a_killed_rollback_leaves_is_called_a_rollback(project: Path) -> None:
    put(project, 10)
    put(project, 20)
    with journal.locked(project) as book:
        first = next(one.promotion for one in book.entries if one.promotion.version == "1")
        book.append(journal.BEGUN, "rollback", first)
    stores.client(project).set_registered_model_alias(NAME, "production", "1")
    status = promoted.status(project)
    assert status.state == "unfinished" and "voicelathe rollback --to 1" in str(status.problem)
    broken = str(verify.verify(f"models:/{NAME}@production", project).broken)
    assert "interrupted" in broken and len(broken) < 500
