"""A real worker listens to real clips: speech is speech, noise is none, another voice and another text can be told."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import audio, recognisers, rows
from voicelathe import digest, records
from voicelathe.config import params, schema
from voicelathe.data.audio.waveform import mono, read_clip, resample
from voicelathe.errors import RecogniserError
from voicelathe.records import Heard, ManifestRow
from voicelathe.speech import recogniser_files
from voicelathe.stages import hear

ROOT = Path(__file__).parents[2]
SAID = {"clip_0002": "I think the horse should stay across the attic."}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> schema.Params:
    """One recording of the demo corpus, and noise; settings that read them."""
    shutil.copytree(
        ROOT / "data/demo/audio",
        tmp_path / "audio",
        ignore=lambda _, names: {n for n in names if n != "rec_23.opus"},
    )
    audio.write(tmp_path / "audio/noise.wav", audio.noise(2.5))
    monkeypatch.chdir(tmp_path)
    chosen = params.load(ROOT / "params.yaml")
    return replace(chosen, ingest=replace(chosen.ingest, audio_root="audio"))


def clips() -> list[ManifestRow]:
    """A sentence with its text, the same sentence with another text, and noise."""
    cut = {"audio": "rec_23.opus", "audio_sha256": None, "start_s": 7.06, "end_s": 10.05}
    said = SAID["clip_0002"]
    return [
        rows.manifest_row(1, **cut, text=said),
        rows.manifest_row(2, **cut, text="The kitchen is twenty miles from the thick playground."),
        rows.manifest_row(3, audio="noise.wav", audio_sha256=None, text=said),
    ]


def listen(project: schema.Params, known: list[ManifestRow], **how: bool) -> dict[str, Heard]:
    chosen = replace(project, hear=schema.Hear(**{"speech": True, "words": False, "voice": False, **how}))
    measures = [rows.measured(row.line) for row in known]
    return {one.clip_id: one for one in hear.hear(known, measures, chosen, Path("cache"), 1)}


def test_speech_is_heard_in_speech_and_not_in_noise_and_nothing_is_listened_to_twice(
    project: schema.Params,
) -> None:
    found = listen(project, clips()[::2])
    assert 1.8 < found["c0001"].speech_s < 3.0 and found["c0003"].speech_s < 0.3
    assert found["c0001"].cer is None and found["c0001"].voice is None
    shutil.rmtree("audio")  # a worker would find nothing now
    assert listen(project, clips()[::2]) == found
    assert listen(project, clips()[::2], speech=False) == {}


@pytest.mark.parametrize(("times", "speed"), [(0.5, 2.0), pytest.param(4.0, 0.5, marks=pytest.mark.slow)])
def test_speech_under_a_lying_header_is_heard_at_the_speed_that_puts_it_right(
    project: schema.Params, times: float, speed: float
) -> None:
    samples, rate_hz = read_clip(ROOT / "data/general/audio", "rms_01.opus", None, None, None)
    audio.write(
        Path("audio/lying.wav"), resample(mono(samples), rate_hz, 16_000), rate_hz=round(16_000 * times)
    )
    audio.write(Path("audio/tone.wav"), audio.tone(2.5))
    known = [
        *clips()[:1],
        rows.manifest_row(2, audio="lying.wav", audio_sha256=digest.of_file(Path("audio/lying.wav"))),
        rows.manifest_row(3, audio="tone.wav", audio_sha256=digest.of_file(Path("audio/tone.wav"))),
    ]
    found = listen(project, known)
    assert [one.speed for one in found.values()] == [None, speed, None]


@pytest.mark.parametrize("ears", ["whisper", pytest.param("pocketsphinx", marks=pytest.mark.slow)])
def test_a_wrong_text_has_more_errors_than_the_right_one(project: schema.Params, ears: str) -> None:
    chosen = project if ears == "whisper" else replace(project, speech=schema.SpeechModels(None))
    found = listen(chosen, clips(), words=True, voice=ears != "whisper")
    right, wrong = found["c0001"], found["c0002"]
    assert right.cer is not None and wrong.cer is not None and right.cer < 0.4 < wrong.cer
    assert right.is_aligned is True
    assert right.said is not None and right.said == wrong.said, "what was heard does not depend on the text"
    assert "should stay across the" in right.said
    if ears == "whisper":
        assert found["c0003"].said is None and found["c0003"].cer is None, "nobody speaks in noise"
    else:
        assert right.voice == wrong.voice is not None and found["c0003"].voice is None


def test_languages_that_the_recogniser_does_not_know_are_not_judged(project: schema.Params) -> None:
    known = [
        replace(one, language=language) for one, language in zip(clips(), ("it", "en-GB", "en"), strict=True)
    ]
    found = listen(
        project,
        [*known[:2], replace(known[0], clip_id="c0009", line=9, text="...", language="en")],
        words=True,
    )
    assert found["c0001"].cer is None and found["c0001"].said is None and found["c0001"].is_aligned is None
    assert found["c0002"].cer is not None and found["c0009"].cer is None


@pytest.mark.slow
def test_more_workers_hear_the_same(project: schema.Params) -> None:
    known = [replace(one, clip_id=f"c{number:04d}") for number in range(20) for one in clips()[:2]]
    known = [replace(one, text=f"{one.text} {number}") for number, one in enumerate(known)]
    alone = replace(project, engine=schema.Engine("serial", 1), hear=schema.Hear(True, False, False))
    spread = replace(alone, engine=schema.Engine("processes", 2))
    measures = [replace(rows.measured(1), clip_id=row.clip_id) for row in known]
    heard = [
        hear.hear(known, measures, chosen, Path(name), 1)
        for chosen, name in ((alone, "one"), (spread, "two"))
    ]
    assert heard[0] == heard[1] and len({one.clip_id for one in heard[0]}) == 20
    assert digest.of_tree(Path("one")) == digest.of_tree(Path("two"))


@pytest.mark.slow
def test_another_recogniser_hears_everything_again(project: schema.Params) -> None:
    def whisper(folder: Path) -> schema.Params:
        facts = recogniser_files.describe(str(recognisers.copy(folder)), "MIT", None)
        chosen = schema.PinnedRecogniser(str(folder), facts.digest, "MIT", None)
        return replace(project, speech=schema.SpeechModels(chosen))

    first = listen(whisper(Path("a")), clips()[:1], words=True)
    shutil.rmtree("audio")
    Path("audio").mkdir()  # a worker would find nothing now
    assert listen(whisper(Path("b")), clips()[:1], words=True) == first, "the same files, elsewhere"
    (Path("b") / "notes.txt").write_text("mine")
    with pytest.raises(RecogniserError, match="is not the recogniser that was pinned"):
        chosen = schema.PinnedRecogniser(
            "b", params.load(ROOT / "params.yaml").speech.recogniser.digest, "MIT", None
        )  # type: ignore[union-attr]
        listen(replace(project, speech=schema.SpeechModels(chosen)), clips()[:1], words=True)
    facts = recogniser_files.describe("b", "MIT", None)
    other = schema.PinnedRecogniser("b", facts.digest, "MIT", None)
    assert listen(replace(project, speech=schema.SpeechModels(other)), clips()[:1], words=True) == {}


def test_clips_that_could_not_be_measured_are_not_listened_to(project: schema.Params) -> None:
    chosen = replace(project, hear=schema.Hear(True, False, False))
    known = [rows.manifest_row(1), rows.manifest_row(2)]
    measures = [rows.unmeasured(1, "missing"), rows.measured(2, duration_s=0.05)]
    assert hear.hear(known, measures, chosen, Path("cache"), 1) == []


def test_what_was_heard_survives_as_a_table(tmp_path: Path) -> None:
    from voicelathe.data import tables

    made = [
        Heard("a", 1.5, 0.25, True, "AAAA", "the lamp", None),
        Heard("b", 0.0, None, None, None, None, 2.0),
    ]
    tables.write(tmp_path / "heard.parquet", made, records.Heard)
    assert tables.read(tmp_path / "heard.parquet", records.Heard) == made


@pytest.mark.slow
def test_many_clips_at_once_are_heard_as_one_by_one() -> None:
    from voicelathe.speech import activity

    spans = [(7.06, 10.05), (0.3, 9.1), (20.0, 24.5)]
    read = [read_clip(ROOT / "data/demo/audio", "rec_23.opus", *span, None) for span in spans]
    clips = [resample(mono(samples), rate_hz, 16_000) for samples, rate_hz in read]
    clips = [*clips, audio.noise(1.0), audio.silence(0.01)]
    found = activity.segments_of_each(clips)
    assert found == [activity.segments(clip) for clip in clips]
    assert found[0] and found[3:] == [[], []]
    assert activity.segments_of_each([audio.silence(0.01)]) == [[]]
