"""Weights may speak with settings of their own: several ways to decode in one worker, each sample kept with what made it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import training
from voicelathe import digest, records
from voicelathe.process import jobs, sample_files
from voicelathe.worker import speak, weights

LINE = records.Line("one", "The lamp is on.", "en", 3)
FEW = {**training.DECODING, "steps": 2.0}


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(*own: dict[str, float] | None, timed: bool = True) -> jobs.SpeakJob:
    base = jobs.WeightsRef(
        records.Candidate(0, None), "base", str(training.BASE), training.target().base_digest
    )
    refs = [replace(base, decoding=one) for one in own]
    return jobs.SpeakJob(
        training.target(), None, refs, [LINE], 1.0, training.DECODING, None, "out", False, timed=timed
    )


def spoken(one: jobs.SpeakJob) -> list[records.SampleRecord]:
    speak.run(one, lambda kind, values: None)
    paths = [sample_files.place(one, ref, LINE) for ref in one.weights]
    return [
        records.from_json(records.SampleRecord, digest.read_json(path)["sample"], str(path)) for path in paths
    ]


def test_each_sample_is_spoken_with_its_own_settings_says_so_and_how_long_it_took() -> None:
    asked = job(None, FEW)
    usual, few = spoken(asked)
    assert (usual.decoding, few.decoding) == (training.DECODING, FEW) and usual.sha256 != few.sha256
    alone = replace(job(None), decoding=FEW, out="other")
    assert spoken(alone)[0].sha256 == few.sha256, "as if all had spoken so"
    for ref in asked.weights:
        took = sample_files.seconds(sample_files.place(asked, ref, LINE))
        assert digest.read_json(took)["seconds"] > 0.0


def test_what_was_spoken_with_its_own_settings_is_found_again_and_with_others_it_is_not() -> None:
    spoken(job(FEW))
    assert speak.run(job(FEW), lambda kind, values: None) == {"spoken": 0}
    assert speak.run(job({**FEW, "guidance": 1.5}), lambda kind, values: None) == {"spoken": 1}


def test_a_sample_s_key_knows_its_own_settings_and_not_the_job_s() -> None:
    keys = {name: sample_files.key(one, one.weights[0], LINE) for name, one in {
        "usual": job(None), "own": job(FEW), "nearly": job({**FEW, "guidance": FEW["guidance"] + 1e-9}),
        "of the job": replace(job(None), decoding=FEW),
    }.items()}  # fmt: skip
    assert len({keys["usual"], keys["own"], keys["nearly"]}) == 3
    assert keys["own"] == keys["of the job"]


@pytest.mark.parametrize("other", ["settings", "seconds", "text", "lexicon"])
def test_what_is_spoken_otherwise_leaves_the_files_of_before_where_they_were(other: str) -> None:
    """DVC brings records of former settings back from its cache; the files that they name have to be those."""
    lexicon = records.Lexicon((records.Respelling("en", "lamp", "lahmp"),), False)
    usual = job(None)
    changed = {
        "settings": replace(usual, decoding=FEW),
        "seconds": replace(usual, max_seconds=0.5),
        "text": replace(usual, lines=[replace(LINE, text="The door is open.")]),
        "lexicon": replace(usual, target=replace(usual.target, lexicon=lexicon)),
    }[other]
    before = spoken(usual)[0]
    speak.run(changed, lambda kind, values: None)
    after = sample_files.read(changed, changed.weights[0], changed.lines[0])
    assert before.path and after.path and before.sha256 != after.sha256
    assert (
        digest.of_file(Path(before.path)) == before.sha256
        and digest.of_file(Path(after.path)) == after.sha256
    )
    assert spoken(usual) == [before] and speak.run(usual, lambda kind, values: None) == {"spoken": 0}


def test_what_is_tried_has_a_folder_that_people_can_tell_apart() -> None:
    """`decoding` and `references` end with where to listen: a folder for each step and settings, for each clip and way."""
    ref, asked = job(FEW).weights[0], job(None, FEW)
    clips = [training.clip(number, "validation") for number in (1, 2)]
    heard = [replace(ref, decoding=None, reference=jobs.Reference([clip], "audio", "both")) for clip in clips]
    found = [sample_files.place(asked, one, LINE).parent.name for one in (*asked.weights, *heard)]
    assert found == [
        "base",
        "base-guidance-2-max_length_ratio-6-steps-2",
        *(f"{clip.clip_id}-both" for clip in clips),
    ]


def test_how_long_it_took_is_not_part_of_the_record() -> None:
    timed, quiet = job(FEW), replace(job(FEW, timed=False), out="quiet")
    (first,), (second,) = spoken(timed), spoken(quiet)
    assert first.sha256 == second.sha256
    assert not sample_files.seconds(sample_files.place(quiet, quiet.weights[0], LINE)).exists()
    kept = digest.read_json(sample_files.place(timed, timed.weights[0], LINE))
    assert set(kept) == {"key", "sample"}


def test_weights_are_put_in_place_once_for_all_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[jobs.WeightsRef] = []

    class Counting:
        def put(self, ref: jobs.WeightsRef) -> None:
            put.append(ref)

    voice = weights.HeldVoice(Counting())  # type: ignore[arg-type]
    for ref in job(None, FEW, training.DECODING).weights:
        voice.take(ref)
    assert len(put) == 1
