"""The door to users' audio: one way to decode, hard limits, and nothing that the header alone is believed for."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe import digest
from voicelathe.data.audio import decoding, files, waveform
from voicelathe.data.audio.waveform import AudioFile, AudioProblem
from voicelathe.errors import ManifestError
from voicelathe.evaluate.metrics import __main__ as metric_worker
from voicelathe.evaluate.scoring import judging
from voicelathe.worker import copies


def whole(root: Path, name: str) -> tuple[waveform.Samples, int]:
    return waveform.read_clip(root, name, None, None, None)


def problem(root: Path, name: str, start_s: float | None = None, end_s: float | None = None) -> str:
    with pytest.raises(AudioProblem) as refused:
        waveform.read_clip(root, name, start_s, end_s, None)
    assert refused.value.detail
    return refused.value.code


# --- clips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.opus", "a.ogg", "a.mp3"])
def test_a_clip_is_a_slice_of_the_whole_file(tmp_path: Path, name: str) -> None:
    path = sounds.write(tmp_path / name, sounds.speech(4.0))
    full, rate_hz = whole(tmp_path, name)
    clip, _ = waveform.read_clip(tmp_path, name, 1.25, 2.5, digest.of_file(path))
    assert rate_hz == 16000 and clip.shape == (20000, 1) and clip.dtype == np.float32
    assert np.array_equal(clip, full[20000:40000])


LONG = {
    "a.wav": ("PCM_16", decoding._Plain),
    "b.wav": ("FLOAT", decoding._Seeking),
    "a.flac": ("PCM_16", decoding._Seeking),
    "a.opus": ("OPUS", decoding._Forward),
    "a.mp3": ("MPEG_LAYER_III", decoding._Forward),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_file_is_read_clip_by_clip_with_the_same_samples(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subtype, how = LONG[name]
    sounds.write(tmp_path / name, sounds.speech(4.0), subtype=subtype)
    full, _ = whole(tmp_path, name)
    monkeypatch.setattr(decoding, "SMALL_BYTES", 4 * 30000)
    with AudioFile(tmp_path, name, None) as file:
        assert type(file._reader) is how
        for start_s in (2.5, 0.1, 1.0, 1.3, 1.3, 2.9):  # back, on, overlapping, the same again
            start = round(start_s * 16000)
            assert np.array_equal(file.clip(start_s, start_s + 1.0), full[start : start + 16000])


def test_neighbouring_clips_share_no_sample_and_lose_none(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", sounds.noise(1.0), 22050)
    full, _ = whole(tmp_path, "a.wav")
    cuts = [0.0, 0.10001, 0.33333, 0.5, 0.7]
    with AudioFile(tmp_path, "a.wav", None) as file:
        lengths = [len(file.clip(start, end)) for start, end in pairwise(cuts)]
    assert abs(sum(lengths) - round(0.7 * 22050)) <= len(lengths) and len(full) == 16000


@pytest.mark.parametrize(
    ("start_s", "end_s", "code"),
    [(-0.1, 1.0, "bad_slice"), (0.5, 0.4, "bad_slice"), (0.0, 1.02, "bad_slice"), (2.0, None, "bad_slice")],
)
def test_a_slice_outside_of_the_file_is_refused(
    tmp_path: Path, start_s: float, end_s: float, code: str
) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(1.0))
    assert problem(tmp_path, "a.wav", start_s, end_s) == code


def test_an_end_rounded_to_two_decimals_may_lie_just_behind_the_file(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(0.9966))
    assert len(waveform.read_clip(tmp_path, "a.wav", 0.5, 1.0, None)[0]) == round(0.9966 * 16000) - 8000


@pytest.mark.parametrize(("start_s", "end_s"), [(0.5, 0.5), (1.0, 1.0), (1.0, 1.005)])
def test_a_slice_without_samples_is_refused(tmp_path: Path, start_s: float, end_s: float) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(1.0))
    assert problem(tmp_path, "a.wav", start_s, end_s) == "no_samples"


def test_audio_that_changed_since_ingest_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.0))
    before = digest.of_file(path)
    sounds.write(path, sounds.tone(1.0, 300))
    with pytest.raises(ManifestError, match="audio changed since ingest") as refused:
        waveform.read_clip(tmp_path, "a.wav", None, None, before)
    assert before in str(refused.value) and "voicelathe pin" in str(refused.value)


# --- damaged files; tests/attacks holds the hostile ones --------------------------------------------------------------------------------


def test_clips_before_the_damage_are_not_lost(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "a.flac", sounds.speech(8.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    assert len(waveform.read_clip(tmp_path, "a.flac", 1.0, 3.0, None)[0]) == 32000
    assert problem(tmp_path, "a.flac", 6.0, 8.0) == "truncated"


@pytest.mark.parametrize("name", ["a.flac", "a.opus", "a.mp3"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = np.zeros(48000 * 30, np.float32)
    assert sounds.write(tmp_path / name, bomb, 48000).stat().st_size < 250_000
    monkeypatch.setattr(waveform, "MAX_CLIP_BYTES", 1 << 20)
    monkeypatch.setattr(decoding, "SMALL_BYTES", 1 << 20)
    assert problem(tmp_path, name) == "over_limit"
    with AudioFile(tmp_path, name, None) as file:  # a clip of it is as good as any
        assert len(file.clip(20.0, 21.0)) == 48000


@pytest.mark.parametrize("channels", [1, 2])
def test_a_16_bit_wav_is_read_as_libsndfile_reads_it(tmp_path: Path, channels: int) -> None:
    made = np.stack([sounds.noise(0.5, seed, 0.4) for seed in range(channels)], axis=1)
    sounds.write(tmp_path / "a.wav", made)
    import soundfile

    theirs, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert np.array_equal(whole(tmp_path, "a.wav")[0], theirs)
    with AudioFile(tmp_path, "a.wav", None) as file:
        assert file.stored(None, None).dtype == np.int16
    assert waveform.header(tmp_path, "a.wav") == decoding.Header(16000, channels, 8000)


def test_a_file_over_the_length_limit_is_refused(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(2.0))
    with pytest.raises(AudioProblem, match="max_file_s"):
        AudioFile(tmp_path, "a.wav", None, max_file_s=1.5)


@pytest.mark.parametrize("damage", [slice(2000, 4000), slice(40, 400), slice(600, None)])
def test_a_damaged_mp3_does_not_fill_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: slice
) -> None:
    path = sounds.write(tmp_path / "a.mp3", sounds.speech(3.0))
    content = bytearray(path.read_bytes())
    content[damage] = np.random.default_rng(7).bytes(len(content[damage])) if damage.stop else b""
    path.write_bytes(content)
    try:
        whole(tmp_path, "a.mp3")
    except AudioProblem as refused:
        assert refused.code in ("truncated", "unreadable")
    assert capfd.readouterr().err == ""


def num_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_are_given_back_whatever_happens(tmp_path: Path) -> None:
    sounds.write(tmp_path / "good.wav", sounds.tone(0.1))
    (tmp_path / "bad.wav").write_bytes(sounds.wav_bytes(claimed=0x7FFF0000))
    whole(tmp_path, "good.wav")
    before = num_open()
    for _ in range(5):
        whole(tmp_path, "good.wav")
        problem(tmp_path, "bad.wav")
        problem(tmp_path, "good.wav", 3.0, 4.0)
    assert num_open() == before


# --- what the encode worker calls ------------------------------------------------------------------------------------


def test_read_mono_gives_one_channel_at_the_wanted_rate(tmp_path: Path) -> None:
    stereo = np.stack([sounds.tone(2.0, 440), np.zeros(32000, np.float32)], axis=1)
    path = sounds.write(tmp_path / "a.wav", stereo)
    clip = rows.clean_clip(audio="a.wav", start_s=0.5, end_s=1.5, audio_sha256=digest.of_file(path))
    same, other = waveform.read_mono(tmp_path, clip, 16000), waveform.read_mono(tmp_path, clip, 48000)
    assert same.shape == (16000,) and same.dtype == other.dtype == np.float32 and other.shape == (48000,)
    assert abs(np.abs(same).max() - 0.25) < 0.01
    assert np.abs(other[3::3][100:-100] - same[1:][100:-100]).max() < 0.01


@pytest.mark.parametrize("change", [{"channel": 1}, {"offset": 0.1}, {"gain_db": 12.0}])
def test_a_real_clip_is_measured_and_copied_as_it_is_trained_on(
    tmp_path: Path, change: dict[str, float]
) -> None:
    """Another channel is another person; a quiet one would be judged by its noise."""
    both = np.stack([0.2 * sounds.speech(3.0), 0.2 * sounds.tone(3.0, 300)], axis=1)
    path = sounds.write(tmp_path / "both.wav", both)
    plain = rows.clean_clip(
        audio="both.wav", start_s=0.5, end_s=2.5, audio_sha256=digest.of_file(path), speaker_id="anna"
    )
    clip = replace(plain, **change)  # type: ignore[arg-type]
    trained_on = waveform.read_mono(tmp_path, clip, 16000)
    (ref,) = judging.held_out([clip], str(tmp_path), 7)
    assert np.array_equal(metric_worker._load(ref).samples, trained_on)
    assert np.array_equal(copies._samples(ref, 16000), trained_on)
    assert not np.array_equal(trained_on, waveform.read_mono(tmp_path, plain, 16000))


def test_a_file_is_hashed_and_decoded_once_for_its_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sounds.write(tmp_path / "a.opus", sounds.speech(3.0))
    sha256 = digest.of_file(path)
    hashed: list[int] = []
    really = files.of_descriptor
    monkeypatch.setattr(files, "of_descriptor", lambda file: hashed.append(file) or really(file))
    for start_s in (0.0, 1.0, 2.0):
        waveform.read_mono(
            tmp_path,
            rows.clean_clip(audio="a.opus", start_s=start_s, end_s=start_s + 1, audio_sha256=sha256),
            16000,
        )
    assert len(hashed) == 1


def test_a_file_that_changed_before_encoding_is_refused(tmp_path: Path) -> None:
    sounds.write(tmp_path / "a.wav", sounds.tone(3.0))
    with pytest.raises(ManifestError, match="audio changed since ingest"):
        waveform.read_mono(tmp_path, rows.clean_clip(audio="a.wav"), 16000)


def test_a_file_that_is_gone_before_encoding_is_named_with_its_clip(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"a\.wav: clip c0001 .*missing"):
        waveform.read_mono(tmp_path, rows.clean_clip(audio="a.wav"), 16000)


def test_a_wav_is_written_as_16_bits_and_read_back(tmp_path: Path) -> None:
    samples = np.array([0.0, 0.5, -0.5, 1.5, -1.5, 1 / 32768], np.float32)
    waveform.write_wav(tmp_path / "deep" / "out.wav", samples, 48000)
    back, rate_hz = whole(tmp_path, "deep/out.wav")
    assert rate_hz == 48000
    assert back[:, 0].tolist() == [0.0, 0.5, -0.5, 32767 / 32768, -1.0, 1 / 32768]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.wav"]


def test_the_worker_side_does_not_import_what_belongs_to_the_parent() -> None:
    code = (
        "import sys, voicelathe.data.audio.waveform, voicelathe.data.tables\n"
        "print([name for name in ('pydantic', 'mlflow', 'great_expectations', 'torch', 'soundfile', 'pyarrow', 'pandas')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
