"""What was validated and spoken is not used again after something it depends on has changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.factories import audio, training
from tests.factories.rows import SERIAL
from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.data.audio import files
from voicelathe.data.latents import cache
from voicelathe.data.references import named
from voicelathe.process import jobs, sample_files
from voicelathe.records import CleanClip
from voicelathe.worker import encode, validate

BASE = jobs.WeightsRef(records.Candidate(0, None), "base", "base", "0" * 64)
ZERO_SHOT = replace(BASE, candidate=records.Candidate(0, None, True))


def validated(root: Path, ref: jobs.WeightsRef, way: schema.Way = "reference") -> str:
    """The key of one candidate's losses over the split as it is now."""
    clips = records.read(root / "validation.jsonl", CleanClip)
    how = schema.Evaluate(
        passes=1, clips_per_pass=3, lora_scales=[], zero_shot="reference", reference=None, probe_clips=2
    )
    job = jobs.ValidateJob(
        training.target(), how, 9, str(root / "validation.jsonl"), str(root / "train.jsonl"), None,
        str(root / "latents"), None, [ref], jobs.Reference(clips[:2], "audio", way), "out",
    )  # fmt: skip
    items = cache.items(Path(job.clips), Path(job.latents), None).values()
    return validate._key(job, ref, str(validate._fingerprints(items)))


def change(root: Path, **values: str) -> None:
    """Another value in a field of the third validation clip, which is no reference."""
    clips = records.read(root / "validation.jsonl", CleanClip)
    third = replace(clips[2], **values)  # type: ignore[arg-type]
    records.write(root / "validation.jsonl", [*clips[:2], third, *clips[3:]])


def test_losses_are_computed_again_when_the_language_of_a_clip_was_corrected(tmp_path: Path) -> None:
    root = training.corpus(tmp_path)
    before = validated(root, BASE)
    assert validated(root, BASE) == before
    change(root, language="de")
    assert validated(root, BASE) != before


def test_zero_shot_losses_are_computed_again_when_another_clip_stands_in_front(tmp_path: Path) -> None:
    """The clips stay the same, but one is of the first reference's recording now, so it hears the second."""
    root = training.corpus(tmp_path)
    before, plain = validated(root, ZERO_SHOT), validated(root, BASE)
    first = records.read(root / "validation.jsonl", CleanClip)[0]
    change(root, recording_id=first.recording_id)
    assert validated(root, ZERO_SHOT) != before
    assert validated(root, BASE) == plain, "who hears nothing is not computed again"


def test_zero_shot_is_computed_and_spoken_again_when_the_clip_is_heard_in_another_way(tmp_path: Path) -> None:
    root = training.corpus(tmp_path)
    ways: list[schema.Way] = ["reference", "continuation", "both"]
    assert len({validated(root, ZERO_SHOT, way) for way in ways}) == 3
    assert len({validated(root, BASE, way) for way in ways}) == 1
    line = records.Line("one", "The lamp is on.", "en", 3)
    jobs_of = {
        way: jobs.SpeakJob(
            training.target(), None, [ZERO_SHOT], [line], 2.0, training.DECODING,
            jobs.Reference([training.clip(1, "validation")], "audio", way), "out", False,
        )
        for way in ways
    }  # fmt: skip
    assert len({sample_files.key(job, ZERO_SHOT, line) for job in jobs_of.values()}) == 3
    assert len({sample_files.key(job, BASE, line) for job in jobs_of.values()}) == 1


def test_a_line_is_spoken_again_with_other_settings() -> None:
    def key(**other: float) -> str:
        line = records.Line("one", "The lamp is on.", "en", 3)
        settings = {**training.DECODING, **other}
        job = jobs.SpeakJob(training.target(), None, [BASE], [line], 2.0, settings, None, "out", False)
        return sample_files.key(job, BASE, line)

    assert (
        key() == key(steps=10.0)
        and len({key(), key(steps=9.0), key(guidance=1.9), key(max_length_ratio=5.0)}) == 4
    )


