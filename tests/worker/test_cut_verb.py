"""A real worker listens to a long recording piece by piece and finds what it would find in one piece; words have their times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.factories import recognisers
from voicelathe import records
from voicelathe.config import params
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile, as_float
from voicelathe.errors import ManifestError
from voicelathe.process import jobs
from voicelathe.records import Listened
from voicelathe.speech import RATE_HZ, activity
from voicelathe.worker import cut

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "data/demo/audio"


def listen(root: Path, name: str, out: Path, *, deaf: bool = False) -> Listened:
    machine = replace(params.load(ROOT / "params.yaml").machine, device="cpu")
    ref = None if deaf else recognisers.reference()
    cut.run(jobs.CutJob(machine, ref, "en", str(root), [name], str(out)), lambda *_: None)
    assert not list(out.glob("*.scratch"))
    return records.read_one(out / "0.json", Listened)


def test_words_and_stretches_of_a_recording_have_their_times(tmp_path: Path) -> None:
    sound, rate_hz = soundfile.read(AUDIO / "rec_23.opus", dtype="float32", frames=14 * 48_000)
    soundfile.write(tmp_path / "a.flac", np.stack([sound, sound], 1), rate_hz)
    found = listen(tmp_path, "a.flac", tmp_path / "out")
    assert found.rate_hz == rate_hz and found.duration_s == pytest.approx(len(sound) / rate_hz, abs=0.001)
    said = {one.text.strip(".,").lower(): one for one in found.words or []}
    assert 7.0 < said["horse"].start_s < said["attic"].end_s < 10.3
    assert any(abs(one.start_s - 7.15) < 0.1 and abs(one.end_s - 9.95) < 0.15 for one in found.stretches)
    assert len(Path(found.levels).read_bytes()) == -(-round(100 * found.duration_s) // 1)


def test_speech_in_pieces_is_the_speech_of_the_whole() -> None:
    with AudioFile(AUDIO, "rec_23.opus", None) as file:
        whole = as_float(file.stored(0.0, 20.0))[:, 0]
        rate_hz = file.rate_hz
    assert rate_hz == RATE_HZ
    for size in (7_777, 160_000):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert activity.segments_of_stream(pieces) == activity.segments(whole)
    assert activity.segments_of_stream([]) == [] == activity.segments_of_stream([whole[:100]])


def test_blocks_of_a_file_are_the_file(tmp_path: Path) -> None:
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (100_001, 2)).astype(np.float32)
    for name in ("a.wav", "a.flac", "a.mp3", "a.ogg"):
        soundfile.write(tmp_path / name, sound, 16_000)
        with AudioFile(tmp_path, name, None, may_seek=False) as file:
            joined = np.concatenate([as_float(one) for one in file.blocks()])
            assert np.array_equal(joined, file.clip(None, None)), name


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(1).uniform(-0.5, 0.5, 200_000), 16_000)
    (tmp_path / "a.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:100_000])
    with AudioFile(tmp_path, "a.flac", None, may_seek=False) as file, pytest.raises(AudioProblem):
        list(file.blocks())
    with pytest.raises(ManifestError, match=r"a\.flac: cannot be read \(truncated"):
        listen(tmp_path, "a.flac", tmp_path / "out", deaf=True)
    assert not list((tmp_path / "out").glob("*.scratch"))


@pytest.mark.parametrize("seconds", [0.01, 0.5])
def test_next_to_nothing_and_numbers_that_are_none(tmp_path: Path, seconds: float) -> None:
    samples = np.full(round(seconds * 16_000), np.nan, np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    found = listen(tmp_path, "a.wav", tmp_path / "out")
    assert (found.stretches, found.words) == ([], []) and found.duration_s == pytest.approx(seconds)
