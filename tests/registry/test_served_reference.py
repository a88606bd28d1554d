"""A base that hears a clip of the speaker goes into production with that clip: the gates, what MLflow and the journal keep, and who refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores
from tests.factories import speaking as speakers
from tests.registry.test_say import _Scratch, _Silent, desk_of
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.errors import CheckpointError, ConsentError, PromotionError, RequestError
from voicelathe.registry import export, gates, promote, promoted, served, verify, voice
from voicelathe.registry.authority import Authority
from voicelathe.registry.history import journal
from voicelathe.registry.speaking import reference, requests, tag
from voicelathe.registry.weights import swapping
from voicelathe.tracking import glance, registered, store

RECIPE, ZERO_SHOT, WHY = speakers.RECIPE, "base_zero_shot", "nothing ships yet"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Nothing of it is in production."""
    return speakers.behind_a_clip(tmp_path_factory.mktemp("heard") / "project", empty_database.parent)


@pytest.fixture
def project(tmp_path: Path, judged: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return mlflow_stores.copy_tracked(judged, tmp_path / "project")


def case(root: Path, candidate: str | None = ZERO_SHOT) -> gates.Case:
    return gates.examine(RECIPE, root, gates.load_params(root), candidate)


def put(root: Path, **more: Any) -> records.Promotion:
    return promote.promote(RECIPE, root, WHY, ZERO_SHOT, **more)


def messages(root: Path) -> list[str]:
    return [f"{one.gate}: {one.message}" for one in case(root).objections if not one.waivable]


def clip_of(root: Path) -> records.CleanClip:
    return records.read(root / layout.split("validation"), records.CleanClip)[0]


def kept(root: Path, promotion: records.Promotion) -> Path:
    """The clip among the artifacts of a version."""
    (found,) = (root / "mlruns").glob(f"**/artifacts/{reference.FILE}")
    assert digest.of_file(found) == promotion.reference.sha256  # type: ignore[union-attr]
    return found


def test_where_nothing_ships_the_refusal_names_the_base_to_speak_with(judged: Path) -> None:
    with pytest.raises(
        PromotionError, match=r"decided do_not_ship.* meanwhile: --candidate base_zero_shot --because TEXT"
    ):
        case(judged, None)


def test_a_zero_shot_base_asks_the_gates_and_a_reason(judged: Path) -> None:
    found = case(judged)
    assert found.heard is not None and found.heard.clip == clip_of(judged)
    assert found.speakers == {"awb": ["en"]}
    assert [one.gate for one in found.objections] == ["selection"] and gates.require(found, WHY) == [
        "selection"
    ]
    with pytest.raises(PromotionError, match=r"base_zero_shot must not go into production:\n.*do_not_ship"):
        promote.promote(RECIPE, judged, None, ZERO_SHOT)


def test_other_candidates_hear_nothing_and_are_configured_as_before(judged: Path) -> None:
    for candidate in ("base", "step_0000040@1"):
        found = case(judged, candidate)
        assert found.heard is None and reference.ARTIFACT not in served.configuration(found)
    assert served.configuration(case(judged, "base")) != served.configuration(case(judged))


def test_consent_is_asked_of_whoever_speaks_in_the_clip(project: Path) -> None:
    """Not of those the run was trained on: the base was not trained on them."""
    train = project / layout.split("train")
    rows = records.read(train, records.CleanClip)
    records.write(train, [replace(rows[0], speaker_id="another"), *rows[1:]])
    assert case(project).speakers == {"awb": ["en"]} and "another" in case(project, "base").speakers
    (project / "consent/awb.json").rename(project / "consent/awb.kept")
    assert any("consent" in one and "awb.json is missing" in one for one in messages(project))
    (project / "consent/awb.kept").rename(project / "consent/awb.json")
    record = digest.read_json(project / "consent/awb.json")
    digest.write_json(project / "consent/awb.json", {**record, "languages": ["de"]})
    assert any("en" in one and one.startswith("consent") for one in messages(project))
    pack = project / params.load(project / "params.yaml").recipes[RECIPE].listen.lines
    records.write(pack, [replace(one, language="de") for one in records.read(pack, records.PackLine)])
    assert case(project).speakers == {"awb": ["de", "en"]}, "what it says when nobody names a language"


@pytest.mark.parametrize(
    "change", [{"end_s": 1.5}, {"text": "Another sentence."}, {"audio_sha256": "0" * 64}]
)
def test_another_clip_than_the_judged_one_is_refused(project: Path, change: dict[str, Any]) -> None:
    path = project / layout.split("validation")
    rows = records.read(path, records.CleanClip)
    records.write(path, [replace(rows[0], **change), *rows[1:]])
    assert any(
        one.startswith("reference: ")
        and "no longer has clip validation-000 as base_zero_shot was judged" in one
        for one in messages(project)
    )


def test_a_clip_whose_recording_changed_is_refused(project: Path) -> None:
    path = project / params.load(project / "params.yaml").ingest.audio_root / clip_of(project).audio
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert any(one.startswith("reference: ") and "sha256" in one for one in messages(project))
    with pytest.raises(PromotionError, match="reference: "):
        put(project)


def test_results_that_do_not_say_which_clip_was_heard_are_refused(project: Path) -> None:
    path = project / layout.run(RECIPE, "selection.json")
    value = digest.read_json(path)
    value["race"]["prompt"] = None
    digest.write_json(path, value)
    assert any("does not say which clip base_zero_shot was judged behind" in one for one in messages(project))


def test_the_clip_travels_with_the_version_and_journal_and_tags_name_it(project: Path) -> None:
    done = put(project)
    heard = done.reference
    assert heard is not None and (heard.clip_id, heard.way) == ("validation-000", "reference")
    assert heard.audio_sha256 == clip_of(project).audio_sha256 and kept(project, done).is_file()
    assert journal.read(project)[-1].promotion == done
    tags = glance.look(gates.load_params(project).tracking, project).tags[done.version]
    assert tags["voicelathe.reference"] == f"reference {heard.sha256}"
    config = registered.registration(store.address(project), f"models:/{done.name}/{done.version}").config
    assert promoted.promotion_of([done], config) == done
    assert str(project) not in json.dumps({**config, "root": ""}), "no path of this disk"
    about = tag.of_version(project, done)
    assert about["zero_shot"] == {
        "clip_id": "validation-000",
        "way": "reference",
        "audio_sha256": heard.audio_sha256,
        "sha256": heard.sha256,
    }
    assert about["candidate"] == ZERO_SHOT and "awb" not in json.dumps(about)
    assert put(project).version == done.version, "it is in production already"
    assert promoted.status(project).state == "in production"


def test_a_tag_that_names_another_clip_is_noticed(project: Path) -> None:
    done = put(project)
    client = mlflow_stores.client(project)
    client.set_model_version_tag(done.name, done.version, "voicelathe.reference", f"both {'0' * 64}")
    assert promoted.status(project).state == "replaced"


@pytest.mark.parametrize("key, value", [("way", "both"), ("text", "Other words."), ("sha256", "0" * 64)])
def test_a_configuration_with_another_clip_was_never_promoted(judged: Path, key: str, value: str) -> None:
    found = case(judged)
    config = served.configuration(found)
    done = replace(promote._promotion(found, "voicelathe", "1", None, WHY, []))
    other = {**config, reference.ARTIFACT: {**config[reference.ARTIFACT], key: value}}
    assert promoted.promotion_of([done], config) == done and promoted.promotion_of([done], other) is None
    plain = {name: one for name, one in config.items() if name != reference.ARTIFACT}
    assert promoted.promotion_of([done], plain) is None


@pytest.mark.parametrize("content, now", [(None, "it is gone"), (b"RIFF", "it is [0-9a-f]{64} now")])
def test_a_clip_that_is_not_the_promoted_one_is_never_heard(
    judged: Path, tmp_path: Path, content: bytes | None, now: str
) -> None:
    config = served.configuration(case(judged))
    path = tmp_path / "given.wav"
    if content is not None:
        path.write_bytes(content)
    artifacts = {reference.ARTIFACT: str(path)} if content is not None else {}
    with pytest.raises(CheckpointError, match=f"clip that this version hears.* in MLflow {now}.*rollback"):
        reference.opened(config, artifacts, tmp_path)


def test_a_loaded_voice_hears_the_very_bytes_that_were_promoted(judged: Path, tmp_path: Path) -> None:
    """The worker reads the carried clip as a recording again: not one sample may change."""
    found = case(judged).heard
    assert found is not None
    (tmp_path / "given.wav").write_bytes(found.content)
    (tmp_path / "own").mkdir()
    config = served.configuration(case(judged))
    opened = reference.opened(config, {reference.ARTIFACT: str(tmp_path / "given.wav")}, tmp_path / "own")
    assert opened is not None and opened.way == "reference" and opened.clips[0].text == found.clip.text
    base = params.load(judged / "params.yaml").bases[speakers.runs.BASE]
    again = reference.carried(
        opened.clips[0], opened.way, Path(opened.audio_root), base.family, judged / base.path
    )
    assert again.content == found.content
    assert reference.opened({**config, reference.ARTIFACT: None}, {}, tmp_path) is None


def test_verify_hashes_the_clip_and_a_rollback_to_one_that_is_gone_is_refused(project: Path) -> None:
    done = put(project)
    assert verify.verify(f"models:/{done.name}@production", project).broken is None
    promote.promote(RECIPE, project, "the plain base", "base")
    kept(project, done).write_bytes(b"RIFF")
    with pytest.raises(PromotionError, match=r"the clip that this version hears.*Nothing was changed"):
        promote.rollback(project, "back")
    kept_again = next((project / "mlruns").glob(f"**/artifacts/{reference.FILE}"))
    kept_again.unlink()
    with pytest.raises(PromotionError, match=r"in MLflow it is gone.*Nothing was changed"):
        promote.rollback(project, "back")


def test_verify_names_a_changed_clip(project: Path) -> None:
    done = put(project)
    kept(project, done).write_bytes(b"RIFF")
    broken = verify.verify(f"models:/{done.name}@production", project).broken
    assert broken is not None and broken.path == f"reference.wav of {done.name} version {done.version}"


def test_the_plain_base_and_the_one_that_hears_a_clip_are_two_versions(project: Path) -> None:
    plain = promote.promote(RECIPE, project, "to hear it", "base")
    heard = put(project)
    assert plain.version != heard.version and plain.reference is None
    config = registered.registration(store.address(project), f"models:/{heard.name}/{heard.version}").config
    assert swapping.can_be(project, config, heard) and swapping.can_be(project, config, plain)
    assert swapping.weights(project, config, heard) is None
    other = registered.registration(store.address(project), f"models:/{plain.name}/{plain.version}").config
    assert not swapping.can_be(project, other, heard), "it has no clip"
    with pytest.raises(RequestError, match="it hears a clip of its own before it speaks"):
        swapping.weights(project, other, heard)
    assert promote.rollback(project, "quieter").version == plain.version


def test_consent_of_the_clip_is_asked_while_it_speaks(project: Path) -> None:
    done = put(project)
    config = registered.registration(store.address(project), f"models:/{done.name}/{done.version}").config
    spoken = voice.Voice(config, project, desk_of(_Silent()), _Scratch(project), Authority(project, 0.0))
    assert spoken.understood(["Hello."], {}).about["zero_shot"]["sha256"] == done.reference.sha256  # type: ignore[union-attr]
    record = digest.read_json(project / "consent/awb.json")
    digest.write_json(project / "consent/awb.json", {**record, "revoked_at": "2026-06-01"})
    with pytest.raises(ConsentError, match="Version 1 must not speak"):
        spoken.understood(["Hello."], {})


def test_an_export_of_it_is_refused_by_name(judged: Path, tmp_path: Path) -> None:
    with pytest.raises(
        PromotionError, match=r"base_zero_shot is the untouched base with a recording.*Serve it"
    ):
        export.export(RECIPE, tmp_path / "out", judged, ZERO_SHOT, WHY)
    assert not (tmp_path / "out").exists()


def test_a_journal_of_before_keeps_its_lines(promoted_project: Path) -> None:
    line = (promoted_project / journal.FILE).read_bytes().splitlines()[-1]
    assert b'"reference"' not in line and journal.read(promoted_project)[-1].promotion.reference is None


@pytest.mark.parametrize("name", ["reference", "ref_audio", "speaker_wav"])
def test_a_clip_that_comes_with_a_request_is_refused_and_why_is_said(name: str) -> None:
    with pytest.raises(
        ConsentError, match=f"{name}: no voice is taken over .* Consent is recorded for each speaker"
    ):
        requests.check_options({name: "clip.wav", "seed": 1}, ["seed"])
    with pytest.raises(RequestError, match="No such option: loudness"):
        requests.check_options({"loudness": 1}, ["seed"])


def test_a_configuration_that_says_half_of_its_clip_is_refused_with_what_is_missing() -> None:
    assert reference.of_config({"recipe": "mini-lora"}) is None
    edited = {"recipe": "mini-lora", reference.ARTIFACT: {"clip_id": "c1", "way": "both", "sha256": "0" * 64}}
    with pytest.raises(CheckpointError, match=r"lacks audio_sha256, text, language.*promote mini-lora"):
        reference.of_config(edited)
