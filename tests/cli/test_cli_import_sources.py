"""`voicelathe import` of corpora as other tools keep them, tried as a user would: a small one of each form, made here."""

import datetime
import gzip
import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.cli.conftest import Run
from tests.factories import corpora
from voicelathe import layout
from voicelathe.config import params
from voicelathe.data.manifest import ingest, splits_named
from voicelathe.data.split import frozen
from voicelathe.records import ManifestRow

RULE = ("--recording-from", r"(talk\d+)_")
FILLED = (*RULE, "--speaker", "anna", "--language", "en")


def imported() -> list[ManifestRow]:
    read = ingest.read_pinned(params.load().ingest)
    assert read.rejected == [] and read.details == {}
    return read.rows


def everything(project: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(project.rglob("*")) if path.is_file()}


# --- Parquet ---------------------------------------------------------------------------------------------------------


def parquet(folder: Path, name: str = "train-00000-of-00001.parquet", **changes: Any) -> Path:
    """The twelve tones inside a Parquet file, three rows a row group."""
    paths = corpora.audio(folder / "made")
    rows = [
        {
            "audio": {"bytes": (folder / "made" / path).read_bytes(), "path": path},
            "transcription": corpora.text(at),
            "speaker_id": 7 + at % 2,
            "gender": "f",
        }
        for at, path in enumerate(paths)
    ]
    rows = [{**row, **{key: change(row) for key, change in changes.items()}} for row in rows]
    shutil.rmtree(folder / "made")
    (folder / "data").mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "data" / name, row_group_size=3)
    return folder


def test_audio_inside_parquet_becomes_files_with_the_same_bytes(project: Path, run: Run) -> None:
    corpora.audio(project / "kept")
    done = run("import", parquet(project / "corpus"), "--name", "hf", *RULE, "--language", "en")
    assert done.code == 0, done.told
    assert "format parquet" in done.out and "12 audio files written to data/hf/audio" in done.out
    found = imported()
    assert [row.audio for row in found] == corpora.audio(project / "kept")
    assert all(
        (Path("data/hf/audio") / row.audio).read_bytes() == (project / "kept" / row.audio).read_bytes()
        for row in found
    )
    assert [row.speaker_id for row in found[:2]] == ["7", "8"] and found[1].text == corpora.text(1)
    assert found[0].extra == {"gender": "f", "split": "train"}
    again = run("import", project / "corpus", "--name", "hf", *RULE, "--language", "en")
    assert again.code == 0 and "0 audio files written" in again.out


def test_names_inside_parquet_are_made_safe_unique_and_true(project: Path, run: Run) -> None:
    def named(row: dict[str, Any]) -> dict[str, Any]:
        wrong = {
            "talk01_001.wav": "../../../out.mp3",
            "talk01_002.wav": "b/x.wav",
            "talk01_003.wav": "c/x.wav",
        }
        return {**row["audio"], "path": wrong.get(row["audio"]["path"])}

    done = run(
        "import",
        parquet(project / "corpus", audio=named),
        "--name",
        "hf",
        "--recording-from",
        "(.+)",
        "--language",
        "en",
    )
    assert done.code == 0, done.told
    assert [row.audio for row in imported()][:4] == ["out.wav", "x.wav", "x-again2.wav", "00000004.wav"]
    assert not list(project.glob("*.mp3")) and not (project.parent / "out.mp3").exists()


def test_columns_of_parquet_that_json_cannot_hold_are_text_or_left_out(project: Path, run: Run) -> None:
    changes: dict[str, Any] = {
        "recorded": lambda _: datetime.datetime(2024, 5, 1, 12, 30),
        "snr": lambda _: float("nan"),
        "words": lambda _: [{"word": "a", "at": 0.5}],
        "other": lambda row: {"bytes": b"\x89PNG", "path": "a.png"},
    }
    done = run("import", parquet(project / "corpus", **changes), "--name", "hf", *RULE, "--language", "en")
    assert done.code == 0, done.told
    assert imported()[0].extra == {
        **{"gender": "f", "recorded": "2024-05-01 12:30:00", "split": "train"},
        **{"words": '[{"at":0.5,"word":"a"}]', "other": '{"path":"a.png"}'},
    }


