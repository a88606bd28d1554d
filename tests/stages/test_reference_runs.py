"""Training with references from the parent's side: planned, encoded, trained by the real worker; its identity; and nothing of it without."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import audio, training
from voicelathe import digest, families, layout, records
from voicelathe.config import params, schema
from voicelathe.data import tables
from voicelathe.data.audio import files
from voicelathe.data.references import pairs, planning
from voicelathe.errors import SplitError
from voicelathe.plan import forecast
from voicelathe.runs import identity, references
from voicelathe.stages import encode, preflight, train

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NUM = 8  # recordings of one clip each: six in train, one in validation, one in test


def settings(root: Path, share: float) -> schema.Params:
    known = params.load(ROOT / "params.yaml")
    facts = families.find("voxcpm2").describe(training.BASE, "Apache-2.0", False)
    base = schema.Base("voxcpm2", str(training.BASE), facts.digest, "Apache-2.0", False)
    one = known.recipes["mini-lora"]
    wanted = replace(training.train_settings(steps=4, every=2), reference_share=share, probe_every=4)
    return replace(
        known,
        ingest=replace(known.ingest, audio_root=str(root / "audio")),
        bases={one.base: base},
        recipes={"mini-lora": replace(one, train=wanted)},
    )


def clip(root: Path, number: int, ref: str | None = None) -> records.CleanClip:
    name = f"{number}.wav"
    path = audio.write(root / "audio" / name, audio.speech(1.2 + 0.1 * number, number))
    return records.CleanClip(
        clip_id=f"c{number}", audio=name, start_s=0.0, end_s=round(1.2 + 0.1 * number, 6), text="The lamp is on.", recording_id=name,
        speaker_id="lark", language="en", audio_sha256=files.hash_file(path.parent, name), samples_sha256=digest.of_value(number),
        duration_s=round(1.2 + 0.1 * number, 6), ref_audio=ref,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A split whose first row names a recording as its reference, encoded by the real worker."""
    monkeypatch.chdir(tmp_path)
    audio.write(tmp_path / "audio/calm.wav", audio.speech(1.5, 7))
    clips = [clip(tmp_path, number, "calm.wav" if number == 0 else None) for number in range(NUM)]
    for split, members in (("train", clips[:6]), ("validation", clips[6:7]), ("test", clips[7:])):
        records.write(layout.split(split), members)
    assigned = [records.SplitAssignment(one.recording_id, one.recording_id, "train", 1, 1.0) for one in clips]
    tables.write(layout.ASSIGNMENTS, assigned)
    known = settings(tmp_path, 0.0)
    encode.encode(known, next(iter(known.bases)))
    return tmp_path