def test_zero_shot_speaks_again_when_the_clip_it_hears_was_trimmed_otherwise() -> None:
    heard = training.clip(1, "validation")

    def key(clip: CleanClip, ref: jobs.WeightsRef) -> str:
        line = records.Line("one", "The lamp is on.", "en", 3)
        reference = jobs.Reference([clip], "audio")
        return sample_files.key(
            jobs.SpeakJob(
                training.target(), None, [ref], [line], 2.0, training.DECODING, reference, "out", False
            ),
            ref,
            line,
        )

    changes: list[dict[str, float]] = [{"start_s": 1.3}, {"gain_db": 9.0}, {"offset": 0.01}, {"channel": 1}]
    changed = [replace(heard, **change) for change in changes]  # type: ignore[arg-type]
    assert len({key(one, ZERO_SHOT) for one in (heard, *changed)}) == 5
    assert {key(one, BASE) for one in changed} == {key(heard, BASE)}


def of_file(root: Path, name: str, **values: object) -> CleanClip:
    """A clip that is a whole file of a second."""
    whole = replace(
        training.clip(1), audio=name, audio_sha256=files.hash_file(root, name), start_s=0.0, end_s=1.0
    )
    return replace(whole, clip_id=digest.of_value([name, values])[:16], **values)  # type: ignore[arg-type]


def encoded(root: Path, folder: str, clips: list[CleanClip]) -> list[torch.Tensor]:
    """The encodings that the worker writes for these clips, in their order; the cache is the folder's own."""
    rows, cached, out = root / folder / "clips.jsonl", root / folder / "cache", root / folder / "out"
    records.write(rows, clips)
    job = jobs.EncodeJob(training.target(), {"train": str(rows)}, str(root), str(cached), str(out), SERIAL)
    encode.run(job, lambda kind, values: None)
    found = cache.items(rows, out, None)
    return [found[one.clip_id].tensors["latents"] for one in clips]


@pytest.mark.parametrize("case", ["gain", "offset", "channel"])
def test_clips_of_the_same_seconds_and_other_samples_never_share_an_encoding(
    tmp_path: Path, case: str
) -> None:
    """A quiet file whose clip is lifted, and the same file as another row's reference, as it is; likewise the other two."""
    left, right = audio.speech(1.0) * 0.05, audio.speech(1.0, seed=3) * 0.05
    audio.write(tmp_path / "quiet.wav", np.stack([left, right], axis=1))
    changes: dict[str, dict[str, object]] = {
        "gain": {"gain_db": 20.0},
        "offset": {"offset": 0.1},
        "channel": {"channel": 1},
    }
    clip = of_file(tmp_path, "quiet.wav", **changes[case])
    other = named.as_clip("quiet.wav", named.Named(clip.audio_sha256, 1.0, None), clip)
    if case == "channel":
        other = of_file(tmp_path, "quiet.wav", channel=0)
    together = encoded(tmp_path, "together", [clip, other])
    assert not torch.equal(*together)
    for number, one in enumerate((clip, other)):
        assert torch.equal(together[number], encoded(tmp_path, f"alone{number}", [one])[0])


def test_a_plain_clip_keeps_the_key_that_its_encoding_was_cached_under() -> None:
    clip = training.clip(3)
    assert cache.cache_key(clip, "base") == digest.of_value(
        [1, "base", clip.audio_sha256, clip.start_s, clip.end_s]
    )


def test_weights_with_a_clip_of_their_own_are_kept_apart_by_it_and_hear_it_instead_of_the_job_s() -> None:
    own, other = training.clip(1, "validation"), training.clip(2, "validation")
    line = records.Line("one", "The lamp is on.", "en", 3)

    def spoken(clip: CleanClip, of_job: CleanClip | None) -> tuple[Path, str]:
        ref = replace(ZERO_SHOT, reference=jobs.Reference([clip], "audio"))
        given = jobs.Reference([of_job], "audio") if of_job else None
        job = jobs.SpeakJob(
            training.target(), None, [ref], [line], 2.0, training.DECODING, given, "out", False
        )
        return sample_files.place(job, ref, line), sample_files.key(job, ref, line)

    trimmed = replace(own, start_s=1.3)
    assert spoken(own, None) == spoken(own, other), "whatever the job says"
    assert len({spoken(own, None), spoken(trimmed, None), spoken(other, None)}) == 3
    assert len({spoken(clip, None)[0] for clip in (own, trimmed, other)}) == 3, "each has a place of its own"
