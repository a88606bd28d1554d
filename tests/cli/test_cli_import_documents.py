"""`voicelathe import` of one JSON document, of folders for each split, of paths in Parquet, and of files that are no audio."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.factories import audio, corpora
from voicelathe.config import params
from voicelathe.data.manifest import ingest
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
