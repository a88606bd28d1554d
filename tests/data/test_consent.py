"""Consent: a record is valid on a day for a purpose, or it says exactly what is missing."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from voicelathe.data import consent
from voicelathe.errors import ConsentError

TODAY = date(2026, 11, 21)
VALID: dict[str, Any] = {
    **consent.new_record("s1", ["train", "clone"], ["en"], date(2026, 1, 1), "us"),
    "evidence": [{"type": "signed_pdf", "sha256": "ab" * 32}],
    "contact_ref": "file 7",
}


def problems(tmp_path: Path, **changes: Any) -> list[str]:
    (tmp_path / "s1.json").write_text(json.dumps({**VALID, **changes}))
    (tmp_path.parent / "there.pdf").write_bytes(b"signed")
    return consent.problems("s1", "train", TODAY, ["en"], tmp_path)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"watermark_required": True}, "watermark_required cannot be honoured"),
        ({"territories": ["DE", "AT"]}, "territories ['DE', 'AT'] cannot be honoured"),
        ({"signature": "garbage"}, "signature cannot be honoured"),
        (
            {"models_allowed": ["other", "third"]},
            "models_allowed ['other', 'third'] do not hold mini or voxcpm2",
        ),
    ],
)
def test_what_nothing_here_can_keep_bars_from_production_and_not_from_training(
    tmp_path: Path, changes: dict[str, Any], missing: str
) -> None:
    (tmp_path / "s1.json").write_text(json.dumps({**VALID, **changes}))
    models = ["mini", "voxcpm2"]
    (found,) = consent.problems("s1", "clone", TODAY, ["en"], tmp_path, models)
    assert missing in found
    if "models_allowed" not in changes:
        assert consent.problems("s1", "train", TODAY, ["en"], tmp_path, models) == []


def test_a_model_goes_by_the_name_of_its_base_and_of_its_family(tmp_path: Path) -> None:
    for allowed in (["*"], ["mini"], ["voxcpm2", "other"]):
        (tmp_path / "s1.json").write_text(json.dumps({**VALID, "models_allowed": allowed}))
        assert consent.problems("s1", "clone", TODAY, ["en"], tmp_path, ["mini", "voxcpm2"]) == []


def test_a_complete_record_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path) == []
    assert consent.load("s1", tmp_path).evidence[0].path is None


def test_the_demo_speaker_may_be_trained_and_cloned() -> None:
    directory = Path(__file__).parents[2] / "consent"
    for purpose in ("train", "clone"):
        assert consent.problems("awb", purpose, TODAY, ["en"], directory) == []
    assert consent.problems("awb", "ads", TODAY, ["en"], directory) == [
        f"{directory}/awb.json: purposes.ads is not true"
    ]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"purposes": {"train": False}}, "purposes.train is not true"),
        ({"purposes": {"clone": True}}, "purposes.train is not true"),
        ({"purposes": {"train": "yes"}}, "purposes = 'yes': expected bool"),
        ({"languages": ["de"]}, "languages ['de'] do not hold 'en'"),
        ({"languages": []}, "languages [] do not hold 'en'"),
        ({"valid_from": "2026-11-22"}, "valid_from is 2026-11-22"),
        ({"valid_until": "2026-11-20"}, "valid_until was 2026-11-20"),
        ({"revoked_at": "2026-11-21"}, "revoked_at is 2026-11-21"),
        ({"valid_from": "soon"}, "is not a day"),
        ({"valid_from": 2026}, "valid_from = 2026: expected str"),
        ({"evidence": []}, "evidence is empty"),
        ({"evidence": [{"type": "rumour", "sha256": "a" * 64}]}, "evidence 'rumour'"),
        ({"evidence": [{"type": "signed_pdf", "sha256": "abc"}]}, "64 hex digits"),
        ({"evidence": [{"type": "licence", "sha256": "0" * 64}]}, "64 hex digits"),
        ({"evidence": [{"type": "licence", "sha256": "ab" * 32, "path": "gone.pdf"}]}, "gone.pdf is missing"),
        (
            {"evidence": [{"type": "licence", "sha256": "ab" * 32, "path": "../x"}]},
            "leads out of the project",
        ),
        (
            {"evidence": [{"type": "licence", "sha256": "ab" * 32, "path": "there.pdf"}]},
            "the record names abab",
        ),
        ({"models_allowed": []}, "models_allowed is empty, which allows nothing"),
        ({"territories": []}, "territories is empty, which allows nothing"),
        ({"contact_ref": None}, "contact_ref is empty"),
        ({"subject_kind": "robot"}, "subject_kind is 'robot'"),
        ({"subject_kind": "minor"}, "for minor it is guardian"),
        ({"schema": "voicelathe.consent/9"}, "schema is 'voicelathe.consent/9'"),
        ({"speaker_id": "other"}, "is the record of 'other'"),
        ({"languages": "en"}, "languages = 'en': expected list"),
        ({"purposes": ["train"]}, "purposes = ['train']: expected dict"),
        ({"surprise": 1}, "unknown ['surprise']"),
    ],
)
def test_one_fault_is_one_problem_that_names_it(
    tmp_path: Path, changes: dict[str, Any], missing: str
) -> None:
    found = problems(tmp_path, **changes)
    assert len(found) == 1 and missing in found[0] and "s1.json" in found[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_from": "2026-11-21"},
        {"valid_until": "2026-11-21"},
        {"revoked_at": "2026-11-22"},
        {"languages": ["*"]},
    ],
)
def test_the_first_and_the_last_day_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert problems(tmp_path, **changes) == []


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"speaker_id": "s1"}', '{"evidence": [1]}'])
def test_a_file_that_is_no_record_is_a_problem_and_no_crash(tmp_path: Path, content: str) -> None:
    (tmp_path / "s1.json").write_text(content)
    (found,) = consent.problems("s1", "train", TODAY, ["en"], tmp_path)
    assert "s1.json" in found


@pytest.mark.parametrize("speaker", ["../awb", "a/b", "", ".hidden", "a\x00", "x" * 65, "a b"])
def test_a_speaker_id_never_becomes_another_path(tmp_path: Path, speaker: str) -> None:
    (found,) = consent.problems(speaker, "train", TODAY, [], tmp_path)
    assert "cannot name a consent record" in found


def test_all_problems_of_all_speakers_come_at_once(tmp_path: Path) -> None:
    problems(tmp_path, evidence=[], contact_ref=None)
    with pytest.raises(ConsentError) as refused:
        consent.require({"s1": ["en"], "s2": ["en"]}, "train", TODAY, tmp_path)
    said = str(refused.value)
    assert "evidence is empty" in said and "contact_ref" in said and "s2.json is missing" in said


def test_a_new_record_is_not_valid_until_it_is_completed(tmp_path: Path) -> None:
    (tmp_path / "s2.json").write_text(json.dumps(consent.new_record("s2", ["train"], ["en"], TODAY, "us")))
    found = consent.problems("s2", "train", TODAY, ["en"], tmp_path)
    assert len(found) == 2 and "evidence" in found[0] and "contact_ref" in found[1]
    with pytest.raises(ConsentError, match="purpose 'fun'"):
        consent.new_record("s2", ["fun"], ["en"], TODAY, "us")


@pytest.mark.parametrize("name", consent.PERSONAL)
@pytest.mark.parametrize("secret", ["Maria Musterfrau", 491701234567, ["Maria Musterfrau"]])
def test_what_is_personal_in_a_record_is_in_no_message_and_no_digest(
    tmp_path: Path, name: str, secret: object
) -> None:
    found = problems(tmp_path, **{name: secret, "revoked_at": "2026-01-01"})
    assert found and not any("Musterfrau" in text or "4917" in text for text in found)
    assert [len(value) for value in consent.digests(["s1"], tmp_path).values()] == [64]
