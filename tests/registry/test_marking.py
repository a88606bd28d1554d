"""A voice whose speaker demands a watermark: gates, promotion and serving agree on it, and nothing unmarked ever leaves."""

import base64
import hashlib
import io
import wave
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest

from tests.factories import certificates, watermarks
from tests.registry.test_authority import amend
from tests.registry.test_say import RECIPE, _Scratch, configuration, desk_of
from voicelathe import records
from voicelathe.config import params
from voicelathe.errors import ConsentError, PromotionError, WatermarkError
from voicelathe.registry import export, gates, promote, promoted, served, voice
from voicelathe.registry.authority import Authority
from voicelathe.registry.speaking import say, sentences, signing

PARAGRAPH = "The lamp is on the long table. " * 12  # more than one piece
DEMANDED = "watermark_required cannot be honoured"


class _Tone:
    """A speaker that needs no model: the text decides how long the tone is."""

    is_alive = True

    def __init__(self) -> None:
        self.num_takes = 0

    def say(self, request: Any, limit_s: float | None) -> records.SampleRecord:
        self.num_takes += 1
        seconds = len(request.text) / 14
        samples = 9000 * np.sin(np.arange(int(16_000 * seconds)) / 9)
        content = sentences.wav_of(samples.astype("<i2").tobytes(), 16_000)
        Path(request.path).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return records.SampleRecord(
            "base", 0, None, "request", request.text, request.seed, {}, request.path, sha256, seconds,
            -3.0, -6.0, True, None,
        )  # fmt: skip


