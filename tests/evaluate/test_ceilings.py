"""What a base's codec leaves of the speaker: said before anybody trains, beside the decision, and in its picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import audio as made
from tests.factories import evaluations as make
from tests.factories import training
from voicelathe import digest, families
from voicelathe.config import params
from voicelathe.evaluate import ceilings, selection
from voicelathe.evaluate.report import pictures
from voicelathe.process import jobs, runner
from voicelathe.records import Ceiling, ClipRef, Selection

ROOT = Path(__file__).parents[2]
KNOWN = make.candidates(10)
MARGINS = {"words": 0.05, "endings": 0.1}


def decide(ceiling: Ceiling | None) -> Selection:
    rows = make.paired_losses({one: {"diff": 0.8 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    spoken = make.samples(KNOWN, make.MANY)
    return selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN),
        make.measures(spoken), make.race(spoken), ceiling=ceiling,
    )  # fmt: skip


def test_a_codec_that_loses_more_words_than_the_guard_allows_is_the_bottleneck() -> None:
    (text,) = ceilings.bottlenecks(make.ceiling(words=0.5), MARGINS)
    assert (
        "keep 0.499 where they kept 0.899 before" in text
        and "0.05 may be lost" in text
        and "bottleneck" in text
    )


@pytest.mark.parametrize(
    ("words", "margins"),
    [(0.9, MARGINS), (0.87, MARGINS), (0.84, MARGINS), (0.5, {"endings": 0.1})],
    ids=["whole", "within", "beyond but not shown", "guard off"],
)
def test_a_codec_that_loses_less_or_is_not_guarded_is_none(words: float, margins: dict[str, float]) -> None:
    assert ceilings.bottlenecks(make.ceiling(words=words), margins) == []


def test_likeness_has_no_margin_and_is_no_bottleneck_by_itself() -> None:
    assert ceilings.bottlenecks(make.ceiling(likeness=0.1), MARGINS) == []


def test_the_decision_says_so_and_changes_nothing() -> None:
    with_it, without = decide(make.ceiling(words=0.5, likeness=0.5)), decide(None)
    assert (with_it.decision, with_it.selected, with_it.ranking) == (
        without.decision,
        without.selected,
        without.ranking,
    )
    said = [note for note in with_it.notes if note.startswith("Codec ceiling: ")]
    assert len(said) == 2 and "can hardly bring it nearer" in said[1]
    assert not any("odec ceiling" in note for note in without.notes + decide(make.ceiling()).notes)


def test_the_copies_are_an_anchor_of_the_picture_when_they_were_heard() -> None:
    assert "codec&#39;s copies" in str(pictures.decision(decide(make.ceiling())))
    skipped = replace(make.ceiling(), missing="cannot decode", copies={}, originals={}, lost=[])
    assert "codec" not in str(pictures.decision(decide(skipped))) and "codec" not in str(
        pictures.decision(decide(None))
    )


def test_families_whose_codec_can_be_heard_alone_say_so() -> None:
    can = {name for name in families.TABLE if families.spec(name).copies}
    assert can == {"voxcpm2", "voxcpm15", "qwen3_tts"}


@pytest.mark.slow
def test_the_worker_copies_each_clip_once_and_the_copy_is_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    monkeypatch.chdir(tmp_path)
    clips = []
    for number, seconds in enumerate((1.0, 0.55)):
        path = made.write(tmp_path / "voice" / f"{number}.wav", made.speech(seconds, number))
        clips.append(ClipRef("voice", path.name, None, None, digest.of_file(path), "the lamp is on", "en"))
    job = jobs.CopyJob(training.target(), clips, "copies")
    assert runner.run(job, "test") == {"copied": 2}
    paths = [jobs.copied(job, clip) for clip in clips]
    facts = families.find("voxcpm2").describe(training.BASE, "", True)
    for path, seconds in zip(paths, (1.0, 0.55), strict=True):
        samples, rate_hz = soundfile.read(path)
        assert rate_hz == facts.speak_rate_hz and len(samples) == round(seconds * rate_hz)
    before = [digest.of_file(path) for path in paths]
    assert runner.run(job, "test") == {"copied": 0}
    paths[0].unlink()
    assert runner.run(job, "test") == {"copied": 1} and [digest.of_file(path) for path in paths] == before


def test_clips_of_the_same_seconds_and_other_samples_never_share_a_copy() -> None:
    plain = ClipRef("voice", "0.wav", 1.0, 2.0, "a" * 64, "the lamp is on", "en")
    others = [
        replace(plain, channel=0),
        replace(plain, channel=1),
        replace(plain, offset=0.1),
        replace(plain, gain_db=9.0),
    ]
    job = jobs.CopyJob(training.target(), [plain, *others], "copies")
    assert len({jobs.copied(job, clip) for clip in job.clips}) == 5
    assert jobs.copied(job, replace(plain, text="another", audio="moved.wav")) == jobs.copied(job, plain)


@pytest.mark.slow
def test_a_codec_that_draws_noise_gives_the_same_copy_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded base's decoder does; without its seed every ceiling, and all that reads it, would be another one."""
    chosen = params.load(ROOT / "params.yaml")
    base = chosen.bases["voxcpm2-mini"]
    target = jobs.Target(base.family, str(ROOT / base.path), base.digest, chosen.machine)
    monkeypatch.chdir(tmp_path)
    path = made.write(tmp_path / "voice" / "0.wav", made.speech(1.0, 0))
    clip = ClipRef("voice", path.name, None, None, digest.of_file(path), "the lamp is on", "en")
    copies = []
    for out in ("first", "second"):
        job = jobs.CopyJob(target, [clip], out)
        assert runner.run(job, "test") == {"copied": 1}
        copies.append(digest.of_file(jobs.copied(job, clip)))
    assert copies[0] == copies[1]
