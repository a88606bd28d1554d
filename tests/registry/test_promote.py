"""Promotion against a real store: what is registered, what moves, what is written down, and who is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.errors import ConsentError, PromotionError
from voicelathe.records import Promotion
from voicelathe.registry import promote, promoted
from voicelathe.registry.history import journal
from voicelathe.tracking import registered, replay, store

RECIPE, NAME = "mini-lora", "voicelathe"


def put(root: Path, candidate: str | None = None, because: str | None = None, **more: Any) -> Promotion:
    return promote.promote(RECIPE, root, because, candidate, **more)


def aliases(root: Path) -> dict[str, str]:
    """Where each alias stands."""
    held = stores.client(root).get_registered_model(NAME).aliases.items()
    return {alias: str(version) for alias, version in held}


def events(root: Path) -> list[tuple[str, str, str]]:
    return [(entry.action, entry.event, entry.promotion.version) for entry in promote.history(root)]


def test_the_selected_candidate_goes_into_production_with_its_evidence(project: Path) -> None:
    done = put(project)
    assert (done.version, done.previous, done.candidate) == ("1", None, "step_0000040@1")
    assert aliases(project) == {"production": "1", "candidate": "1"}
    client = stores.client(project)
    version = client.get_model_version_by_alias(NAME, "production")
    model = stores.models(client)["step_0000040"]
    assert version.source == f"models:/{model.model_id}"
    assert version.tags["voicelathe.checkpoint_sha256"] == done.checkpoint_sha256
    assert version.tags["voicelathe.run_digest"] == done.run_digest
    about = json.loads(version.tags["voicelathe.promotion"])
    assert (about["by"], about["evidence"], about["from"]) == (done.by, done.inputs, None)
    assert about["journal"] == promote.history(project)[0].sha256 and "validation" in version.description
    for path, sha256 in done.inputs.items():
        assert digest.of_file(project / path) == sha256
    assert events(project) == [("promote", "begun", "1"), ("promote", "done", "1")]


def test_what_is_registered_is_code_and_a_reference_and_no_pickle(project: Path) -> None:
    put(project)
    directory = project / "mlruns"
    inside = [path for path in directory.rglob("*") if path.is_file()]
    assert not [path for path in inside if path.suffix in (".pkl", ".pickle", ".pt", ".bin")]
    (code,) = [path for path in inside if path.name == "serving_model.py"]
    added = [path for path in code.parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in added) < 20_000
    assert "python_model" not in (code.parent / "MLmodel").read_text().replace("python_model_", "")


def test_a_weight_that_changed_after_promotion_is_never_loaded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    done = put(project)
    path = project / done.path / "lora_weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Exception, match=r"lora_weights\.safetensors: sha256 is"):
        registered.load(f"sqlite:///{project}/mlflow.db", f"models:/{NAME}@production")
    assert not (project / ".cache").exists(), "no worker was started"


def test_a_voice_whose_consent_was_revoked_does_not_start(project: Path) -> None:
    put(project)
    record = digest.read_json(project / "consent/awb.json")
    digest.write_json(project / "consent/awb.json", {**record, "revoked_at": "2026-06-01"})
    with pytest.raises(ConsentError, match="revoked_at"):
        registered.load(f"sqlite:///{project}/mlflow.db", f"models:/{NAME}@production")


def test_loading_leaves_mlflows_own_settings_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    put(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    digest.write_json(project / "consent/awb.json", {})
    with pytest.raises(ConsentError):
        registered.load(f"sqlite:///{project}/mlflow.db", f"models:/{NAME}@production")
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://elsewhere:5000"


def test_strength_and_seed_are_typed_options_of_the_version(project: Path) -> None:
    import mlflow

    put(project)
    with registered._current(f"sqlite:///{project}/mlflow.db"):
        signature = mlflow.models.get_model_info(f"models:/{NAME}@production").signature
    typed = {option.name: (option.dtype.name, option.default) for option in signature.params}
    assert typed["lora_scale"] == ("double", 1.0) and typed["seed"] == ("long", 42)
    assert typed["max_seconds"][0] == "double"
    assert signature.inputs.input_names() == ["text"] and "wav_base64" in signature.outputs.input_names()


def test_the_version_before_stays_reachable_and_rollback_returns_to_it(project: Path) -> None:
    put(project)
    put(project, "step_0000020", "warmer")
    assert aliases(project) == {"production": "2", "previous": "1", "candidate": "2"}
    back = promote.rollback(project, "a customer complained")
    assert (back.version, back.previous, back.because) == ("1", "2", "a customer complained")
    assert aliases(project) == {"production": "1", "previous": "2", "candidate": "2"}
    assert events(project)[-2:] == [("rollback", "begun", "1"), ("rollback", "done", "1")]


def test_rollback_refuses_a_version_that_may_no_longer_speak(project: Path) -> None:
    first = put(project)
    put(project, "step_0000020", "warmer")
    (project / first.path / "lora_weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(PromotionError, match=r"Version 1 .*lora_weights") as refused:
        promote.rollback(project, "back")
    assert aliases(project)["production"] == "2"
    said = str(refused.value)
    assert "version 2 stays in production" in said and "voicelathe promote mini-lora" in said
    assert "voicelathe rollback" not in said, "that is what was typed"


def test_rollback_without_an_earlier_version_says_so(project: Path) -> None:
    put(project)
    with pytest.raises(PromotionError, match="no earlier version"):
        promote.rollback(project, "back")


def test_another_recipe_with_the_same_weights_is_a_version_of_its_own(project: Path) -> None:
    """Two recipes with equal settings have one digest and equal weights; each speaks from its own files."""
    put(project)
    twin = runs.planned(project, RECIPE, 60, 10, 7, 2)
    folder = twin.directory.replace(RECIPE, "mini-twin")
    params.copy_recipe(RECIPE, {"mini-twin": {}}, project / "params.yaml")
    runs.finished(project, "mini-twin", run=replace(twin, recipe="mini-twin", directory=folder))
    replay.mirror_all("mini-twin", runs.tracking(), project)
    done = promote.promote("mini-twin", project, None, None)
    assert (done.version, done.previous, done.recipe) == ("2", "1", "mini-twin")
    assert done.path.startswith("checkpoints/mini-twin/")
    assert promote.rollback(project, "back").recipe == RECIPE


def test_promoting_what_is_in_production_changes_nothing(project: Path) -> None:
    first = put(project)
    before = (project / journal.FILE).read_bytes()
    assert put(project) == first
    assert (project / journal.FILE).read_bytes() == before and aliases(project) == {
        "production": "1",
        "candidate": "1",
    }


def test_a_candidate_promoted_again_later_is_the_same_version(project: Path) -> None:
    put(project)
    put(project, "step_0000020", "warmer")
    again = put(project)
    assert again.version == "1" and aliases(project) == {"production": "1", "previous": "2", "candidate": "1"}
    assert len(stores.client(project).search_model_versions(f"name = '{NAME}'")) == 2


def test_an_override_is_written_down_with_its_reason(project: Path) -> None:
    done = put(project, "step_0000060", "the last one, on purpose")
    assert done.waived == ["selection"] and done.because == "the last one, on purpose"
    about = json.loads(
        stores.client(project).get_model_version(NAME, done.version).tags["voicelathe.promotion"]
    )
    assert (about["waived"], about["because"]) == (["selection"], "the last one, on purpose")


def test_a_dry_run_asks_every_gate_and_changes_nothing(project: Path) -> None:
    assert put(project, dry_run=True).candidate == "step_0000040@1"
    with pytest.raises(PromotionError, match="was selected"):
        put(project, "step_0000020", dry_run=True)
    assert promote.history(project) == [] and promoted.status(project).state == "none"


def test_who_expected_another_version_is_refused_as_stale(project: Path) -> None:
    put(project)
    with pytest.raises(
        PromotionError, match="stale: expected nothing of voicelathe in production, found version 1"
    ):
        put(project, "step_0000020", "warmer", expect=None)
    assert put(project, "step_0000020", "warmer", expect="1").version == "2"


def test_a_promotion_between_looking_and_acting_is_noticed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = promote.gates.examine

    def slow(*arguments: Any) -> Any:
        case = examine(*arguments)
        monkeypatch.setattr(promote.gates, "examine", examine)
        put(project, "step_0000020", "faster")
        return case

    monkeypatch.setattr(promote.gates, "examine", slow)
    with pytest.raises(PromotionError, match=r"stale: \w+ promoted version 1 \(mini-lora step_0000020@1\)"):
        put(project)
    assert aliases(project) == {"production": "1", "candidate": "1"}


def test_an_alias_moved_by_hand_is_reported_and_only_taken_over_by_its_number(project: Path) -> None:
    put(project)
    put(project, "step_0000020", "warmer")
    stores.client(project).set_registered_model_alias(NAME, "production", "1")
    status = promoted.status(project)
    assert status.state == "moved" and "journal says 2" in str(status.problem)
    with pytest.raises(PromotionError, match="moved by hand"):
        put(project)
    with pytest.raises(PromotionError, match=r"moved by hand.*promote RECIPE --take-over 1"):
        put(project, because="nobody listened")  # a reason for something else
    with pytest.raises(PromotionError, match=r"--take-over 2: .* is version 1, moved.*--take-over 1"):
        put(project, because="we looked into it", take_over="2")
    done = put(project, because="we looked into it", take_over="1")
    assert done.waived == ["alias"] and promoted.status(project).state == "in production"


def test_an_alias_set_before_any_promotion_is_not_believed(project: Path) -> None:
    model = stores.models(stores.client(project))["step_0000060"]
    models = registered.Registered(store.connect(runs.tracking(), project), NAME)
    models.set_alias("production", models.register(model.model_id, {}))
    assert promoted.status(project).state == "moved"
    with pytest.raises(PromotionError, match="knows of no promotion"):
        put(project)


def test_a_deleted_version_is_reported_and_promotion_repairs_it(project: Path) -> None:
    put(project)
    stores.client(project).delete_model_version(NAME, "1")
    assert promoted.status(project).state == "lost"
    again = put(project)
    assert again.version == "2" and promoted.status(project).state == "in production"


def test_a_rebuilt_store_gets_its_production_back(project: Path, empty_database: Path) -> None:
    import shutil

    put(project)
    shutil.copy(empty_database, project / "mlflow.db")
    assert promoted.status(project).state == "lost"
    replay.mirror_all(RECIPE, runs.tracking(), project)
    put(project)
    assert promoted.status(project).state == "in production"


def test_a_candidate_that_was_never_tracked_is_told_how_to_get_there(root: Path) -> None:
    with pytest.raises(PromotionError, match=f"dvc repro -f -s track@{RECIPE}"):
        put(root)
    assert promote.history(root) == []


def test_a_changed_configuration_makes_a_new_version_and_leaves_the_old_one(project: Path) -> None:
    put(project)
    put(project, "step_0000020", "warmer")
    params.edit({f"recipes/{RECIPE}/listen/max_seconds": 9.0}, project / "params.yaml")
    again = put(project)
    assert again.version == "3", "its default of max_seconds is another one"


def test_the_registrys_page_says_how_a_version_gets_there(promoted_project: Path) -> None:
    about = stores.client(promoted_project).get_registered_model(NAME).description
    assert "`voicelathe promote`" in about and "refused by serving" in about


def test_an_edited_journal_stops_promotion(project: Path) -> None:
    put(project)
    path = project / journal.FILE
    path.write_bytes(path.read_bytes().replace(b"step_0000040@1", b"step_0000050@1", 1))
    with pytest.raises(PromotionError, match=r"journal\.jsonl:2"):
        put(project, "step_0000020", "warmer")


def test_the_base_itself_can_be_promoted_on_the_record(project: Path) -> None:
    done = put(project, "base", "nothing beats it")
    assert (done.kind, done.path, done.waived) == ("base", f"data/bases/{runs.BASE}", ["selection"])


def test_a_full_checkpoint_has_no_strength_to_choose(root: Path) -> None:
    runs.finished(root, "mini-full")
    replay.mirror_all("mini-full", runs.tracking(), root)
    promote.promote("mini-full", root)
    address = f"sqlite:///{root}/mlflow.db"
    assert "lora_scale" not in registered.options(address, f"models:/{NAME}@production")


def test_everything_works_from_inside_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert promote.promote(RECIPE, Path()).version == "1"
    assert promoted.status(Path()).state == "in production"
    assert records.read_one(layout.run(RECIPE, "run.json"), records.RunRecord)
