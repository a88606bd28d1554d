"""`voicelathe import` of one JSON document, of folders for each split, of paths in Parquet, and of files that are no audio."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.factories import audio, corpora
from voicelathe.config import params
from voicelathe.data.manifest import ingest, recognising
from voicelathe.records import ManifestRow

FILLED = ("--name", "c", "--speaker", "anna", "--language", "en", "--recording-from", r"(talk\d+)_")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [{"audio": name, "text": corpora.text(at)} for at, name in enumerate(corpora.audio(folder))]


def imported() -> list[ManifestRow]:
    read = ingest.read_pinned(params.load().ingest)
    assert read.rejected == []
    return read.rows


@pytest.mark.parametrize("form", ["a list", "below a key", "by id", "by path"])
def test_one_json_document_is_read_as_its_rows(project: Path, run: Run, form: str) -> None:
    rows = rows_of(project / "corpus")
    document: Any = {
        "a list": rows,
        "below a key": {"version": 1, "data": rows},
        "by id": {f"clip {at}": row for at, row in enumerate(rows)},
        "by path": {row["audio"]: row["text"] for row in rows},
    }[form]
    path = project / "corpus" / "corpus.json"
    path.write_text(json.dumps(document, indent=1))
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert [(row.audio, row.text) for row in imported()] == [(row["audio"], row["text"]) for row in rows]


def test_a_key_that_is_given_twice_in_a_document_is_refused(project: Path, run: Run) -> None:
    corpora.audio(project / "corpus")
    path = project / "corpus" / "corpus.json"
    path.write_text('[{"audio": "talk01_001.wav", "text": "one", "text": "two"}]')
    done = run("import", path, *FILLED)
    assert done.code == 1 and "'text' is given twice" in done.err


def test_audio_that_is_an_object_is_read_by_its_path(project: Path, run: Run) -> None:
    rows = [
        {**row, "audio": {"path": row["audio"], "sampling_rate": 16000}}
        for row in rows_of(project / "corpus")
    ]
    done = run("import", corpora.json_lines(project / "corpus" / "m.jsonl", rows), *FILLED)
    assert done.code == 0, done.told
    assert imported()[0].audio == "talk01_001.wav"


def test_folders_of_splits_with_a_table_in_each_are_one_corpus(project: Path, run: Run) -> None:
    rows = rows_of(project / "corpus" / "train")
    (project / "corpus" / "test").mkdir()
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for row in rows:
        part = "test" if row["audio"].startswith("talk04") else "train"
        (project / "corpus" / "train" / row["audio"]).rename(project / "corpus" / part / row["audio"])
        parts[part].append(f'{row["audio"]},"{row["text"]}"')
    for part, lines in parts.items():
        (project / "corpus" / part / "metadata.csv").write_text("\n".join(["file_name,text", *lines, ""]))
    done = run("import", project / "corpus", *FILLED)
    assert done.code == 0, done.told
    assert len(imported()) == len(rows) and "the split test" in done.out


def test_paths_in_parquet_are_paths(project: Path, run: Run) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = rows_of(project / "corpus")
    table = {"file": [row["audio"] for row in rows], "sentence": [row["text"] for row in rows]}
    pyarrow.parquet.write_table(pyarrow.table(table), project / "corpus" / "m.parquet")
    done = run("import", project / "corpus" / "m.parquet", *FILLED)
    assert done.code == 0, done.told
    assert [row.text for row in imported()] == [row["text"] for row in rows]


def test_files_that_are_not_what_their_names_say_are_named_before_the_pipeline_runs(
    project: Path, run: Run
) -> None:
    folder = project / "corpus"
    path = corpora.json_lines(folder / "m.jsonl", rows_of(folder))
    names = sorted(one.name for one in folder.glob("*.wav"))
    (folder / names[0]).write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    )
    (folder / names[1]).write_bytes(b"<!DOCTYPE html><html><body>404</body></html>")
    (folder / names[2]).write_bytes(b"")
    (folder / names[3]).write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x64" + bytes(400))
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    for said in ("git lfs pull", "a web page", "1 audio files are empty", "mp3 under another name"):
        assert said in done.out, done.out


def test_a_workbook_and_audio_are_named_as_such_and_a_command_of_kaldi_as_not_run(
    project: Path, run: Run
) -> None:
    corpora.audio(project / "corpus")
    (project / "corpus" / "m.xlsx").write_bytes(b"PK\x03\x04" + bytes(300))
    assert "Excel workbook" in run("import", project / "corpus" / "m.xlsx", *FILLED).err
    told = run("import", project / "corpus" / "talk01_001.wav", *FILLED).err
    assert "is audio, not a manifest" in told and "voicelathe cut propose" in told
    (project / "kaldi").mkdir()
    (project / "kaldi" / "wav.scp").write_text("a sox talk01_001.wav -t wav - remix 1 |\n")
    (project / "kaldi" / "text").write_text("a hello there\n")
    (project / "kaldi" / "utt2spk").write_text("a anna\n")
    told = run("import", project / "kaldi", "--name", "k", "--language", "en", "--recording-from", "(.+)").err
    assert "none is run here" in told


def test_float_files_in_the_scale_of_integers_are_told_of(project: Path, run: Run) -> None:
    folder = project / "corpus"
    path = corpora.json_lines(folder / "m.jsonl", rows_of(folder))
    for name in ("talk01_001.wav", "talk01_002.wav"):
        audio.write(folder / name, audio.speech(1.0) * 30000, subtype="FLOAT")
    audio.write(folder / "talk01_003.wav", audio.speech(1.0), subtype="FLOAT")
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert (
        "2 float WAV files hold samples in the scale of 16-bit integers, the first talk01_001.wav" in done.out
    )


INSIDE: dict[str, tuple[Callable[[str, str], dict[str, Any]], str]] = {
    "both in objects": (
        lambda path, said: {"audio": {"path": path}, "annotation": {"text": said}},
        "annotation.text",
    ),
    "an object called transcript": (
        lambda path, said: {
            "audio": path,
            "transcript": {"text": said, "language": "en", "words": [said, said]},
        },
        "transcript.text",
    ),
    "an object called text": (
        lambda path, said: {"audio": path, "text": {"content": said, "id": "7"}},
        "text.content",
    ),
    "an object called transcription": (
        lambda path, said: {"file_name": path, "transcription": {"value": said}},
        "text.value",
    ),
    "a list of one": (lambda path, said: {"audio": path, "text": [said]}, "text"),
    "a list of one annotation": (
        lambda path, said: {"audio": path, "annotations": [{"text": said}]},
        "annotations.text",
    ),
    "said twice": (
        lambda path, said: {"audio": path, "label": {"text": said, "best": {"text": said}}},
        "label.text",
    ),
    "other names": (
        lambda path, said: {"recording": {"file_path": path, "id": "r"}, "label": {"sentence": said}},
        "label.sentence",
    ),
    "Label Studio": (
        lambda path, said: {
            "data": {"audio": path},
            "annotations": [{"result": [{"value": {"text": [said]}, "type": "textarea"}]}],
        },
        "annotations.result.value.text",
    ),
    "NeMo's path": (
        lambda path, said: {"audio_filepath": path, "annotation": {"text": said}},
        "annotation.text",
    ),
}


@pytest.mark.parametrize("what", INSIDE)
@pytest.mark.parametrize("is_document", [False, True], ids=["lines", "document"])
def test_a_text_inside_an_object_is_read_where_it_alone_can_be_it(
    project: Path, run: Run, what: str, is_document: bool
) -> None:
    make, name = INSIDE[what]
    rows = rows_of(project / "corpus")
    made = [make(row["audio"], row["text"]) for row in rows]
    path = project / "corpus" / "m.json"
    path.write_text(
        json.dumps(made, indent=1) if is_document else "".join(f"{json.dumps(one)}\n" for one in made)
    )
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert f"text is read from {name}, the only value" in done.out
    assert [(row.audio, row.text) for row in imported()] == [(row["audio"], row["text"]) for row in rows]


UNCLEAR: dict[str, tuple[Callable[[str, str], dict[str, Any]], str, str]] = {
    "two annotators": (
        lambda path, said: {"audio": path, "anna": {"text": said}, "machine": {"text": said.upper()}},
        "anna.text, machine.text could each be the text",
        "anna.text=text",
    ),
    "two forms": (
        lambda path, said: {"audio": path, "text": {"raw": f"{said}!", "normalized": said}},
        "text.normalized, text.raw could each be the text",
        "text.normalized=text",
    ),
    "another name": (
        lambda path, said: {"audio": path, "meta": {"spoken": said, "mood": "calm"}},
        "The names inside are audio, meta.mood, meta.spoken. Say which one is spoken: --map NAME=text",
        "meta.spoken=text",
    ),
    "another key of ours": (
        lambda path, said: {"file_name": path, "transcription": {"en": said, "de": f"{said}?"}},
        "text.de, text.en could each be the text",
        "transcription.en=text",
    ),
    "a speaker": (
        lambda path, said: {"audio": path, "text": said, "speaker": {"id": "anna", "age": 30}},
        "speaker.id like speaker_id",
        "speaker.id=speaker_id",
    ),
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_several_values_that_can_be_it_are_asked_for_by_name_and_read_so(
    project: Path, run: Run, what: str
) -> None:
    make, told, option = UNCLEAR[what]
    rows = rows_of(project / "corpus")
    path = corpora.json_lines(
        project / "corpus" / "m.jsonl", [make(row["audio"], row["text"]) for row in rows]
    )
    before = (project / "params.yaml").read_bytes()
    done = run("import", path, *FILLED)
    assert done.code == 1 and told in done.err, done.told
    assert (project / "params.yaml").read_bytes() == before and not (
        project / "data/c/manifest.jsonl"
    ).exists()
    done = run("import", path, "--map", option, *FILLED)
    assert done.code == 0, done.told
    found = imported()
    assert [row.text for row in found] == [row["text"] for row in rows]
    assert {row.speaker_id for row in found} == {"anna"}


def test_a_row_without_what_the_others_have_inside_stays_a_row_without_a_text(
    project: Path, run: Run
) -> None:
    rows: list[dict[str, Any]] = [
        {"audio": row["audio"], "annotation": {"text": row["text"]}} for row in rows_of(project / "corpus")
    ]
    rows[3] = {"audio": rows[3]["audio"], "annotation": {"skipped": True}}
    done = run("import", corpora.json_lines(project / "corpus" / "m.jsonl", rows), *FILLED)
    assert done.code == 0, done.told
    found = imported()
    assert found[3].text is None and found[3].extra == {"annotation": '{"skipped":true}'}
    assert found[4].text == rows[4]["annotation"]["text"] and found[4].extra == {}


def test_objects_beside_a_text_change_nothing(project: Path, run: Run) -> None:
    rows = [{**row, "meta": {"text": "of the page", "mood": "calm"}} for row in rows_of(project / "corpus")]
    path = corpora.json_lines(project / "corpus" / "m.jsonl", rows)
    done = run("import", path, *FILLED[2:])
    assert done.code == 0 and params.load().ingest.manifest.endswith("corpus/m.jsonl"), done.told
    assert imported()[0].text == rows[0]["text"]


def test_rows_behind_the_first_keep_the_path_and_the_text_that_they_have_themselves(
    project: Path, run: Run
) -> None:
    rows = rows_of(project / "corpus")
    path = {"path": rows[0]["audio"]}
    made = [{"audio": path, "text": f"Number {at} is said."} for at in range(recognising.LOOKED_AT)]
    done = run("import", corpora.json_lines(project / "corpus" / "m.jsonl", [*made, *rows]), *FILLED)
    assert done.code == 0, done.told
    assert [row.audio for row in imported()[recognising.LOOKED_AT :]] == [row["audio"] for row in rows]


def test_a_text_of_its_own_is_not_overwritten_by_what_others_have_inside(project: Path, run: Run) -> None:
    rows = rows_of(project / "corpus")
    inside = [
        {"audio": rows[0]["audio"], "extra": {"text": f"Number {at} is said."}}
        for at in range(recognising.LOOKED_AT)
    ]
    mixed = {**rows[3], "extra": {"text": "of the page"}}
    path = corpora.json_lines(project / "corpus" / "m.jsonl", [*inside, *rows[:3], mixed])
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert [row.text for row in imported()[recognising.LOOKED_AT - 1 :]] == [
        inside[-1]["extra"]["text"],
        *(row["text"] for row in rows[:4]),
    ]


@pytest.mark.parametrize("key", ["audio", "text", "text in a list", "text elsewhere"])
def test_objects_and_values_of_their_own_in_turn_are_all_read(project: Path, run: Run, key: str) -> None:
    rows = rows_of(project / "corpus")
    made = []
    for at, row in enumerate(rows):
        other = {
            "audio": {"text": row["text"], "audio": {"path": row["audio"]}},
            "text": {"audio": row["audio"], "text": {"content": row["text"]}},
            "text in a list": {"audio": row["audio"], "text": [row["text"]]},
            "text elsewhere": {"audio": row["audio"], "annotation": {"text": row["text"]}},
        }[key]
        made.append(other if at % 2 else row)
    done = run("import", corpora.json_lines(project / "corpus" / "m.jsonl", made), *FILLED)
    assert done.code == 0, done.told
    assert [(row.audio, row.text) for row in imported()] == [(row["audio"], row["text"]) for row in rows]


def test_a_page_that_rows_with_a_text_have_too_is_the_text_of_none(project: Path, run: Run) -> None:
    rows = [{**row, "meta": {"text": "of the page"}} for row in rows_of(project / "corpus")]
    del rows[2]["text"]
    done = run("import", corpora.json_lines(project / "corpus" / "m.jsonl", rows), *FILLED)
    assert done.code == 0, done.told
    assert [row.text for row in imported()] == [row.get("text") for row in rows]


@pytest.mark.parametrize(
    "more",
    [{"text": None, "tags": ["a", "b"]}, {"meta": {"sr": 16000}}, {"tags": ["x"]}],
    ids=["lists", "numbers", "a code"],
)
def test_rows_that_are_not_yet_transcribed_may_have_objects_that_are_no_text(
    project: Path, run: Run, more: dict[str, Any]
) -> None:
    rows = rows_of(project / "corpus")
    made = [{"audio": row["audio"], **more} for row in rows]
    first = [{"audio": rows[0]["audio"], **more} for _ in range(recognising.LOOKED_AT)]
    path = corpora.json_lines(project / "corpus" / "m.jsonl", [*first, *made[:-1], rows[-1]])
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    found = imported()
    assert (
        len(found) == len(first) + len(rows) and found[0].text is None and found[-1].text == rows[-1]["text"]
    )


def test_a_column_outside_that_may_be_the_text_is_none_that_objects_are_asked_for(
    project: Path, run: Run
) -> None:
    rows = rows_of(project / "corpus")
    made = [{"audio": row["audio"], "inhalt": row["text"], "tags": ["two words"]} for row in rows]
    path = corpora.json_lines(project / "corpus" / "m.jsonl", made)
    assert run("import", path, *FILLED).code == 0 and imported()[0].text is None
    done = run("import", path, "--map", "inhalt=text", *FILLED)
    assert done.code == 0 and imported()[0].text == rows[0]["text"], done.told
    path = corpora.json_lines(
        project / "corpus" / "n.jsonl", [{**row, "text": 5, "tags": ["two words"]} for row in rows]
    )
    told = run("import", path, *FILLED).told
    assert "nothing inside the objects" not in told and "text" in told


def test_words_inside_objects_that_are_no_text_can_be_left_unread(project: Path, run: Run) -> None:
    rows = [
        {"audio": row["audio"], "meta": {"licence": "free to use"}} for row in rows_of(project / "corpus")
    ]
    path = corpora.json_lines(project / "corpus" / "m.jsonl", rows)
    assert "--map NAME=" in run("import", path, *FILLED).err
    done = run("import", path, "--map", "meta.licence=", *FILLED)
    assert done.code == 0, done.told
    assert imported()[0].text is None


@pytest.mark.parametrize("name", ["corpus.json", "corpus.jsonl"])
@pytest.mark.parametrize("document", [[{}], [["a.wav", "It rains."]], {"rows": 7}])
def test_json_without_rows_is_not_said_to_be_no_json(
    project: Path, run: Run, document: Any, name: str
) -> None:
    corpora.audio(project / "corpus")
    for indent in (None, 1):
        (project / "corpus" / name).write_text(json.dumps(document, indent=indent))
        done = run("import", project / "corpus" / name, *FILLED)
        assert done.code == 1 and "and is none" not in done.err, done.err
    assert "is JSON, but holds no rows {...} with audio" in done.err or document == [{}]
