"""Float WAVs whose samples are in the scale of integers are read at full scale 1 and told of; loud ones stay loud."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe.config import schema
from voicelathe.data.audio import decoding, files, waveform
from voicelathe.data.audio.waveform import AudioFile
from voicelathe.data.audit import clean
from voicelathe.data.measures import measure
from voicelathe.records import ManifestRow

SPEECH = np.concatenate([sounds.silence(0.45), sounds.speech(2.1), sounds.silence(0.45)])
IN_16_BITS = np.round(SPEECH * 32767.0).astype(np.float32)
SERIAL = schema.Engine("serial", 1)


def read(root: Path, samples: sounds.Samples, subtype: str = "FLOAT", name: str = "rec_01.wav") -> AudioFile:
    return AudioFile(root, sounds.write(root / name, samples, subtype=subtype).name, None)


def audited(root: Path) -> clean.AuditResult:
    row: ManifestRow = rows.manifest_row(
        1, audio="rec_01.wav", audio_sha256=files.hash_file(root, "rec_01.wav")
    )
    measures = measure.measure([row], root, rows.MEASURE, SERIAL)
    return clean.audit([row], [], measures, rows.limits(min_band_share=0.0).audit, rows.PHRASES)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("full", [32768.0, 8388608.0, 2147483648.0])
@pytest.mark.parametrize("small", [decoding.SMALL_BYTES, 1000], ids=["small", "long"])
def test_floats_in_the_scale_of_integers_are_read_at_full_scale_1(
    tmp_path: Path, full: float, subtype: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "SMALL_BYTES", small)
    with read(tmp_path, SPEECH * np.float32(full), subtype) as file:
        assert file.full_scale == full
        assert np.allclose(file.clip(None, None)[:, 0], SPEECH, atol=1e-6)
        assert np.allclose(file.clip(0.0, 0.4), 0.0)  # a clip of silence is in the scale of its file
        assert np.allclose(file.clip(1.0, 2.0)[:, 0], SPEECH[16000:32000], atol=1e-6)


def test_such_a_clip_is_kept_told_of_and_equal_to_its_16_bit_original(tmp_path: Path) -> None:
    read(tmp_path, IN_16_BITS).close()
    found = audited(tmp_path)
    assert [one.rule for one in found.findings] == ["integer_scale"] and len(found.kept) == 1
    assert found.findings[0].value == "the scale of 16-bit integers; read as 1/32768"
    read(tmp_path, IN_16_BITS / np.float32(32768.0), "PCM_16").close()
    (plain,) = audited(tmp_path).clean
    assert plain.samples_sha256 == found.clean[0].samples_sha256


@pytest.mark.parametrize("peak", [1.01, 1.5, 4.0, 30.0, 200.0])
def test_a_float_file_over_full_scale_is_clipped_and_stays_so(tmp_path: Path, peak: float) -> None:
    hot = SPEECH / np.abs(SPEECH).max() * np.float32(peak)
    with read(tmp_path, hot) as file:
        assert file.full_scale == 1.0 and np.array_equal(file.clip(None, None)[:, 0], hot)
    if peak > 1.4:
        assert "clipped" in [one.rule for one in audited(tmp_path).findings]


def test_damaged_samples_in_a_usual_file_are_no_scale(tmp_path: Path) -> None:
    damaged = SPEECH.copy()
    damaged[20000:20100] = 30000.0
    damaged[0], damaged[1] = np.nan, np.inf
    with read(tmp_path, damaged) as file:
        assert file.full_scale == 1.0


def test_no_other_kind_of_file_is_looked_at(tmp_path: Path) -> None:
    for name, subtype in (
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_16"),
        ("a.flac", "PCM_16"),
        ("a.ogg", "VORBIS"),
    ):
        assert not waveform.header(tmp_path, read_name(tmp_path, name, subtype)).is_float
    assert waveform.header(tmp_path, read_name(tmp_path, "a.wav", "FLOAT")).is_float


def test_only_a_wav_is_opened_for_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        read_name(tmp_path, name, subtype) for name, subtype in (("a.flac", "PCM_16"), ("a.ogg", "VORBIS"))
    ]
    (tmp_path / "a.mp3").write_bytes((tmp_path / read_name(tmp_path, "b.wav", "FLOAT")).read_bytes())
    opened: list[object] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *more, **named: opened.append(path) or real(path, *more, **named)
    )  # type: ignore[func-returns-value]
    assert [waveform.full_scale(tmp_path, name) for name in (*names, "a.mp3")] == [1.0] * 3 and not opened
    assert waveform.full_scale(tmp_path, "b.wav") == 1.0 and opened


def read_name(root: Path, name: str, subtype: str) -> str:
    return sounds.write(root / name, SPEECH, subtype=subtype).name