def planned(root: Path, share: float) -> records.RunRecord:
    return identity.identify(settings(root, share), "mini-lora", 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[planning.Planned]:
    """Every plan of references that is made while the test runs."""
    found: list[planning.Planned] = []
    real = planning.plan

    def counted(*given: Any) -> planning.Planned:
        found.append(real(*given))
        return found[-1]

    monkeypatch.setattr(planning, "plan", counted)
    return found


def test_a_run_with_references_is_trained_by_the_worker_and_is_another_run(
    project: Path, made: list[planning.Planned]
) -> None:
    with_ref = settings(project, 0.7)
    assert references.notices(with_ref, "mini-lora")
    recipe = with_ref.recipes["mini-lora"]
    assert references.written(with_ref, recipe.base, recipe.train), "as the forecast asks for it"
    finished, index = train.train(with_ref, planned(project, 0.7))
    assert len(made) == 1, "notices, forecast, identity and training share one"
    assert [one.step for one in index] == [0, 2, 4]
    steps = records.read(Path(finished.directory) / "steps.jsonl", records.StepRecord)
    plan = references.planned(with_ref).plan
    heard = {clip: one for step in steps for clip, one in (step.references or {}).items()}
    assert heard["c0"] == plan.own["c0"] and plan.own["c0"].startswith("reference-")
    assert set(heard.values()) - {plan.own["c0"]} <= {f"c{n}" for n in range(6)}, "nothing that is held out"
    bare, _ = train.train(settings(project, 0.0), planned(project, 0.0))
    assert bare.run_digest != finished.run_digest
    assert "references_digest" not in records.to_json(bare.identity), (
        "runs from before keep their digest and bytes"
    )
    assert (
        records.from_json(records.RunIdentity, records.to_json(finished.identity), "run.json")
        == finished.identity
    )


def test_without_references_the_split_s_other_files_are_not_even_read(project: Path) -> None:
    before = planned(project, 0.0)
    layout.ASSIGNMENTS.unlink()
    layout.split("test").unlink()
    assert planned(project, 0.0) == before and references.notices(settings(project, 0.0), "mini-lora") == []
    assert before.run_digest == digest.of_value(records.to_json(before.identity))


def test_another_content_of_a_reference_or_another_component_is_another_run(project: Path) -> None:
    first = planned(project, 0.7).run_digest
    assert first == planned(project, 0.7).run_digest != planned(project, 0.6).run_digest
    audio.write(project / "audio/calm.wav", audio.speech(1.5, 8))
    second = planned(project, 0.7).run_digest
    assigned = tables.read(layout.ASSIGNMENTS, records.SplitAssignment)
    joined = [replace(one, component="1.wav") if one.recording_id == "2.wav" else one for one in assigned]
    tables.write(layout.ASSIGNMENTS, joined)
    assert len({first, second, planned(project, 0.7).run_digest}) == 3


def test_a_plan_is_recalled_only_while_nothing_that_it_was_made_from_changes(
    project: Path, made: list[planning.Planned], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = settings(project, 0.7)
    assert references.planned(known) is references.planned(known) and len(made) == 1
    for number, path in enumerate(
        [*map(layout.split, layout.SPLITS), layout.ASSIGNMENTS, project / "audio/calm.wav"], 2
    ):
        digest.write_bytes(path, path.read_bytes())
        assert references.planned(known) is references.planned(known)
        assert len(made) == number, path
    (project / "audio/calm.wav").unlink()
    assert "missing" in references.planned(known).notices[1]
    shutil.copytree(project / "data", project / "other/data")
    monkeypatch.chdir(project / "other")
    records.write(layout.split("train"), records.read(layout.split("train"), records.CleanClip)[1:])
    assert len(references.planned(known).plan.speakers) == 5, "another project with the same audio"


def test_two_bases_share_no_folder_of_encoded_references(project: Path) -> None:
    known = settings(project, 0.7)
    recipe = known.recipes["mini-lora"]
    one = known.bases[recipe.base]
    both = replace(known, bases={**known.bases, "another": replace(one, digest="1" * 64)})
    first, second = (references.written(both, base, recipe.train) for base in (recipe.base, "another"))
    assert first is not None and second is not None and first != second
    assert (first / pairs.PLAN).read_bytes() == (second / pairs.PLAN).read_bytes()


def test_a_reference_from_the_test_split_stops_preflight_by_name(project: Path) -> None:
    rows = records.read(layout.split("train"), records.CleanClip)
    records.write(layout.split("train"), [replace(rows[0], ref_audio="7.wav"), *rows[1:]])
    with pytest.raises(SplitError, match=r"clip c0 of train: 7.wav is a recording of test"):
        preflight.preflight(settings(project, 0.5), "mini-lora", 1, [], [])
    assert planned(project, 0.0).run_digest, "a recipe without references does not mind"


def test_the_plan_knows_the_longer_passes(project: Path) -> None:
    bare, with_ref = (
        forecast.rehearse(known, next(iter(known.bases)), known.recipes["mini-lora"].train, "x", False)[0]
        for known in (settings(project, 0.0), settings(project, 1.0))
    )
    assert bare.size.references is None and with_ref.size.references is not None
    assert all(with_ref.size.references), "at a share of 1 every clip has one"
    marks = records.REFERENCE_MARKS * len(with_ref.size.references)
    longer = sum(with_ref.size.references) + marks
    assert (
        with_ref.size.num_positions == sum(with_ref.size.text_tokens) + sum(with_ref.size.positions) + longer
    )
    assert with_ref.peak.activations > bare.peak.activations and with_ref.flops > bare.flops
    assumed = forecast.rehearse(
        settings(project, 1.0),
        "voxcpm2-mini",
        settings(project, 1.0).recipes["mini-lora"].train,
        "x",
        False,
        2.0,
    )[0]
    assert (
        assumed.size.references == assumed.size.positions
        and "a reference of the same length" in assumed.size.source
    )
