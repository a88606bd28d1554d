"""Weights that saw other speakers against forgetting go into production only while these agree to be trained on."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.data.latents import general_set
from voicelathe.registry import gates, last_look
from voicelathe.runs import replay

RECIPE, CLIPS = "mini-lora", layout.general(runs.BASE) / general_set.CLIPS


@pytest.fixture
def project(tmp_path: Path, finished_project: Path) -> Path:
    """A run with replay of one of two strangers, who agreed to be trained on and not to be cloned."""
    root = Path(shutil.copytree(finished_project, tmp_path / "project"))
    rows = [replace(runs.clip("train", at, f"stranger{at % 2}"), text=f"Sentence {at}.") for at in range(4)]
    records.write(root / CLIPS, rows)
    place = root / layout.run(RECIPE, "run.json")
    run = records.read_one(place, records.RunRecord)
    mixed = replace(run.identity, train=replace(run.identity.train, replay_share=0.25))
    inputs = {**run.inputs, CLIPS.as_posix(): digest.of_file(root / CLIPS)}
    digest.write_json(place, records.to_json(replace(run, identity=mixed, inputs=inputs)))
    allowed = digest.read_json(root / "consent/awb.json")
    for name in ("stranger0", "stranger1"):
        purposes = {**dict.fromkeys(allowed["purposes"], False), "train": True}
        digest.write_json(
            root / f"consent/{name}.json", {**allowed, "speaker_id": name, "purposes": purposes}
        )
    return root


def against(root: Path, candidate: str = "step_0000040@1") -> list[str]:
    case = gates.examine(RECIPE, root, gates.load_params(root), candidate)
    assert not any(one.waivable for one in case.objections if one.gate == "consent")
    return [one.message for one in case.objections if one.gate == "consent"]


def seen(root: Path) -> str:
    """The stranger whose clips were mixed in; forgetting is measured on the other."""
    (name,) = replay.speakers(
        records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord), root
    )
    return name


def test_who_may_be_trained_on_is_not_asked_for_a_voice(project: Path) -> None:
    assert against(project) == [] and seen(project) in ("stranger0", "stranger1")


def test_a_consent_that_was_taken_back_or_is_gone_keeps_the_weights_out_and_the_base_in(
    project: Path,
) -> None:
    record = project / f"consent/{seen(project)}.json"
    case = gates.examine(RECIPE, project, gates.load_params(project), "step_0000040@1")
    digest.write_json(record, {**digest.read_json(record), "revoked_at": "2026-06-01"})
    (said,) = against(project)
    assert record.name in said and "revoked_at is 2026-06-01" in said
    assert "Its clips were mixed in (train.replay_share). Renew the record, or take them out" in said
    assert said in list(last_look._changes(case, project)), "asked again before the alias moves"
    assert against(project, "base") == []
    record.unlink()
    (said,) = against(project)
    assert f"{record.name} is missing" in said


def test_the_one_who_is_only_measured_on_is_not_asked(project: Path) -> None:
    (other,) = {"stranger0", "stranger1"} - {seen(project)}
    (project / f"consent/{other}.json").unlink()
    assert against(project) == []


def test_another_general_set_than_the_run_saw_is_named(project: Path) -> None:
    rows = records.read(project / CLIPS, records.CleanClip)
    records.write(project / CLIPS, rows[1:])
    for _ in range(2):
        (said,) = against(project)
        now = digest.of_file(project / CLIPS) if (project / CLIPS).is_file() else "gone"
        assert f"{CLIPS} is not the file that mini-lora was trained with (sha256 " in said
        assert f"and now {now})" in said and "dvc checkout" in said
        (project / CLIPS).unlink(missing_ok=True)
