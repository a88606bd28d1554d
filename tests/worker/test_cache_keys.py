"""What was validated and spoken is not used again after something it depends on has changed."""

from dataclasses import replace
from pathlib import Path

from tests.factories import training
from voicelathe import records
from voicelathe.config import schema
from voicelathe.data.latents import cache
from voicelathe.process import jobs
from voicelathe.records import CleanClip
from voicelathe.worker import speak, validate

BASE = jobs.WeightsRef(records.Candidate(0, None), "base", "base", "0" * 64)
ZERO_SHOT = replace(BASE, candidate=records.Candidate(0, None, True))


def validated(root: Path, ref: jobs.WeightsRef) -> str:
    """The key of one candidate's losses over the split as it is now."""
    clips = records.read(root / "validation.jsonl", CleanClip)
    how = schema.Evaluate(passes=1, clips_per_pass=3, lora_scales=[], zero_shot=True, probe_clips=2)
    job = jobs.ValidateJob(
        training.target(), how, 9, str(root / "validation.jsonl"), str(root / "train.jsonl"), None,
        str(root / "latents"), None, [ref], jobs.Reference(clips[:2], "audio"), "out",
    )  # fmt: skip
    items = cache.items(Path(job.clips), Path(job.latents)).values()
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


def test_a_line_is_spoken_again_with_other_settings() -> None:
    def key(**other: float) -> str:
        line = records.Line("one", "The lamp is on.", "en", 3)
        settings = {**training.DECODING, **other}
        job = jobs.SpeakJob(training.target(), None, [BASE], [line], 2.0, settings, None, "out", False)
        return speak._key(job, BASE, line)

    assert (
        key() == key(steps=10.0)
        and len({key(), key(steps=9.0), key(guidance=1.9), key(max_length_ratio=5.0)}) == 4
    )


def test_zero_shot_speaks_again_when_the_clip_it_hears_was_trimmed_otherwise() -> None:
    heard = training.clip(1, "validation")

    def key(clip: CleanClip, ref: jobs.WeightsRef) -> str:
        line = records.Line("one", "The lamp is on.", "en", 3)
        reference = jobs.Reference([clip], "audio")
        return speak._key(
            jobs.SpeakJob(
                training.target(), None, [ref], [line], 2.0, training.DECODING, reference, "out", False
            ),
            ref,
            line,
        )

    trimmed = replace(heard, start_s=heard.start_s + 0.3)
    assert key(trimmed, ZERO_SHOT) != key(heard, ZERO_SHOT)
    assert key(trimmed, BASE) == key(heard, BASE)
