"""Every text that a model gets went through the lexicon, and every text that people and recognisers compare is as it was written."""

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import audio, training
from voicelathe import digest, families, records
from voicelathe.config import schema
from voicelathe.data.latents import cache
from voicelathe.process import jobs, runner, sample_files
from voicelathe.records import Lexicon, Respelling
from voicelathe.train import batches
from voicelathe.worker import prompts, speak, validate

SRC = Path(families.__file__).parent.parent
LAMP = Lexicon((Respelling("en", "lamp", "small road"),), False)
BASE = jobs.WeightsRef(records.Candidate(0, None), "base", str(training.BASE), "0" * 64)
# Who gives text to a model, with the place of the text among the arguments.
DOORS = {"ClipItem": 1, "Prompt": 2, "synthesize": 0, "synthesize_prompted": 0}
MAKERS = {  # where a ReadText is made: the one function, and what was read is cut behind its control or joined with what was read
    "data/lexicon/reading.py",
    "families/base.py",
    "families/cosyvoice3/spec.py",
    "families/voxcpm/prompting.py",
}


def calls(source: str) -> Iterator[tuple[str, ast.Call, ast.AST]]:
    """Calls by the last part of their name, with the function around them."""
    tree = ast.parse(source)
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(outer):
                if isinstance(node, ast.Call):
                    name = (
                        node.func.attr
                        if isinstance(node.func, ast.Attribute)
                        else getattr(node.func, "id", "")
                    )
                    yield name, node, outer


def is_read(given: ast.AST, around: ast.AST) -> bool:
    """Whether an argument is what `as_read` gave, at once or under a name."""
    if isinstance(given, ast.Call):
        return getattr(given.func, "id", "") == "as_read"
    return isinstance(given, ast.Name) and any(
        isinstance(node, ast.Assign)
        and any(isinstance(to, ast.Name) and to.id == given.id for to in node.targets)
        and is_read(node.value, around)
        for node in ast.walk(around)
    )


def unread(source: str) -> list[str]:
    """Calls that give a model a text which was not read."""
    return [
        f"line {node.lineno}: {name}"
        for name, node, around in calls(source)
        if name in DOORS and not (len(node.args) > DOORS[name] and is_read(node.args[DOORS[name]], around))
    ]


def test_whoever_gives_a_text_to_a_model_has_read_it() -> None:
    """Families themselves take the text; mypy holds the rest, because `ReadText` is a type of its own."""
    outside = [path for path in SRC.rglob("*.py") if "families" not in path.parts]
    found = {path.relative_to(SRC).as_posix(): path.read_text() for path in outside}
    assert {name: wrong for name, source in found.items() if (wrong := unread(source))} == {}
    at_doors = {name for name, source in found.items() if any(one in DOORS for one, _, _ in calls(source))}
    assert at_doors == {"data/latents/cache.py", "worker/prompts.py", "worker/speak.py"}


def test_read_texts_are_made_in_one_place() -> None:
    made = [
        path
        for path in SRC.rglob("*.py")
        if any(name == "ReadText" for name, _, _ in calls(path.read_text()))
    ]
    assert {path.relative_to(SRC).as_posix() for path in made} == MAKERS


