"""Weights may speak with settings of their own: several ways to decode in one worker, each sample kept with what made it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import training
from voicelathe import digest, records
from voicelathe.process import jobs
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
    paths = [jobs.sample_record(one, ref, LINE) for ref in one.weights]
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
        took = jobs.time_of(jobs.sample_record(asked, ref, LINE))
        assert digest.read_json(took)["seconds"] > 0.0


def test_what_was_spoken_with_its_own_settings_is_found_again_and_with_others_it_is_not() -> None:
    spoken(job(FEW))
    assert speak.run(job(FEW), lambda kind, values: None) == {"spoken": 0}
    assert speak.run(job({**FEW, "guidance": 1.5}), lambda kind, values: None) == {"spoken": 1}


def test_a_sample_s_key_knows_its_own_settings_and_not_the_job_s() -> None:
    """Its folder names settings with six digits; the key with all of them."""
    keys = {name: speak._key(one, one.weights[0], LINE) for name, one in {
        "usual": job(None), "own": job(FEW), "nearly": job({**FEW, "guidance": FEW["guidance"] + 1e-9}),
        "of the job": replace(job(None), decoding=FEW),
    }.items()}  # fmt: skip
    assert len({keys["usual"], keys["own"], keys["nearly"]}) == 3
    assert keys["own"] == keys["of the job"]


def test_how_long_it_took_is_not_part_of_the_record() -> None:
    timed, quiet = job(FEW), replace(job(FEW, timed=False), out="quiet")
    (first,), (second,) = spoken(timed), spoken(quiet)
    assert first.sha256 == second.sha256
    assert not jobs.time_of(jobs.sample_record(quiet, quiet.weights[0], LINE)).exists()
    kept = digest.read_json(jobs.sample_record(timed, timed.weights[0], LINE))
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
