"""A project is its folder: moved, renamed or copied it uses its own weights, consent, bases and MLflow; every advice is followed here."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data import consent
from voicelathe.errors import BaseModelError, CheckpointError, ConsentError, PromotionError, TrackingError
from voicelathe.registry import promote, served, verify, voice
from voicelathe.registry import promoted as production
from voicelathe.registry.speaking import say
from voicelathe.registry.speaking.desk import VoiceLimits
from voicelathe.registry.weights import archive, companions, forgotten
from voicelathe.runs import identity
from voicelathe.serving.house import House
from voicelathe.tracking import relocation, replay, store

RECIPE, NAME = "mini-lora", "voicelathe"


def copied(root: Path, name: str = "copied") -> Path:
    """As `cp -a` leaves it: the database still names the folder it came from."""
    return Path(shutil.copytree(root, root.with_name(name)))


def revoke(root: Path) -> None:
    path = consent.path_of("awb", root / layout.CONSENT)
    digest.write_json(path, {**digest.read_json(path), "revoked_at": "2026-01-01"})


def test_a_copy_asks_its_own_consent_and_not_that_of_the_folder_it_came_from(promoted: Path) -> None:
    copy = copied(promoted)
    revoke(copy)
    with pytest.raises(ConsentError, match="revoked_at is 2026-01-01"):
        say.speak_production("Hello.", copy / "out.wav", copy, {})
    house = House(copy, VoiceLimits())
    with pytest.raises(ConsentError, match=str(copy)), house.lent(house.wanted(NAME)):
        pass
    assert not served.problems(promoted, _promotion(promoted)), "the first folder is as it was"


def test_a_copy_without_weights_does_not_speak_with_those_of_the_folder_it_came_from(promoted: Path) -> None:
    copy = copied(promoted)
    shutil.rmtree(copy / layout.CHECKPOINTS)
    with pytest.raises(CheckpointError, match=str(copy / layout.CHECKPOINTS)):
        say.speak_production("Hello.", copy / "out.wav", copy, {})


def test_the_variable_for_other_programs_does_not_lead_a_command_of_this_project_elsewhere(
    promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copied(promoted)
    revoke(copy)
    monkeypatch.setenv(voice.ROOT, str(promoted))
    with pytest.raises(ConsentError, match=str(copy)):
        say.speak_production("Hello.", copy / "out.wav", copy, {})


def test_a_renamed_project_keeps_its_versions_and_aliases_and_where_the_voice_lies(promoted: Path) -> None:
    before = promoted_status(promoted)
    moved = promoted.rename(promoted.with_name("Meine Stimme #2 (50%)"))
    seen = store.moved_from(factory.tracking(), moved)
    assert seen is not None and seen.former == promoted and seen.missing == []
    store.settle(factory.tracking(), moved)
    assert store.moved_from(factory.tracking(), moved) is None
    assert promoted_status(moved) == before
    (model,) = moved.glob("mlruns/models/*/artifacts/MLmodel")
    assert yaml.safe_load(model.read_text())["flavors"]["python_function"]["config"]["root"] == str(moved)
    again = promote.promote(RECIPE, moved)
    assert again.version == "1", "the same version, not a twin"
    assert verify.verify(f"models:/{NAME}@production", moved).broken is None


def test_a_project_that_came_without_its_artifacts_says_where_they_are_and_then_goes_on(
    promoted: Path,
) -> None:
    moved = promoted.with_name("moved")
    shutil.copytree(promoted, moved, ignore=shutil.ignore_patterns("mlruns"))
    with pytest.raises(TrackingError, match=f"Bring .*mlruns/ here from {promoted}") as told:
        store.connect(factory.tracking(), moved)
    assert "did not come along" in str(told.value)
    shutil.copytree(promoted / "mlruns", moved / "mlruns")
    store.connect(factory.tracking(), moved)
    assert promoted_status(moved) == ("in production", "1")


@pytest.mark.parametrize("harm", ["locked", "no table", "no file", "folder", "damaged"])
def test_what_stands_in_the_way_of_correcting_a_moved_project_is_a_sentence(
    promoted: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """And nothing is half done: once it is out of the way the same command goes on."""
    moved = promoted.rename(promoted.with_name("moved"))
    database, (model,) = moved / "mlflow.db", moved.glob("mlruns/models/*/artifacts/MLmodel")
    monkeypatch.setattr(relocation, "PATIENCE_S", 0.05)
    shutil.copy(database, moved.with_name("copy.db"))
    shutil.copy(model, moved.with_name("MLmodel"))
    seen = store.moved_from(factory.tracking(), moved)
    assert seen is not None
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        if harm == "locked":
            other.execute("begin exclusive")
        elif harm == "no table":
            other.execute("alter table model_versions rename to model_versions_of_another_mlflow")
        else:
            database.unlink() if harm == "no file" else model.unlink()
            if harm == "folder":
                model.mkdir()
            elif harm == "damaged":
                model.write_text("a: [")
        with pytest.raises(TrackingError, match="run the same command again") as told:
            relocation.settle(seen)
        assert "cannot be corrected" in str(told.value) or f"{model} is damaged" in str(told.value)
    if harm == "folder":
        model.rmdir()
    shutil.copy(moved.with_name("copy.db"), database)
    shutil.copy(moved.with_name("MLmodel"), model)
    relocation.settle(seen)
    assert promoted_status(moved) == ("in production", "1")


def promoted_status(root: Path) -> tuple[str, str | None]:
    found = promoted_of(root)
    return found.state, found.alias


def promoted_of(root: Path) -> production.Status:
    return production.status(root)


def _promotion(root: Path) -> records.Promotion:
    found = promoted_of(root).promotion
    assert found is not None
    return found


def test_a_base_that_left_params_yaml_is_a_sentence_with_the_lines_that_bring_it_back(promoted: Path) -> None:
    """It was a KeyError in doctor, verify and rollback."""
    text = (promoted / "params.yaml").read_text()
    renamed = text.replace(f"  {factory.BASE}:\n", "  mine:\n").replace(f"base: {factory.BASE}", "base: mine")
    (promoted / "params.yaml").write_text(renamed)
    (problem,) = served.problems(promoted, _promotion(promoted))
    assert (
        f"bases.{factory.BASE} is not in params.yaml" in problem and "bases.mine is the same files" in problem
    )
    with pytest.raises(BaseModelError, match="Put it back below `bases:`"):
        verify.verify(f"models:/{NAME}@production", promoted)
    with pytest.raises(PromotionError):
        promote.rollback(promoted, "why")
    lines = problem.partition("again:\n")[2]
    (promoted / "params.yaml").write_text(renamed.replace("bases:\n", f"bases:\n{lines}\n", 1))
    assert served.problems(promoted, _promotion(promoted)) == []
    assert verify.verify(f"models:/{NAME}@production", promoted).broken is None


def test_a_base_that_was_removed_is_described_from_what_encode_recorded(promoted: Path) -> None:
    text = (promoted / "params.yaml").read_text()
    chosen = params.load(promoted / "params.yaml").bases[factory.BASE]
    other = text.replace(f"  {factory.BASE}:\n", "  mine:\n").replace(f"base: {factory.BASE}", "base: mine")
    other = other.replace(chosen.digest, "0" * 64)
    (promoted / "params.yaml").write_text(other)
    (problem,) = served.problems(promoted, _promotion(promoted))
    lines = problem.partition("again:\n")[2]
    (promoted / "params.yaml").write_text(other.replace("bases:\n", f"bases:\n{lines}\n", 1))
    assert params.load(promoted / "params.yaml").bases[factory.BASE] == chosen
    assert served.problems(promoted, _promotion(promoted)) == []


def test_a_base_in_another_folder_is_found_by_its_name_and_checked_by_its_digest(promoted: Path) -> None:
    (promoted / "data/bases" / factory.BASE).rename(promoted / "base-elsewhere")
    assert "base-elsewhere" not in (problem := served.problems(promoted, _promotion(promoted))[0]) and problem
    params.edit({f"bases/{factory.BASE}/path": "base-elsewhere"}, promoted / "params.yaml")
    assert served.problems(promoted, _promotion(promoted)) == []


def test_what_lies_beside_the_weights_travels_with_them(promoted: Path, tmp_path: Path) -> None:
    run = records.read_one(promoted / layout.run(RECIPE, "run.json"), records.RunRecord)
    place = promoted / run.directory
    digest.write_json(place / identity.IDENTITY, records.to_json(run.identity))
    digest.write_json(place / identity.FINISHED, {"num_trainable": 90_000})
    digest.write_json(place / identity.RESEARCH, {"gate_sha256": "0" * 64})
    forgotten.note(run, promoted)
    archive.archive((tmp_path / "bucket").as_uri(), [RECIPE], promoted)
    clone = promoted.with_name("clone")
    shutil.copytree(promoted, clone, ignore=shutil.ignore_patterns("checkpoints", "mlruns", "mlflow.db"))
    archive.restore((tmp_path / "bucket").as_uri(), [RECIPE], clone)
    left = {name: sha for name, sha in digest.of_tree(place).items() if not name.startswith(".")}
    assert {name: left[name] for name in companions.NAMES} == {
        name: digest.of_file(clone / run.directory / name) for name in companions.NAMES
    }
    with pytest.raises(PromotionError, match="research"):
        replay.mirror_all(RECIPE, factory.tracking(), clone)
        promote.promote(RECIPE, clone)


def test_a_new_clone_is_told_the_commands_that_put_its_voice_back_and_they_work(
    promoted: Path, tmp_path: Path
) -> None:
    archive.archive((tmp_path / "bucket").as_uri(), [RECIPE], promoted)
    clone = promoted.with_name("clone")
    shutil.copytree(promoted, clone, ignore=shutil.ignore_patterns("checkpoints", "mlruns", "mlflow.db"))
    archive.restore((tmp_path / "bucket").as_uri(), [RECIPE], clone)
    lost = promoted_of(clone)
    candidate = _promotion(promoted).candidate
    advice = f"voicelathe track {RECIPE}, then voicelathe promote {RECIPE} --candidate {candidate} --because"
    assert lost.state == "lost" and advice in str(lost.problem)
    replay.mirror_all(RECIPE, factory.tracking(), clone)
    promote.promote(RECIPE, clone, "in production before", candidate)
    assert promoted_of(clone).state == "in production"
    assert verify.verify(f"models:/{NAME}@production", clone).broken is None