@pytest.fixture
def place(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    watermarks.on_path(monkeypatch, watermarks.install(tmp_path / "site"))
    return project


def name(root: Path, plugin: str | None) -> None:
    params.edit({"consent/watermark": plugin}, root / "params.yaml")


def running(root: Path, signer: signing.Signer | None = None) -> tuple[voice.Voice, _Tone]:
    tone = _Tone()
    made = voice.Voice(configuration(root), root, desk_of(tone), _Scratch(root), Authority(root), signer)
    return made, tone


def samples_of(content: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def heard(row: dict[str, Any]) -> bytes:
    return base64.b64decode(row["wav_base64"])


def test_gates_promotion_and_serving_ask_for_a_plug_in_alike(place: Path) -> None:
    amend(place, watermark_required=True)
    for plugin, message in (
        (None, "names no plug-in that does"),
        ("absent", "no installed package offers it"),
    ):
        name(place, plugin)
        case = gates.examine(RECIPE, place, gates.load_params(place), None)
        (objection,) = [one for one in case.objections if one.gate == "consent"]
        assert DEMANDED in objection.message and message in objection.message and not objection.waivable
        with pytest.raises(PromotionError, match=message):
            promote.promote(RECIPE, place, "I want it")
    name(place, "bits")
    done = promote.promote(RECIPE, place)
    assert promoted.consent_problems(place, done) == [] and "consent" not in done.waived
    name(place, None)
    (problem,) = promoted.consent_problems(place, done)
    assert DEMANDED in problem
    assert [one for one in served.problems(place, done) if DEMANDED in one]
    with pytest.raises(ConsentError, match=DEMANDED):
        running(place)[0].say("The lamp is on.", {})
    with pytest.raises(ConsentError, match=DEMANDED):
        say.speak_production("The lamp is on.", place / "out.wav", place, {})
    assert not (place / "out.wav").exists()


def test_everything_that_is_given_out_carries_the_number_of_its_version(place: Path) -> None:
    amend(place, watermark_required=True)
    name(place, "bits")
    promote.promote(RECIPE, place)
    speaking, tone = running(place)
    rows = speaking.say_all(["The lamp is on the table.", PARAGRAPH], {})
    assert tone.num_takes > 2
    for row in rows:
        assert set(watermarks.read(samples_of(heard(row)))) == {b"\x00\x01"}
        assert b'"watermark":{"payload":"0001","plugin":"bits"}' in heard(row)
    asked = speaking.understood([PARAGRAPH], {})
    with speaking.desk.admitted() as turn:  # as `serve` sends them, one by one and in any format
        parts = [content for _sample, content in speaking.takes(turn, asked, sentences.first_soon(PARAGRAPH))]
    assert len(parts) > 1
    assert [set(watermarks.read(samples_of(part))) for part in parts] == [{b"\x00\x01"}] * len(parts)


def test_a_setting_alone_marks_every_voice_and_without_one_nothing_is_touched(place: Path) -> None:
    promote.promote(RECIPE, place)
    speaking, _tone = running(place)
    plain = heard(speaking.say("The lamp is on.", {}))
    assert watermarks.read(samples_of(plain)) == [] and b"watermark" not in plain
    name(place, "bits")
    assert watermarks.read(samples_of(heard(speaking.say("The lamp is on.", {}))))


@pytest.mark.parametrize(
    "plugin, error", [("forgetful", "could not be read back"), ("broken", "its mark failed")]
)
def test_a_mark_that_cannot_be_read_back_is_an_error_and_no_sound(
    place: Path, plugin: str, error: str
) -> None:
    amend(place, watermark_required=True)
    name(place, plugin)
    promote.promote(RECIPE, place)
    speaking, tone = running(place)
    with pytest.raises(WatermarkError, match=error):
        speaking.say("The lamp is on.", {})
    assert tone.num_takes == 1


def test_a_demand_counts_at_once_although_consent_was_asked_a_second_ago(place: Path) -> None:
    name(place, "bits")
    promote.promote(RECIPE, place)
    speaking, tone = running(place)
    speaking.say("The lamp is on.", {})
    amend(place, watermark_required=True)
    speaking.say("The lamp is on.", {})
    name(place, None)
    with pytest.raises(ConsentError, match=rf"awb\.json: {DEMANDED}"):
        speaking.say("The lamp is on.", {})
    name(place, "absent")
    with pytest.raises(ConsentError, match=f"{DEMANDED}: consent.watermark = 'absent'"):
        speaking.say("The lamp is on.", {})
    amend(place, watermark_required=False)
    with pytest.raises(WatermarkError, match="no installed package offers it"):
        speaking.say("The lamp is on.", {})
    assert tone.num_takes == 2


def test_an_export_of_such_a_voice_is_refused_because_nothing_there_would_mark(
    place: Path, tmp_path: Path
) -> None:
    amend(place, watermark_required=True)
    name(place, "bits")
    with pytest.raises(ConsentError, match=rf"awb\.json: {DEMANDED} by an export"):
        export.export(RECIPE, tmp_path / "out", place)
    assert not (tmp_path / "out").exists()


def test_a_marked_and_signed_answer_is_valid_and_names_no_speaker(place: Path, tmp_path: Path) -> None:
    amend(place, watermark_required=True)
    name(place, "bits")
    promote.promote(RECIPE, place)
    signer = signing.read(certificates.folder(tmp_path / "own"))
    for row in running(place, signer)[0].say_all(["The lamp is on the table.", PARAGRAPH], {}):
        content = heard(row)
        with c2pa.Reader("audio/wav", io.BytesIO(content)) as found:
            labels = {one["label"]: one["data"] for one in found.get_active_manifest()["assertions"]}
            whole = found.json()
        assert "assertion.dataHash.match" in whole and "mismatch" not in whole and "awb" not in whole
        said = labels["voicelathe.speech"]
        assert (said["version"], said["candidate"]) == ("1", "step_0000040@1") and said["as_judged"] is True
        assert said["decoding"] and said["checkpoint_sha256"] and said["consent"][0]["purposes"]
        assert said["watermark"] == {"plugin": "bits", "payload": "0001"}
        assert set(watermarks.read(samples_of(content))) == {b"\x00\x01"}, "the signature changes no sample"


def test_an_expired_certificate_stops_a_voice_before_it_speaks(place: Path, tmp_path: Path) -> None:
    promote.promote(RECIPE, place)
    signer = signing.read(certificates.folder(tmp_path / "own"))
    speaking, tone = running(
        place, signing.Signer(signer.folder, signer.chain, signer.key, signer.begins, signer.begins)
    )
    with pytest.raises(signing.SigningError, match="expired"):
        speaking.say("The lamp is on.", {})
    assert tone.num_takes == 0