def test_without_a_rule_nothing_is_written_not_even_audio(project: Path, run: Run) -> None:
    folder = parquet(project / "corpus")
    before = everything(project)
    asked = run("import", folder, "--name", "hf", "--language", "en")
    assert asked.code == 1 and "4 recordings of 3 to 3 clips" in asked.err
    assert everything(project) == before and not Path("data/hf").exists()
    Path("data/hf/audio").mkdir(parents=True)
    Path("data/hf/audio/talk04_003.wav").write_bytes(b"mine")
    before = everything(project)
    other = run("import", folder, "--name", "hf", *RULE, "--language", "en")
    assert other.code == 1 and "is there already, with other content" in other.err
    assert everything(project) == before


def test_audio_that_was_written_is_taken_back_when_the_import_fails_after_it(project: Path, run: Run) -> None:
    folder = parquet(
        project / "corpus", audio=lambda row: {"bytes": b"no audio", "path": f"{row['audio']['path']}.bin"}
    )
    before = everything(project)
    done = run("import", folder, "--name", "hf", *RULE, "--language", "en")
    assert done.code == 1 and "None of the 12 audio files" in done.err
    assert everything(project) == before and not Path("data/hf").exists()


def test_a_table_that_had_to_be_written_otherwise_is_gone_when_its_import_fails(
    project: Path, run: Run
) -> None:
    corpora.csv(project / "corpus")
    path = project / "corpus" / "clips.csv"
    path.write_text(path.read_text().replace(".wav,", ".flac,"))
    before = everything(project)
    assert run("import", path, "--speaker", "anna").code == 1
    assert everything(project) == before