def test_a_caller_that_forgets_the_lexicon_is_seen() -> None:
    source = "def f():\n    text = line.text\n    a.synthesize(text)\n    b = as_read(x, y, z)\n    a.synthesize(b)\n    ClipItem(i, row.text)"
    assert unread(source) == ["line 3: synthesize", "line 6: ClipItem"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return training.corpus(tmp_path / "corpus")


def texts(root: Path, lexicon: Lexicon | None, split: str = "train") -> dict[str, str]:
    return {
        name: item.text
        for name, item in cache.items(root / f"{split}.jsonl", root / "latents", lexicon).items()
    }


def respelt(text: str) -> str:
    return " ".join("small road" if word == "lamp" else word for word in text.split())


def test_clips_are_trained_and_validated_with_what_is_read(corpus: Path, tmp_path: Path) -> None:
    written = texts(corpus, None)
    assert texts(corpus, LAMP) == {name: respelt(text) for name, text in written.items()} != written
    target = replace(training.target(), lexicon=LAMP)
    job = replace(training.train_job(corpus, tmp_path / "run", training.train_settings()), target=target)
    opened = batches.opened(job, families.find("voxcpm2"), None)
    assert {name: item.text for name, item in opened.items.items()} == texts(corpus, LAMP)
    how = schema.Evaluate(1, 3, [], "reference", None, 2)
    paths = (str(corpus / "validation.jsonl"), str(corpus / "train.jsonl"), None, str(corpus / "latents"))
    looked_at = jobs.ValidateJob(target, how, 9, *paths, None, [BASE], None, str(tmp_path / "out"))
    split = validate._split(looked_at)
    assert {name: item.text for name, item in split.items.items()} == texts(corpus, LAMP, "validation")
    assert validate._split(replace(looked_at, target=training.target())).identity() != split.identity()


def job(tmp_path: Path, line: records.Line, lexicon: Lexicon | None, name: str) -> jobs.SpeakJob:
    target = replace(training.target(), lexicon=lexicon)
    return jobs.SpeakJob(
        target, None, [BASE], [line], 1.0, training.DECODING, None, str(tmp_path / name), False
    )


def spoken(tmp_path: Path, text: str, lexicon: Lexicon | None, name: str) -> records.SampleRecord:
    line = records.Line("one", text, "en", 3)
    asked = job(tmp_path, line, lexicon, name)
    speak.run(asked, lambda *_: None)
    path = sample_files.place(asked, BASE, line)
    return records.from_json(records.SampleRecord, digest.read_json(path)["sample"], str(path))


def test_a_line_sounds_as_it_is_read_and_its_record_has_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = spoken(tmp_path, "The lamp is on.", None, "plain")
    read = spoken(tmp_path, "The lamp is on.", LAMP, "read")
    said = spoken(tmp_path, "The small road is on.", None, "said")
    assert read.sha256 == said.sha256 != plain.sha256
    assert read.text == "The lamp is on.", "the recogniser compares with it, and pages show it"


def test_only_a_line_that_an_entry_changes_is_spoken_again(tmp_path: Path) -> None:
    def key(text: str, lexicon: Lexicon | None) -> str:
        line = records.Line("one", text, "en", 3)
        return sample_files.key(job(tmp_path, line, lexicon, "x"), BASE, line)

    other = Lexicon((*LAMP.respellings, Respelling("en", "rain", "rayn")), False)
    assert key("The lamp.", None) != key("The lamp.", LAMP) == key("The lamp.", other)
    assert key("Some rain.", None) == key("Some rain.", LAMP) != key("Some rain.", other)


def test_the_words_of_a_clip_that_a_base_hears_are_read_too(tmp_path: Path) -> None:
    clip = replace(training.clip(1), text="A lamp.", start_s=0.0, end_s=0.5)
    audio.write(tmp_path / clip.audio, audio.tone(1.0), 16_000)
    clip = replace(clip, audio_sha256=digest.of_file(tmp_path / clip.audio))
    reference = jobs.Reference([clip], str(tmp_path), "continuation")
    with prompts.heard(reference, 16_000, LAMP) as prompt:
        assert prompt.text == "A small road."
    ref = replace(BASE, candidate=records.Candidate(0, None, True))
    line = records.Line("one", "Rain.", "en", 3)
    asked = [replace(job(tmp_path, line, one, "x"), reference=reference) for one in (None, LAMP)]
    assert len({sample_files.key(one, ref, line) for one in asked}) == 2


def test_a_request_is_read_with_the_lexicon_of_its_version_and_not_with_another(tmp_path: Path) -> None:
    asked = replace(job(tmp_path, records.Line("a", "b", "en", 1), None, "x"), lines=[], interactive=True)

    def say(speaker: runner.Speaker, text: str, lexicon: Lexicon | None) -> records.SampleRecord:
        path = str(tmp_path / "said.wav")
        return speaker.say(jobs.SpeakRequest("r", text, "en", 1, None, 0.5, None, path, None, lexicon))

    with contextlib.chdir(tmp_path), runner.Speaker(asked) as speaker:
        read, said = say(speaker, "The lamp.", LAMP), say(speaker, "The small road.", None)
        assert read.sha256 == said.sha256 and read.text == "The lamp."
        assert say(speaker, "The lamp.", None).sha256 != read.sha256


def test_without_a_lexicon_jobs_and_runs_are_written_down_as_before() -> None:
    assert "lexicon" not in records.to_json(training.target())
    target = records.to_json(replace(training.target(), lexicon=LAMP))
    assert records.from_json(jobs.Target, target, "x").lexicon == LAMP
    run = records.RunIdentity(training.train_settings(), "b", "voxcpm2", "0", "0", 1, 1, "cpu", 1, 1, "2")
    assert "lexicon" not in records.to_json(run)
    read_by = replace(run, lexicon=LAMP)
    assert digest.of_value(records.to_json(read_by)) != digest.of_value(records.to_json(run))
    assert records.from_json(records.RunIdentity, records.to_json(read_by), "x") == read_by
