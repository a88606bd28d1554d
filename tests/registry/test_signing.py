"""Signed WAVs, read back by the C2PA library itself: one changed sample is seen, and what cannot sign says so before anything is spoken."""

import builtins
import io
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
import soundfile
from cryptography.hazmat.primitives.asymmetric import ec

from tests.factories import certificates
from voicelathe.errors import SigningError
from voicelathe.registry.speaking import sentences, signing
from voicelathe.serving import formats

ABOUT = {"version": "3", "consent": [{"purposes": ["clone"], "sha256": "0" * 64}], "as_judged": True}
FRAMES = (9000 * np.sin(np.arange(16_000) / 9)).astype("<i2").tobytes()
TAGGED = sentences.tagged(sentences.wav_of(FRAMES, 16_000), json.dumps(ABOUT))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.folder(tmp_path_factory.mktemp("signing") / "own")


def read(content: bytes) -> Any:
    return c2pa.Reader.try_create("audio/wav", io.BytesIO(content))


def assertions(content: bytes) -> dict[str, Any]:
    return {one["label"]: one["data"] for one in read(content).get_active_manifest()["assertions"]}


def codes(content: bytes) -> list[str]:
    return [one["code"] for one in read(content).get_validation_results()["activeManifest"]["failure"]]


def test_the_library_reads_the_manifest_back_and_the_hash_holds(folder: Path) -> None:
    signed = signing.read(folder).signed(TAGGED, ABOUT)
    found = read(signed)
    assert found.get_validation_state() == "Valid" or codes(signed) == ["signingCredential.untrusted"]
    results = found.get_validation_results()["activeManifest"]["success"]
    assert {"assertion.dataHash.match", "claimSignature.validated"} <= {one["code"] for one in results}
    said = assertions(signed)
    assert said["voicelathe.speech"] == ABOUT
    (action,) = said["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/digitalsourcetype/trainedAlgorithmicMedia")


def test_every_reader_still_opens_the_file_and_its_tag(folder: Path) -> None:
    signed = signing.read(folder).signed(TAGGED, ABOUT)
    assert int.from_bytes(signed[4:8], "little") == len(signed) - 8
    with wave.open(io.BytesIO(signed)) as file:
        assert file.readframes(file.getnframes()) == FRAMES
    with soundfile.SoundFile(io.BytesIO(signed)) as file:
        assert json.loads(file.comment) == ABOUT


@pytest.mark.parametrize("where", [b"data", b"ICMT"])
def test_one_changed_sample_or_letter_makes_it_invalid(folder: Path, where: bytes) -> None:
    signed = bytearray(signing.read(folder).signed(TAGGED, ABOUT))
    signed[signed.find(where) + 12] ^= 1
    assert read(bytes(signed)).get_validation_state() == "Invalid"
    assert "assertion.dataHash.mismatch" in codes(bytes(signed))


def test_a_file_that_was_not_signed_has_no_manifest() -> None:
    assert read(TAGGED) is None


def alone(to: Path, **options: Any) -> Path:
    return certificates.folder(to, **options)


def without(to: Path, name: str) -> Path:
    (alone(to) / name).unlink()
    return to


def holding(to: Path, name: str, content: bytes) -> Path:
    (alone(to) / name).write_bytes(content)
    return to


def with_key(to: Path, key: Any, passphrase: bytes | None = None) -> Path:
    certificates.write_key(alone(to), key, passphrase)
    return to


def readable(to: Path) -> Path:
    (alone(to) / "key.pem").chmod(0o640)
    return to


def turned(to: Path) -> Path:
    path = alone(to) / "certificates.pem"
    end = b"-----END CERTIFICATE-----\n"
    leaf, _root, _rest = path.read_bytes().split(end)
    strange = alone(to.with_name("strange")) / "certificates.pem"
    path.write_bytes(leaf + end + strange.read_bytes().split(end)[1] + end)
    return to


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda to: to, r"wrong/certificates\.pem is missing. The folder to sign with holds"),
        (lambda to: without(to, "certificates.pem"), r"certificates\.pem is missing"),
        (lambda to: without(to, "key.pem"), r"key\.pem is missing"),
        (readable, r"key\.pem: others on this machine may read it\. Make it private: chmod 600"),
        (lambda to: holding(to, "certificates.pem", b"x"), "holds no certificates in PEM"),
        (lambda to: holding(to, "key.pem", b"x"), "holds no private key in PEM"),
        (lambda to: with_key(to, certificates.rsa_key()), "is no key for ES256"),
        (lambda to: alone(to, curve=ec.SECP384R1), "is no key for ES256"),
        (lambda to: with_key(to, certificates.other_key()), r"is not the key of the first certificate"),
        (lambda to: with_key(to, certificates.other_key(), b"secret"), "protected by a passphrase"),
        (lambda to: alone(to, last_day=-0.5), r"certificates\.pem: a certificate expired at 20"),
        (lambda to: alone(to, first_day=1), r"valid only from .*Is the clock of this machine right"),
        (turned, "was not issued by CN=Authority"),
        (lambda to: alone(to, usable=False), "wrong: .*(does not sign with it|is not valid)"),
    ],
)
def test_a_folder_that_cannot_sign_is_refused_by_name(
    tmp_path: Path, made: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(SigningError, match=message):
        signing.read(made(tmp_path / "wrong"))


def test_a_certificate_that_expires_meanwhile_signs_nothing_more(tmp_path: Path) -> None:
    signer = signing.read(certificates.folder(tmp_path / "own", last_day=0.5))
    later = type(signer)(signer.folder, signer.chain, signer.key, signer.begins, signer.begins)
    for ask in (later.require, lambda: later.signed(TAGGED, ABOUT)):
        with pytest.raises(SigningError, match="expired at"):
            ask()


def test_the_environment_names_the_folder_and_an_empty_name_is_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.SIGN, "")
    assert signing.of_environment() is None
    monkeypatch.setenv(signing.SIGN, str(folder))
    found = signing.of_environment()
    assert found is not None and found.folder == folder
    monkeypatch.setenv(signing.SIGN, str(tmp_path / "gone"))
    with pytest.raises(SigningError, match=r"gone/certificates\.pem is missing"):
        signing.of_environment()


def test_without_the_library_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_it(name: str, *more: Any) -> Any:
        if name == "c2pa":
            raise ModuleNotFoundError("No module named 'c2pa'")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without_it)
    with pytest.raises(SigningError, match=r"c2pa-python.*pip install 'voicelathe\[c2pa\]'"):
        signing.read(folder)


def test_a_signed_answer_is_sent_whole_and_equals_what_say_would_write(folder: Path) -> None:
    signer, sound = signing.read(folder), formats.Sound(FRAMES, 16_000)
    about = json.dumps(ABOUT)
    (whole,) = formats.encoded([sound, sound], 2, "wav", about, lambda content: signer.signed(content, ABOUT))
    wav = sentences.wav_of(FRAMES, 16_000)
    assert assertions(whole)["voicelathe.speech"] == ABOUT and "assertion.dataHash.mismatch" not in codes(
        whole
    )
    with (
        wave.open(io.BytesIO(whole)) as file,
        wave.open(io.BytesIO(sentences.join([wav, wav], about))) as said,
    ):
        assert file.readframes(file.getnframes()) == said.readframes(said.getnframes())
    plain = list(formats.encoded([sound, sound], 2, "pcm", about, lambda content: b"signed"))
    assert plain[0] == FRAMES, "what is no WAV stays as it was"