def test_parquet_without_audio_and_a_pointer_are_told(project: Path, run: Run) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "wav": ["x"]}), project / "a.parquet")
    assert "no column holds audio (bytes and path), among text, wav" in run("import", "a.parquet").err
    (project / "b.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "a pointer of git-lfs" in run("import", "b.parquet").err


# --- splits that corpora come with -----------------------------------------------------------------------------------


def parts(folder: Path, split_of: Any, ending: str = "jsonl") -> list[Path]:
    """One manifest for each split, over the twelve tones; `split_of` says where a path belongs."""
    held: dict[str, list[dict[str, object]]] = {}
    for at, path in enumerate(corpora.audio(folder)):
        held.setdefault(split_of(path), []).append({"audio": path, "text": f"{corpora.text(at)} {at}"})
    return [corpora.json_lines(folder / f"{name}.{ending}", rows) for name, rows in sorted(held.items())]


def test_train_and_validation_become_one_manifest_and_a_proposal(project: Path, run: Run) -> None:
    made = parts(project / "corpus", lambda path: "val" if path.startswith("talk03") else "train")
    done = run("import", *made, "--name", "c", *FILLED)
    assert done.code == 0, done.told
    assert "the split train" in done.out and "12 rows of 4 recordings" in done.out
    assert "recordings 3 for train, 1 for validation" in done.out
    assert params.load().split.frozen == "c" and "not read: split" not in done.out
    proposed = frozen.read("c")
    assert isinstance(proposed, frozen.Proposed)
    assert proposed.split_of == {
        "talk01": "train",
        "talk02": "train",
        "talk03": "validation",
        "talk04": "train",
    }
    assert proposed.open_parts == ("train", "test")
    assert run("import", corpora.ours(project / "other")).code == 0
    assert params.load().split.frozen is None  # it was of another corpus


def test_a_folder_with_a_manifest_for_each_split_is_read_whole(project: Path, run: Run) -> None:
    parts(project / "corpus", lambda path: {"1": "train", "2": "train", "3": "dev", "4": "test"}[path[5]])
    done = run("import", "corpus", *FILLED)
    assert done.code == 0, done.told
    assert "recordings 1 for test, 2 for train, 1 for validation" in done.out
    assert params.load().ingest.manifest == "data/corpus/manifest.jsonl" and len(imported()) == 12


def test_recordings_in_several_splits_are_not_proposed_and_a_frozen_split_holds(
    project: Path, run: Run
) -> None:
    made = parts(project / "corpus", lambda path: "val" if path.endswith("3.wav") else "train")
    done = run("import", *made, "--name", "c", *FILLED)
    assert done.code == 0 and "4 recordings have rows in several of the splits" in done.out
    assert params.load().split.frozen is None and not splits_named.path("c").exists()
    (layout.FROZEN_SPLITS / "mine").mkdir(parents=True)
    params.edit({"split/frozen": "mine"})
    whole = parts(project / "corpus", lambda path: "val" if path.startswith("talk03") else "train")
    kept = run("import", *whole, "--name", "c", *FILLED)
    assert kept.code == 0 and "split.frozen = mine holds" in kept.out
    assert params.load().split.frozen == "mine"


def test_manifests_of_several_folders_start_from_the_one_that_holds_them(project: Path, run: Run) -> None:
    first = corpora.voxcpm(project / "corpora" / "a")
    second = corpora.qwen3_tts(project / "corpora" / "b")
    done = run("import", first, second, "--name", "both", "--recording-from", r"(.+)_\d+\.wav", *FILLED[2:])
    assert done.code == 0, done.told
    assert {row.audio.split("/")[0] for row in imported()} == {"a", "b"}
    assert "24 rows of 8 recordings" in done.out and params.load().ingest.audio_root == "corpora"


# --- tables and trees ------------------------------------------------------------------------------------------------


def test_common_voice_keeps_speakers_splits_and_its_columns(project: Path, run: Run) -> None:
    folder = project / "cv" / "en"
    header = "client_id\tpath\tsentence\tup_votes\tage\tlocale\n"
    names = corpora.audio(folder / "clips", "common_voice_en_{recording}{clip:03d}.wav")
    held = {"train.tsv": names[:6], "dev.tsv": names[6:9], "test.tsv": names[9:]}
    for at, (name, clips) in enumerate(held.items()):
        lines = [
            f'c{at}\t{clip.removesuffix(".wav")}.mp3\tHe said "yes", {clip[16:20]}.\t2\t\ten\n'
            for clip in clips
        ]
        (folder / name).write_text(header + "".join(lines))
    done = run("import", folder)
    assert done.code == 0, done.told
    assert "format common-voice" in done.out and "12 rows of 12 recordings" in done.out
    assert "12 paths had an extension that is not the file's" in done.out
    found = imported()
    assert [row.speaker_id for row in found[::3]] == ["c0", "c0", "c1", "c2"]
    assert found[0].text == 'He said "yes", 1001.' and found[0].extra == {"split": "train", "up_votes": "2"}
    assert "recordings 3 for test, 6 for train, 3 for validation" in done.out


def test_one_text_file_for_each_clip(project: Path, run: Run) -> None:
    folder = project / "corpus"
    for at, name in enumerate(corpora.audio(folder)):
        (folder / name).with_suffix(".txt").write_text(f"{corpora.text(at)}\n")
    (folder / "talk01_001.txt").rename(folder / "elsewhere.txt")
    done = run("import", folder, *FILLED)
    assert done.code == 0, done.told
    assert "format texts (one text file for each audio file)" in done.out
    assert "1 lines are no rows" in done.out and "no audio" in done.out  # elsewhere.txt
    read = ingest.read_pinned(params.load().ingest)
    assert [row.text for row in read.rows] == [None, *(corpora.text(at) for at in range(1, 12))]


def test_texts_that_are_not_utf8_are_told_what_to_do(project: Path, run: Run) -> None:
    folder = project / "corpus"
    for name in corpora.audio(folder):
        (folder / name).with_suffix(".txt").write_bytes("Grün.".encode("cp1252"))
    told = run("import", folder, *FILLED).err
    assert "12 of 12 texts are not UTF-8" in told and "--encoding cp1252 makes of it: Grün." in told


def test_libritts_chapters_are_recordings_and_its_folders_splits(project: Path, run: Run) -> None:
    for part, speakers in (("train-clean-100", (19, 26)), ("dev-clean", (84,)), ("test-clean", (61,))):
        for speaker in speakers:
            for at in range(3):
                stem = project / "LibriTTS" / part / str(speaker) / "198" / f"{speaker}_198_000000_00000{at}"
                corpora.tone(stem.with_suffix(".wav"), hz=200 + speaker + at)
                (stem.parent / f"{stem.name}.normalized.txt").write_text(f"Doctor {speaker}, {at}.")
                (stem.parent / f"{stem.name}.original.txt").write_text(f"Dr. {speaker}, {at}.")
    for name in ("speakers.tsv", "reader_book.tsv", "LICENSE.txt", "SPEAKERS.txt"):
        (project / "LibriTTS" / name).write_text("READER\tGENDER\n")
    done = run("import", "LibriTTS", "--name", "libri")
    assert done.code == 0, done.told
    found = imported()
    assert {(row.speaker_id, row.recording_id) for row in found} == {
        (s, f"{s}_198") for s in ("19", "26", "84", "61")
    }
    assert {row.text for row in found if row.speaker_id == "84"} == {
        "Doctor 84, 0.",
        "Doctor 84, 1.",
        "Doctor 84, 2.",
    }
    assert "recordings 1 for test, 2 for train, 1 for validation" in done.out


def test_vctk_texts_lie_in_a_tree_of_their_own(project: Path, run: Run) -> None:
    for speaker in ("p225", "s5"):
        for number in (1, 2, 3):
            for mic in (1, 2):
                name = f"wav48_silence_trimmed/{speaker}/{speaker}_00{number}_mic{mic}.wav"
                corpora.tone(project / "VCTK" / name, hz=200 + 10 * number + mic + len(speaker))
            text = project / "VCTK" / "txt" / speaker / f"{speaker}_00{number}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"Please call Stella, {number}.")
    done = run("import", "VCTK", "--name", "vctk")
    assert done.code == 0, done.told
    assert "12 rows of 6 recordings, 12 audio files, speakers p225, s5." in done.out
    assert imported()[0].text == "Please call Stella, 1."


def test_kaldi_segments_are_cuts_of_long_files(project: Path, run: Run) -> None:
    folder = corpora.cosyvoice(project / "corpus")
    (folder / "segments").write_text("".join(f"s{at} u{at // 3} 0.0{at} 0.1{at}\n" for at in range(9)))
    (folder / "text").write_text("".join(f"s{at} Line {at}.\n" for at in range(9)))
    done = run("import", folder, "--speaker", "anna", "--language", "en")
    assert done.code == 0, done.told
    assert "9 rows of 3 recordings, 3 audio files" in done.out
    assert (imported()[4].start_s, imported()[4].end_s, imported()[4].text) == (0.04, 0.14, "Line 4.")


def test_nemo_offsets_and_durations_are_cuts(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    rows: list[dict[str, object]] = [
        {
            "audio_filepath": str(project / "corpus" / name),
            "offset": 0.05,
            "duration": 0.1,
            "text": "x",
            "speaker": "bert",
        }
        for name in names
    ]
    del rows[0]["offset"]
    path = corpora.json_lines(project / "corpus" / "manifest_train.json", rows)
    done = run("import", path, *RULE, "--language", "en")
    assert done.code == 0, done.told
    assert "format nemo" in done.out
    found = imported()
    assert [(row.start_s, row.end_s, row.speaker_id) for row in found[:2]] == [
        (None, None, "bert"),
        (0.05, 0.15, "bert"),
    ]


@pytest.mark.parametrize("form", ["supervisions", "cuts"])
def test_lhotse_supervisions_are_rows(project: Path, run: Run, form: str) -> None:
    folder = project / "corpus"
    names = corpora.audio(folder)
    recordings = [
        {
            "id": name.removesuffix(".wav"),
            "sources": [{"type": "file", "channels": [0], "source": str(folder / name)}],
            **{"sampling_rate": 8000, "num_samples": 1600, "duration": 0.2},
        }
        for name in names
    ]
    said = [
        {
            "id": f"{one['id']}-{at}",
            "recording_id": one["id"],
            "start": 0.1 * at,
            "duration": 0.1,
            "channel": 0,
        }
        | {"text": f"{at}", "speaker": "anna", "language": "English"}
        for one in recordings
        for at in range(2)
    ]
    if form == "supervisions":
        held = {"c_recordings_train.jsonl.gz": recordings, "c_supervisions_train.jsonl.gz": said}
    else:
        cuts = [
            {"id": f"cut-{at}", "start": one["start"], "duration": 0.1, "channel": 0, "type": "MonoCut"}
            | {"supervisions": [{**one, "start": 0.0}], "recording": recordings[at // 2]}
            for at, one in enumerate(said)
        ]
        held = {"c_cuts_train.jsonl.gz": cuts}
    for name, rows in held.items():
        with gzip.open(folder / name, "wt") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
    path = folder if form == "cuts" else folder / "c_supervisions_train.jsonl.gz"
    done = run("import", path, "--name", "lhotse")
    assert done.code == 0, done.told
    found = imported()
    assert [(row.audio, row.start_s, row.end_s, row.text) for row in found[2:4]] == [
        ("talk01_002.wav", 0.0, 0.1, "0"),
        ("talk01_002.wav", 0.1, 0.2, "1"),
    ]
    assert (found[0].language, found[0].recording_id, found[0].channel) == ("en", "talk01_001", None)
    # a recording for each file, although their names share beginnings
    assert (
        "every file is a recording of its own, as the manifest says" in done.out
        and "4 recordings" in done.out
    )


def test_lhotse_supervisions_without_recordings_say_which_file_is_missing(project: Path, run: Run) -> None:
    row = {"id": "a", "recording_id": "r", "start": 0, "duration": 1, "text": "x"}
    corpora.json_lines(project / "supervisions.jsonl", [row])
    assert "Put recordings.jsonl.gz into the same folder" in run("import", "supervisions.jsonl").err


# --- paths and encodings ---------------------------------------------------------------------------------------------


WRITTEN = {
    "no extension": (lambda path: path.removesuffix(".wav"), "an extension that is not the file's"),
    "another extension": (lambda path: path.replace(".wav", ".mp3"), "an extension that is not the file's"),
    "blanks": (lambda path: f" {path} ", "blanks or quotes around them"),
    "another machine": (lambda path: f"/home/karen/voice/wavs/{path}", "folders of another machine"),
    "a trainer's folder": (lambda path: f"data/voice/wavs/{path}", "folders of another machine"),
    "Windows": (lambda path: f"D:\\voice\\wavs\\{path}", "folders of another machine"),
    "Windows, relative": (lambda path: f"wavs\\{path}", "backslashes;"),
    "a tab for \\t": (lambda path: f"wavs\t{path[1:]}", "backslashes that were read as escapes"),
    "a drive and escapes": (
        lambda path: f"D:\voice\\wavs\t{path[1:]}",
        "backslashes that were read as escapes",
    ),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_files_are_found_where_paths_are_written_otherwise_and_it_is_said(
    project: Path, run: Run, what: str
) -> None:
    change, told = WRITTEN[what]
    names = corpora.audio(project / "corpus" / "wavs")
    rows: list[dict[str, object]] = [{"audio": change(name), "text": "x"} for name in names]
    rows[0]["audio"] = f"wavs/{names[0]}"
    path = corpora.json_lines(project / "corpus" / "train.jsonl", rows)
    original = path.read_bytes()
    root = (
        ("--audio-root", project / "corpus" / "wavs")
        if what in ("no extension", "another extension", "blanks")
        else ()
    )
    if root:
        rows[0]["audio"] = names[0]
        original = corpora.json_lines(path, rows).read_bytes()
    done = run("import", path, *root, *FILLED)
    assert done.code == 0, done.told
    assert f"11 paths had {told}" in done.out
    assert [row.audio.removeprefix("wavs/") for row in imported()] == names
    assert path.read_bytes() == original


def test_a_path_with_an_escape_that_leads_nowhere_is_told_of_as_it_was_meant(project: Path, run: Run) -> None:
    rows: list[dict[str, object]] = [{"audio": f"D:\talks\new_{at}.wav", "text": "x"} for at in range(9)]
    done = run("import", corpora.json_lines(project / "corpus" / "train.jsonl", rows), *FILLED)
    assert done.code == 1 and "D:\\talks\\new_0.wav is a path of another machine" in done.err, done.err
    assert "the folder D:\\talks lies here" in done.err


BROKEN = {
    "a line": '{"audio": "D:\\corpus\\talk01_001.wav", "text": "It rains."}\n',
    "one document": '[\n {"audio": "corpus\\may.wav", "text": "It rains."}\n]\n',
    "a list on a line": '[{"audio": "corpus\\may.wav", "text": "It rains."}]\n',
}


@pytest.mark.parametrize("form", BROKEN)
def test_json_with_single_backslashes_is_named_as_such_and_not_taken_for_a_table(
    project: Path, run: Run, form: str
) -> None:
    corpora.audio(project / "corpus")
    path = project / "corpus" / "m.json"
    path.write_text(BROKEN[form])
    done = run("import", path, *FILLED)
    assert done.code == 1 and "begins like JSON and is none: Invalid \\escape" in done.err, done.err
    assert "a backslash is written twice in JSON" in done.err


def test_lines_with_single_backslashes_among_good_ones_say_what_to_do(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    path = corpora.json_lines(
        project / "corpus" / "train.jsonl", [{"audio": name, "text": "It rains."} for name in names]
    )
    path.write_text(path.read_text() + '{"audio": "talk01_001.wav", "text": "In C:\\data"}\n')
    done = run("import", path, *FILLED)
    assert done.code == 0 and "line 13: not_json" in done.out and "written twice in JSON" in done.out


def test_texts_that_lost_a_backslash_to_an_escape_are_told_of(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    rows: list[dict[str, object]] = [{"audio": name, "text": "Look into C:\temp\\new now."} for name in names]
    done = run("import", corpora.json_lines(project / "corpus" / "train.jsonl", rows), *FILLED)
    assert done.code == 0 and "12 texts have a tab or a line feed" in done.out, done.told
    assert "where C:\\temp\\new was meant" in done.out


def test_two_paths_are_never_one_file(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    rows: list[dict[str, object]] = [
        {"audio": f"/elsewhere/{speaker}/{name}", "text": speaker}
        for name in names
        for speaker in ("anna", "bert")
    ]
    done = run("import", corpora.json_lines(project / "corpus" / "train.jsonl", rows), *FILLED)
    told = "/elsewhere/anna/talk01_001.wav and /elsewhere/bert/talk01_001.wav are two files in the manifest"
    assert done.code == 1 and told in done.err and "--audio-root DIR" in done.err


def test_links_into_another_disk_are_followed_once_by_import(project: Path, run: Run, tmp_path: Path) -> None:
    names = corpora.audio(tmp_path / "disk" / "wavs")
    (project / "corpus").mkdir()
    (project / "corpus" / "wavs").symlink_to(tmp_path / "disk" / "wavs")
    rows: list[dict[str, object]] = [{"audio": f"wavs/{name}", "text": "x"} for name in names]
    done = run("import", corpora.json_lines(project / "corpus" / "train.jsonl", rows), *FILLED)
    assert done.code == 0, done.told
    assert "12 paths had links to other folders" in done.out
    assert params.load().ingest.audio_root == str(tmp_path / "disk" / "wavs")
    assert [row.audio for row in imported()] == names


def test_a_manifest_of_windows_is_read_in_the_encoding_that_is_offered(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    path = project / "corpus" / "list.csv"
    path.write_bytes(
        "".join(f"{name},Grüße, alle zwölf\r\n" for name in ["audio", *names])
        .replace("audio,Grüße, alle zwölf", "audio,text,note")
        .encode("cp1252")
    )
    refused = run("import", path, *FILLED)
    assert refused.code == 1 and "not_utf8" in refused.err
    path.write_bytes(path.read_bytes() + b"talk01_001.wav,plain,x\n")
    told = run("import", path, *FILLED)
    assert (
        told.code == 0
        and "12 of them are not UTF-8, the first on line 2." in told.out
        and "--encoding cp1252 makes of it: talk01_001.wav,Grüße" in told.out
    )
    done = run("import", path, *FILLED, "--encoding", "cp1252")
    assert done.code == 0, done.told
    assert imported()[0].text == "Grüße" and params.load().ingest.manifest == "data/list/manifest.jsonl"
    assert "is no such encoding" in run("import", path, *FILLED, "--encoding", "dos").err


@pytest.mark.parametrize("ending", ["m4a", "webm"])
def test_files_that_are_not_read_are_told_in_one_line_what_to_do(
    project: Path, run: Run, ending: str
) -> None:
    names = corpora.audio(project / "corpus")
    (project / "corpus" / names[0]).rename(project / "corpus" / f"talk01_001.{ending}")
    names[0] = f"talk01_001.{ending}"
    path = corpora.json_lines(project / "corpus" / "t.jsonl", [{"audio": one, "text": "x"} for one in names])
    done = run("import", path, *FILLED)
    assert done.code == 0 and "1 rows whose audio is unsupported_type" in done.out
    assert f'for f in *.{ending}; do ffmpeg -i "$f" "${{f%.*}}.flac"; done' in done.out


def test_oga_is_ogg(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    for name in names:
        (project / "corpus" / name).rename(project / "corpus" / name.replace(".wav", ".oga"))
    rows: list[dict[str, object]] = [{"audio": one.replace(".wav", ".oga"), "text": "x"} for one in names]
    assert run("import", corpora.json_lines(project / "corpus" / "t.jsonl", rows), *FILLED).code == 0
    assert len(imported()) == 12


def test_folders_that_are_languages_are_no_recordings(project: Path, run: Run) -> None:
    rows: list[dict[str, object]] = []
    for language in ("en", "fr", "it"):
        for name in ("yes", "no", "one", "two"):
            corpora.tone(project / "corpus" / language / f"{name}.wav", hz=200 + len(rows))
            rows.append({"audio": f"{language}/{name}.wav", "text": name, "language": language})
    path = corpora.json_lines(project / "corpus" / "m.jsonl", rows)
    done = run("import", path, "--speaker", "anna")
    assert done.code == 1 and "3 recordings" not in done.err
    assert "Only where every file is a take of its own: --recording-from '(.+)'" in done.err


def test_import_names_a_beginning_before_the_pipeline_runs(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    prompt = "You are a helpful assistant.<|endofprompt|>"
    lines: list[dict[str, object]] = [
        {"audio": name, "text": f"{prompt}{at}, {corpora.text(at)}"} for at, name in enumerate(names)
    ]
    path = corpora.json_lines(project / "corpus" / "train.jsonl", lines)
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert f"Warning: 12 of 12 texts begin with '{prompt}'" in done.out


def test_import_names_markup_by_its_kind(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    texts = [
        f"Speaker 0: {corpora.text(at)} {at}" if at < 4 else f"<|0.00|>{corpora.text(at)}<|2.40|>"
        for at in range(12)
    ]
    lines: list[dict[str, object]] = [
        {"audio": name, "text": text} for name, text in zip(names, texts, strict=True)
    ]
    done = run("import", corpora.json_lines(project / "corpus" / "train.jsonl", lines), *FILLED)
    assert "Warning: 8 texts hold a token, for example '<|0.00|>', which nobody says." in done.out
    assert "Warning: 4 texts hold a speaker label, for example 'Speaker 0:', which nobody says." in done.out


@pytest.mark.parametrize("other", ["image", "prompt_audio"])
def test_of_several_columns_with_bytes_the_one_called_audio_is_read(
    project: Path, run: Run, other: str
) -> None:
    folder = parquet(project / "corpus")
    path = folder / "data" / "train-00000-of-00001.parquet"
    table = pyarrow.parquet.read_table(path)
    strange = pyarrow.array([{"bytes": b"\x89PNG", "path": f"{at}.png"} for at in range(len(table))])
    pyarrow.parquet.write_table(table.add_column(0, other, strange), path)
    done = run("import", folder, "--name", "hf", *RULE, "--language", "en")
    assert done.code == 0, done.told
    assert imported()[0].audio == "talk01_001.wav"
    names = ["first", *(name for name in table.column_names if name != "audio"), "second"]
    both = table.rename_columns([{"audio": "second"}.get(name, name) for name in table.column_names])
    pyarrow.parquet.write_table(both.add_column(0, "first", strange).select(names), path)
    asked = run("import", folder, "--name", "hf", *RULE, "--language", "en")
    assert asked.code == 1 and "first, second" in asked.err and "audio" in asked.err


def test_bytes_without_a_name_are_audio_where_the_column_says_so(project: Path, run: Run) -> None:
    folder = parquet(
        project / "corpus", audio=lambda row: row["audio"]["bytes"], id=lambda row: row["audio"]["path"]
    )
    done = run("import", folder, "--name", "hf", "--recording-from", "(.+)", "--language", "en")
    assert done.code == 0, done.told
    assert imported()[0].audio == "00000001.wav" and imported()[0].audio_problem is None


ON_DISK = {
    "another Unicode form": ("M\u00fcller_{}", lambda name: unicodedata.normalize("NFD", name), "another Unicode form"),
    "capitals": ("{}", lambda name: name.replace(".wav", ".WAV"), "an extension that is not the file's"),
    "escapes": ("my {}", lambda name: name, "escapes of an address"),
    "an address of a file": ("{}", lambda name: name, "escapes of an address"),
}  # fmt: skip


@pytest.mark.parametrize("what", ON_DISK)
def test_files_are_found_by_other_forms_of_their_names(project: Path, run: Run, what: str) -> None:
    pattern, on_disk, told = ON_DISK[what]
    names = corpora.audio(project / "corpus", "wavs/" + pattern.format("talk{recording:02d}_{clip:03d}.wav"))
    for name in names:
        (project / "corpus" / name).rename(project / "corpus" / on_disk(name))
    written = {
        "escapes": lambda name: name.replace(" ", "%20"),
        "an address of a file": lambda name: (project / "corpus" / name).as_uri(),
    }.get(what, lambda name: name)
    path = corpora.json_lines(
        project / "corpus" / "train.jsonl", [{"audio": written(name), "text": "x"} for name in names]
    )
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert f"12 paths had {told}" in done.out
    assert sorted(row.audio for row in imported()) == sorted(map(on_disk, names))


def test_a_language_that_is_not_known_is_named_with_its_rows(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus")
    rows: list[dict[str, object]] = [
        {"audio": name, "text": "x", "language": "Allemand" if at < 3 else "German (Germany)"}
        for at, name in enumerate(names)
    ]
    done = run(
        "import", corpora.json_lines(project / "corpus" / "train.jsonl", rows), *RULE, "--speaker", "anna"
    )
    assert done.code == 0 and "3 rows are in 'Allemand'" in done.out and "--language" not in done.err
    assert {row.language for row in imported()} == {"Allemand", "de"}
