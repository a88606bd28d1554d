"""Samples in a page: only the very files that were spoken, equally loud, the same bytes each time."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.factories import evaluations as make
from voicelathe.errors import RecordError
from voicelathe.evaluate.listening import sound
from voicelathe.evaluate.listening.sound import DecodedSample

RATE_HZ = 16_000


def tone(gain: float, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> DecodedSample:
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return DecodedSample((gain * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate_hz)


def noise(seconds: float, rate_hz: int = 48_000, seed: int = 1) -> DecodedSample:
    """Dull noise: hard for a lossless codec, not for Opus."""
    white = np.random.default_rng(seed).normal(0, 0.5, int(seconds * rate_hz))
    return DecodedSample(np.convolve(white, np.full(16, 1 / 16), "same").astype(np.float32), rate_hz)


@pytest.mark.parametrize("seconds", [0.2, 0.39, 0.41, 2.0])
def test_equal_loudness_whatever_the_length(seconds: float) -> None:
    loud, soft = tone(0.5, seconds), tone(0.05, seconds)
    gains = sound.matched_gains_db([loud, soft])
    assert gains[1] - gains[0] == pytest.approx(20.0, abs=0.11)


def test_no_sample_clips_and_the_others_follow() -> None:
    peaky = DecodedSample(np.where(np.arange(RATE_HZ) % 4000 == 0, 0.99, 0.001).astype(np.float32), RATE_HZ)
    plain = tone(0.1)
    gains = sound.matched_gains_db([peaky, plain])
    assert 0.99 * 10 ** (gains[0] / 20) <= 10 ** (sound.MAX_PEAK_DBFS / 20) * 1.012
    assert sound.loudness_lufs(plain) is not None
    levels = [(sound.loudness_lufs(one) or 0) + gain for one, gain in zip([peaky, plain], gains, strict=True)]
    assert levels[0] == pytest.approx(levels[1], abs=0.11)


def test_silence_gets_no_gain_and_a_whisper_not_more_than_thirty_decibels() -> None:
    silence = DecodedSample(np.zeros(RATE_HZ, np.float32), RATE_HZ)
    assert sound.matched_gains_db([silence, tone(0.0005), tone(0.1)])[:2] == [0.0, 30.0]


def test_a_small_set_is_embedded_without_loss() -> None:
    (coded,) = sound.encode([tone(0.3)])
    assert coded.mime == "audio/flac"
    decoded, rate_hz = soundfile.read(io.BytesIO(coded.data), dtype="float32")
    assert rate_hz == RATE_HZ and np.abs(decoded - tone(0.3).samples).max() < 1 / 32000


def test_a_large_set_becomes_opus_with_equal_bytes_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "LOSSLESS_BYTES", 500_000)
    sounds = [noise(2.0, seed=seed) for seed in range(4)]
    first, second = sound.encode(sounds), sound.encode(sounds)
    assert first == second and {one.mime for one in first} == {"audio/ogg"}
    decoded, rate_hz = soundfile.read(io.BytesIO(first[2].data), dtype="float32")
    assert rate_hz == 48_000 and len(decoded) == len(sounds[2].samples)
    assert np.corrcoef(decoded, sounds[2].samples)[0, 1] > 0.9


def test_rates_that_opus_does_not_know_are_resampled_to_the_next_higher_one() -> None:
    coded = sound._opus(tone(0.3, 2.0, 22_050), 96_000, 0)
    decoded, rate_hz = soundfile.read(io.BytesIO(coded))
    assert rate_hz == 24_000 and len(decoded) == pytest.approx(48_000, abs=4)


def test_a_new_stream_number_keeps_the_stream_whole() -> None:
    original = sound._write(tone(0.3, 3.0).samples, RATE_HZ, format="OGG", subtype="OPUS")
    own = int.from_bytes(original[14:18], "little")
    assert sound.with_serial(original, own) == original, "the checksum is computed as libogg does"
    other = sound.with_serial(original, (own + 1) % 2**32)
    assert other != original and len(soundfile.read(io.BytesIO(other))[0]) == 3 * RATE_HZ


def test_a_page_for_twelve_candidates_and_eight_long_lines_stays_within_its_bytes() -> None:
    seconds = 12 * 8 * 7.7
    assert seconds * sound.OPUS_BITS_PER_S / 8 < sound.PAGE_BYTES
    assert sound.PAGE_BYTES * 4 / 3 < 15_000_000 - 500_000


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing, although samples.jsonl lists it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "torn or replaced"),
    ],
)
def test_a_missing_or_torn_sample_is_named_with_the_way_back(
    tmp_path: Path, damage: object, message: str
) -> None:
    (one, *_) = make.samples(make.candidates(10), root=tmp_path)
    assert one.path is not None
    damage(tmp_path / one.path)  # type: ignore[operator]
    with pytest.raises(RecordError, match=f"{one.path}.*{message}.*dvc repro -f -s listen"):
        sound.load(one, tmp_path)


def test_a_file_without_audio_is_refused_though_its_digest_fits(tmp_path: Path) -> None:
    sha256 = make.write_tone(tmp_path / "empty.wav", 440, 0.0, 0.1)
    (one, *_) = make.samples(make.candidates(10))
    with pytest.raises(RecordError, match="holds no finite audio"):
        sound.load(make.replace(one, path="empty.wav", sha256=sha256), tmp_path)
