"""An entry of the lexicon is kept only where it was heard to help: the same sentences and seeds with it and without it."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import audio, training
from voicelathe import checkpoints, digest, families, layout, lines, records
from voicelathe.config import params, schema
from voicelathe.data.audio import files
from voicelathe.data.lexicon import lexicon_file
from voicelathe.errors import LexiconError
from voicelathe.process import runner
from voicelathe.records import Lexicon, MetricRun, PackLine, Respelling
from voicelathe.stages.lexicon import trial

ROOT = Path(__file__).parents[2]
LAMP = Respelling("en", "lamp", "small road")


def take(text: str, without: str | None, with_: str | None, language: str = "en") -> trial.Take:
    return trial.Take(text, language, without, with_)


def test_an_entry_that_makes_the_word_right_in_every_take_helps() -> None:
    (found,) = trial.judged([LAMP], [take("The lamp is on.", "the damp is on", "The lamp is on.")] * 5)
    assert (found.takes, found.right_without, found.right_with, found.gained, found.lost) == (5, 0, 5, 5, 0)
    assert found.p == 1 / 32 and found.helps


def test_four_takes_are_too_few_and_as_many_lost_as_gained_are_no_help() -> None:
    gained, lost = take("A lamp.", "a damp", "a lamp"), take("A lamp.", "a lamp", "a damp")
    (few,) = trial.judged([LAMP], [gained] * 4)
    assert few.p == 1 / 16 and not few.helps
    (even,) = trial.judged([LAMP], [gained, lost] * 20)
    assert even.p > 0.5 and not even.helps
    (worse,) = trial.judged([LAMP], [lost] * 20)
    assert worse.p == 1.0 and not worse.helps
    (same,) = trial.judged([LAMP], [take("A lamp.", "a lamp", "a lamp")] * 20)
    assert (same.p, same.gained, same.right_without) == (1.0, 0, 20) and not same.helps


def test_several_entries_are_corrected_for_being_several() -> None:
    other = Respelling("en", "rain", "rayn")
    takes = [take("A lamp.", "a damp", "a lamp")] * 5 + [take("Rain.", "ruin", "rain")] * 5
    assert [one.p for one in trial.judged([LAMP, other], takes)] == [1 / 16, 1 / 16]
    assert not any(one.helps for one in trial.judged([LAMP, other], takes))


def test_only_the_word_itself_counts_and_only_where_the_entry_changes_the_text() -> None:
    takes = [take("The lamp is on.", "the lamp is gone", "that lamp was none"), take("No light.", "x", "y")]
    (found,) = trial.judged([LAMP], takes)
    assert (found.takes, found.right_without, found.right_with) == (1, 1, 1)


def test_a_take_that_nobody_could_hear_is_not_right() -> None:
    (found,) = trial.judged([LAMP], [take("A lamp.", None, "a lamp"), take("A lamp.", "a lamp", None)])
    assert (found.gained, found.lost) == (1, 1)


def test_a_word_in_running_text_and_a_word_that_is_several_are_found() -> None:
    chinese = Respelling("zh", "银行", "YINHANG")
    (found,) = trial.judged([chinese], [take("我去银行。", "我去人行", "我去银行", "zh")])
    assert (found.right_without, found.right_with) == (0, 1)
    city = Respelling("en", "New York", "Noo York")
    (found,) = trial.judged([city], [take("To New York!", "to new cork", "to new york")])
    assert (found.right_without, found.right_with) == (0, 1)


def test_entries_join_the_lexicon_or_take_the_place_of_their_word() -> None:
    old = Lexicon((Respelling("en", "Lamp", "lemp"), Respelling("de", "Lampe", "x")), True)
    assert trial.with_entries(old, [LAMP]) == Lexicon((Respelling("de", "Lampe", "x"), LAMP), True)
    assert trial.with_entries(None, [LAMP]) == Lexicon((LAMP,), False)
    with pytest.raises(LexiconError, match="One word has two respellings"):
        trial.with_entries(None, [LAMP, replace(LAMP, said="x")])
    with pytest.raises(LexiconError, match=r"The lexicon with these entries.*\n.*leads back to it"):
        trial.with_entries(None, [replace(LAMP, said="a lamp")])


PACK = [
    PackLine(name, text, "en", None, "sentence", None, None)
    for name, text in (("one", "The lamp is on."), ("two", "Some rain."))
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> schema.Params:
    """A small base with two checkpoints that were really trained, a pack, and a real clip to calibrate with."""
    monkeypatch.chdir(tmp_path)
    training.corpus(tmp_path)
    job = training.train_job(tmp_path, tmp_path / "run", training.train_settings("lora", steps=2, every=1))
    with contextlib.chdir(tmp_path):
        runner.run(job, "test")
    audio.write(tmp_path / "audio/a.wav", audio.speech(1.2))
    clip = replace(
        training.clip(1, "validation"), audio="a.wav", start_s=0.0, end_s=1.2, audio_sha256=files.hash_file(tmp_path / "audio", "a.wav")
    )  # fmt: skip
    records.write(layout.split("validation"), [clip])
    lines.write(layout.LINES / "own.jsonl", PACK)
    known = params.load(ROOT / "params.yaml")
    one = known.recipes["mini-lora"]
    base = schema.Base("voxcpm2", str(training.BASE), training.target().base_digest, "Apache-2.0", False)
    identity = records.RunIdentity(
        job.train, one.base, "voxcpm2", base.digest, "0" * 64, 1, 1, "cpu", 1, 1, "2"
    )
    run = records.RunRecord("mini-lora", "0" * 64, "checkpoints/mini-lora/0", identity, 12, 1, 1, {})
    digest.write_json(layout.run("mini-lora", "run.json"), records.to_json(run))
    kept = [records.CheckpointRecord(0, "base", str(training.BASE), 1, base.digest)]
    for step in (1, 2):
        place = Path("run", f"step_{step:07d}")
        kept.append(records.CheckpointRecord(step, "lora", str(place), 1, checkpoints.identity(place)))
    index = records.CheckpointIndex("0" * 64, kept)
    digest.write_json(layout.run("mini-lora", "checkpoints.json"), records.to_json(index))
    listen = replace(one.listen, lines="lines/own.jsonl", max_seconds=1.0)
    return replace(
        known,
        ingest=replace(known.ingest, audio_root="audio"),
        bases={one.base: base},
        recipes={"mini-lora": replace(one, listen=listen)},
    )


@pytest.mark.slow
def test_a_checkpoint_speaks_both_ways_and_a_voice_that_says_no_word_keeps_no_entry(
    project: schema.Params,
) -> None:
    """The base has random weights: the recogniser hears no word of it, with the entry or without."""
    assert families.spec("voxcpm2")
    found = trial.hold(project, "mini-lora", [LAMP], "2", 2)
    (tried,) = found.tried
    assert (found.candidate, tried.takes) == ("step_0000002@1", 2 * _sentences(project)) and not tried.helps
    after = lexicon_file.identity(Lexicon((LAMP,), False))[:16]
    sounds = {name: sorted((found.place / name).rglob("*.wav")) for name in ("without", after)}
    assert [len(some) for some in sounds.values()] == [tried.takes, tried.takes]
    pairs = zip(*sounds.values(), strict=True)
    assert all(one.name == other.name and one.read_bytes() != other.read_bytes() for one, other in pairs)
    with pytest.raises(LexiconError, match=r"No line of the recipe's pack .* in en has 'attic' as a word"):
        trial.hold(project, "mini-lora", [Respelling("en", "attic", "a tick")], "2", 2)
    for wrong in ("7", "base", "2@x"):
        with pytest.raises(LexiconError, match=rf"--candidate {wrong}: there are steps 1, 2"):
            trial.hold(project, "mini-lora", [LAMP], wrong, 2)
    deaf = replace(project, speech=schema.SpeechModels(None))
    with pytest.raises(LexiconError, match=r"speech\.recogniser in params\.yaml is null"):
        trial.hold(deaf, "mini-lora", [LAMP], "2", 2)


def _sentences(project: schema.Params) -> int:
    said = [line.text for line in PACK] + [
        one.text for one in records.read(layout.split("validation"), records.CleanClip)
    ]
    return sum("lamp" in text.split() for text in said)


def test_takes_that_the_recogniser_lost_are_no_proof_of_an_entry() -> None:
    trial.require_heard([MetricRun("recogniser", "measured", "", 0)])
    for lost in (
        MetricRun("recogniser", "measured", "no value for 32 of 60 samples: crashed", 32),
        MetricRun("recogniser", "crashed", "exit code 11", 60),
    ):
        with pytest.raises(LexiconError, match=r"did not hear everything .* Nothing was judged"):
            trial.require_heard([lost])
