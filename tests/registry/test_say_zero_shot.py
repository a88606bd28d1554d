"""Speaking with a base that hears the speaker first: the clip, the way and the settings that are judged, and only with consent."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data.audio import waveform
from voicelathe.errors import ConsentError, ParamsError, RequestError
from voicelathe.process import jobs, runner, sample_files
from voicelathe.registry.speaking import reference, say
from voicelathe.stages.references import clips

RECIPE, TEXT = "mini-lora", "The lamp is on."
pytestmark = pytest.mark.slow
SHORT = {"max_seconds": 1.0}


@pytest.fixture
def spoken_from(tmp_path: Path) -> Path:
    """A project whose validation split has two recordings with real samples."""
    root = runs.project(tmp_path / "project")
    place = root / params.load(root / "params.yaml").ingest.audio_root
    made = []
    for number in range(2):
        one = runs.clip("validation", number)
        path = place / f"{one.clip_id}.wav"
        time = np.arange(2 * runs.RATE_HZ) / runs.RATE_HZ
        tone = 0.3 * np.sin(2 * np.pi * (150 + 40 * number) * time)
        waveform.write_wav(path, tone.astype(np.float32), runs.RATE_HZ)
        made.append(replace(one, audio=path.name, audio_sha256=digest.of_file(path)))
    records.write(root / layout.split("validation"), made)
    return root


def comment(path: Path) -> dict[str, object]:
    with soundfile.SoundFile(path) as file:
        found: dict[str, object] = json.loads(file.comment)
    return found


def test_it_says_what_the_zero_shot_base_said_when_it_was_judged(spoken_from: Path, tmp_path: Path) -> None:
    """The same clip, line and seed through the worker of `listen`."""
    out = tmp_path / "said.wav"
    done = say.speak_zero_shot(TEXT, RECIPE, out, spoken_from, {**SHORT, "seed": 5})
    settings = params.load(spoken_from / "params.yaml")
    heard = clips.reference(settings, RECIPE, spoken_from)
    assert heard is not None and heard.clips[0].clip_id in done.who
    base, recipe = settings.bases[runs.BASE], settings.recipes[RECIPE]
    target = jobs.Target(base.family, str(spoken_from / base.path), base.digest, settings.machine)
    ref = jobs.WeightsRef(records.Candidate(0, None, True), "base", target.base, base.digest)
    line = records.Line("one", TEXT, "en", 5)
    job = jobs.SpeakJob(
        target, None, [ref], [line], 1.0, recipe.speak, heard, str(tmp_path / "judged"), False
    )
    runner.run(job, "judged")
    judged, _ = soundfile.read(sample_files.place(job, ref, line).with_suffix(".wav"), dtype="int16")
    mine, _ = soundfile.read(out, dtype="int16")
    assert np.array_equal(judged, mine) and len(mine)
    plain = say.speak_base(
        TEXT, spoken_from / base.path, tmp_path / "b.wav", spoken_from, {**SHORT, "seed": 5}
    )
    assert digest.of_bytes(soundfile.read(plain.path, dtype="int16")[0].tobytes()) != digest.of_bytes(
        mine.tobytes()
    )


def test_the_file_says_which_clip_was_heard_and_what_the_speaker_allowed(
    spoken_from: Path, tmp_path: Path
) -> None:
    done = say.speak_zero_shot(
        TEXT, RECIPE, tmp_path / "said.wav", spoken_from, SHORT, settings={"steps": 4.0}
    )
    about = comment(done.path)
    clip = records.read(spoken_from / layout.split("validation"), records.CleanClip)[0]
    settings = params.load(spoken_from / "params.yaml")
    base = settings.bases[runs.BASE]
    heard = reference.carried(
        clip, "reference", spoken_from / settings.ingest.audio_root, base.family, spoken_from / base.path
    )
    assert about["zero_shot"] == {
        "clip_id": clip.clip_id,
        "way": "reference",
        "audio_sha256": clip.audio_sha256,
        "sha256": heard.record.sha256,  # as the base hears it
    }
    assert about["decoding"]["steps"] == 4.0 and about["generated_by"]  # type: ignore[index]
    assert about["consent"] and "awb" not in json.dumps(about), "no speaker is named"


def test_without_the_speakers_consent_nothing_is_spoken(spoken_from: Path, tmp_path: Path) -> None:
    record = spoken_from / "consent/awb.json"
    kept = record.read_bytes()
    record.unlink()
    with pytest.raises(ConsentError, match=r"must not speak as awb: .*awb.json is missing"):
        say.speak_zero_shot(TEXT, RECIPE, tmp_path / "said.wav", spoken_from, SHORT)
    changed = json.loads(kept)
    changed["purposes"]["clone"] = False
    record.write_text(json.dumps(changed))
    with pytest.raises(ConsentError, match="clone"):
        say.speak_zero_shot(TEXT, RECIPE, tmp_path / "said.wav", spoken_from, SHORT)
    record.write_bytes(kept)
    with pytest.raises(ConsentError, match="de"):
        say.speak_zero_shot(TEXT, RECIPE, tmp_path / "said.wav", spoken_from, {**SHORT, "language": "de"})
    assert not (tmp_path / "said.wav").exists()


def test_a_speaker_who_demands_a_mark_is_not_spoken_without_one(spoken_from: Path, tmp_path: Path) -> None:
    record = spoken_from / "consent/awb.json"
    changed = json.loads(record.read_bytes())
    changed["watermark_required"] = True
    record.write_text(json.dumps(changed))
    with pytest.raises(ConsentError, match="mark"):
        say.speak_zero_shot(TEXT, RECIPE, tmp_path / "said.wav", spoken_from, SHORT)
    assert not (tmp_path / "said.wav").exists()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (" ", {}, "text is empty"),
        (TEXT, {"max_seconds": 1e9}, "at most 60"),
        (TEXT, {"lora_scale": 0.5}, "No such option: lora_scale"),
        (TEXT, {"seed": -1}, "seed = -1"),
    ],
)
def test_it_takes_no_more_than_a_voice_in_production(
    spoken_from: Path, text: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        say.speak_zero_shot(text, RECIPE, spoken_from / "out.wav", spoken_from, options)
    with pytest.raises(RequestError, match=r"decoding: warmth: no such setting"):
        say.speak_zero_shot(TEXT, RECIPE, spoken_from / "out.wav", spoken_from, {}, settings={"warmth": 1.0})


def test_where_no_base_hears_a_clip_it_is_said_what_to_set(spoken_from: Path) -> None:
    settings = spoken_from / "params.yaml"
    with pytest.raises(ParamsError, match=r"recipes.mini-lorra: no such recipe"):
        say.speak_zero_shot(TEXT, "mini-lorra", spoken_from / "out.wav", spoken_from, {})
    params.edit({f"recipes/{RECIPE}/evaluate/zero_shot": None}, settings)
    with pytest.raises(ParamsError, match=r"zero_shot is null. Set it to reference or both or continuation"):
        say.speak_zero_shot(TEXT, RECIPE, spoken_from / "out.wav", spoken_from, {})
    params.edit({f"recipes/{RECIPE}/evaluate/zero_shot": "both"}, settings)
    validation = spoken_from / layout.split("validation")
    records.write(validation, records.read(validation, records.CleanClip)[:1])
    with pytest.raises(ParamsError, match=r"validation.jsonl has no two clips of the speaker. Record more"):
        say.speak_zero_shot(TEXT, RECIPE, spoken_from / "out.wav", spoken_from, {})
