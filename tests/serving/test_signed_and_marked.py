"""Both servers and `say` as programs: with a key every WAV is signed, with a plug-in all speech is marked, whatever the format."""

import base64
import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
import soundfile

from tests.factories import certificates, watermarks
from tests.factories import mlflow_stores as stores
from tests.factories.served import FEW, Served, invoked, mlflows_own, running
from tests.registry.test_authority import amend
from voicelathe.config import params
from voicelathe.registry import promote
from voicelathe.registry.speaking import signing

TWO = "The lamp is on the long table. Nobody speaks of rain in this small town."
VERSION, BASE = b"\x00\x01", b"\x00\x00"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tracked_project: Path) -> Iterator[Path]:
    """A promoted voice whose speaker demands a mark; the plug-in and the key are there for every process."""
    folder = tmp_path_factory.mktemp("marked")
    root = stores.copy_tracked(tracked_project, folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        site = watermarks.install(folder / "site")
        watermarks.on_path(patch, site)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(":"))
        params.edit({"consent/watermark": "bits"}, root / "params.yaml")
        amend(root, watermark_required=True)
        certificates.folder(folder / "key")
        promote.promote("mini-lora", root, "to hear it", "base")
        yield root


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    with running(place, "--sign", str(place.parent / "key")) as found:
        yield found


def samples_of(content: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(content)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def assert_signed_and_marked(content: bytes, payload: bytes) -> dict[str, Any]:
    assert set(watermarks.read(samples_of(content))) == {payload}
    with c2pa.Reader("audio/wav", io.BytesIO(content)) as found:
        assert "assertion.dataHash.match" in found.json() and "mismatch" not in found.json()
        assert "awb" not in found.json(), "a file that is given away names no speaker"
        said = {one["label"]: one["data"] for one in found.get_active_manifest()["assertions"]}
    assert said["c2pa.actions.v2"]["actions"][0]["action"] == "c2pa.created"
    about: dict[str, Any] = said["voicelathe.speech"]
    return about


def test_a_signed_wav_is_whole_and_other_formats_are_marked_and_sent_as_before(served: Served) -> None:
    content = served.wav(TWO)
    assert int.from_bytes(content[4:8], "little") == len(content) - 8, "its length is said: it was sent whole"
    about = assert_signed_and_marked(content, VERSION)
    assert (about["version"], about["candidate"]) == ("1", "base") and about["as_judged"] is not None
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert json.loads(file.comment) == about
    body = {"model": "voicelathe", "input": TWO, **FEW}
    pcm = served.post(json={**body, "response_format": "pcm"})
    assert pcm.status_code == 200 and (np.frombuffer(pcm.content, np.int16) == samples_of(content)).all()
    flac = served.post(json={**body, "response_format": "flac"}).content
    assert set(watermarks.read(soundfile.read(io.BytesIO(flac), dtype="int16")[0])) == {VERSION}
    assert served.post(json={**body, "response_format": "mp3"}).status_code == 200


def test_say_signs_and_marks_the_voice_and_a_base_as_it_is(place: Path) -> None:
    limit = ["--max-seconds", "1", "--seed", "5", "--sign", str(place.parent / "key")]
    assert "version 1" in said(place, "The lamp is on.", "-o", "voice.wav", *limit)
    assert assert_signed_and_marked((place / "voice.wav").read_bytes(), VERSION)["version"] == "1"
    base = params.load(place / "params.yaml").bases[promote.history(place)[-1].promotion.base].path
    said(place, str(base), "The lamp is on.", "-o", "base.wav", *limit)
    about = assert_signed_and_marked((place / "base.wav").read_bytes(), BASE)
    assert about["base_digest"] and "version" not in about


def test_what_cannot_sign_is_refused_before_anything_is_loaded(place: Path, tmp_path: Path) -> None:
    expired = certificates.folder(tmp_path / "old", last_day=-0.5)
    for command in (["say", "Hello.", "-o", "none.wav"], ["serve", "--port", str(stores.free_port())]):
        done = program(place, *command, "--sign", str(expired))
        assert (
            done.returncode == 1 and "certificates.pem: a certificate expired at" in done.stdout + done.stderr
        )
        assert "Traceback" not in done.stderr
    assert not (place / "none.wav").exists()


def test_mlflows_own_server_signs_and_marks_with_the_folder_of_the_environment(place: Path) -> None:
    with mlflows_own(place, **{signing.SIGN: str(place.parent / "key")}) as port:
        (row,) = invoked(port, TWO, **FEW)
    about = assert_signed_and_marked(base64.b64decode(row["wav_base64"]), VERSION)
    assert about["watermark"] == {"plugin": "bits", "payload": "0001"}


def test_a_mark_that_cannot_be_read_back_is_a_503_without_a_sound(place: Path) -> None:
    params.edit({"consent/watermark": "forgetful"}, place / "params.yaml")
    try:
        with running(place) as served:
            for form in ("wav", "pcm", "mp3"):
                body = {"model": "voicelathe", "input": TWO, "response_format": form, **FEW}
                answer = served.post(json=body)
                assert (
                    answer.status_code == 503
                    and "could not be read back" in answer.json()["error"]["message"]
                )
    finally:
        params.edit({"consent/watermark": "bits"}, place / "params.yaml")


def program(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "voicelathe.cli", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=400)


def said(root: Path, *arguments: str) -> str:
    done = program(root, "say", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
