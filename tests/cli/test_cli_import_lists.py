"""`voicelathe import` of lists that other trainers read, of names that slicers write, and of what fails half way."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import corpora
from voicelathe.config import params
from voicelathe.data.manifest import ingest, lists, recording_rules
from voicelathe.errors import ManifestError
from voicelathe.records import ManifestRow

RULE = r"(talk\d+)_"
FILLED = ("--speaker", "anna", "--language", "en", "--recording-from", RULE)


def listed(folder: Path, line: str, header: str = "", where: str = "", name: str = "list.csv") -> Path:
    """A list over the twelve tones: `line` is formatted with path, id, text and speaker."""
    made = [header] if header else []
    for at, audio in enumerate(corpora.audio(folder, where + "talk{recording:02d}_{clip:03d}.wav")):
        held = {
            "path": audio,
            "id": Path(audio).stem,
            "text": f"{corpora.text(at)} {at} of them.",
            "speaker": ("karen", "mark")[at % 2],
        }
        made.append(line.format(**held))
    (folder / name).write_text("".join(f"{one}\n" for one in made))
    return folder / name


def imported() -> list[ManifestRow]:
    read = ingest.read_pinned(params.load().ingest)
    assert read.rejected == []
    return read.rows


LISTS = {
    "Piper": ("{id}|{speaker}|{text}", "", "wavs/"),
    "VITS": ("{path}|{text}|{speaker}", "", "wavs/"),
    "StyleTTS2": ("{path}|{text}|{speaker}", "", ""),
    "XTTS": ("{path}|{text}|{speaker}", "audio_file|text|speaker_name", "wavs/"),
    "GPT-SoVITS": ("{path}|{speaker}|EN|{text}", "", "sliced/"),
    "by id, text first": ("{id}|{text}|{speaker}", "", "wavs/"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_keeps_its_speakers_whatever_the_order_of_its_columns(
    project: Path, run: Run, name: str
) -> None:
    line, header, where = LISTS[name]
    done = run("import", listed(project / "corpus", line, header, where), *FILLED)
    assert done.code == 0, done.told
    assert "12 rows of 4 recordings, 12 audio files, speakers karen, mark." in done.out
    found = imported()
    assert [row.speaker_id for row in found] == ["karen", "mark"] * 6
    assert found[0].text == f"{corpora.text(0)} 0 of them." and found[0].language == "en"


def test_a_header_is_a_header_and_a_path_is_a_path(project: Path, run: Run) -> None:
    path = listed(project / "corpus", "{path}|{text}", "audio_file|text", "wavs/")
    assert run("import", path, *FILLED).code == 0
    assert [row.audio for row in imported()][:2] == ["wavs/talk01_001.wav", "wavs/talk01_002.wav"]


def test_paths_of_windows_are_found_by_their_ends(project: Path, run: Run) -> None:
    folder = project / "corpus"
    path = listed(folder, "{path}|{speaker}|EN|{text}", "", "wavs/", "sovits.list")
    path.write_text(path.read_text().replace("wavs/", "D:\\voice\\wavs\\"))
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert imported()[0].audio == "wavs/talk01_001.wav"
    (folder / "wavs").rename(project / "elsewhere")
    gone = run("import", path, *FILLED)
    assert gone.code == 1 and r"D:\voice\wavs" in gone.err and "--audio-root DIR" in gone.err


def test_columns_that_cannot_be_told_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"Give it a header, for example: audio\|text\|speaker"):
        lists.layout([f"talk_{at}|anna {at % 2}|bert {at % 3}" for at in range(12)])


def test_ljspeech_is_still_ljspeech(tmp_path: Path) -> None:
    for lines in (["a|One word.", "b|Two words."], ["a|One 1.|One one.", "b|Two 2.|Two two."]):
        found = lists.layout(lines)
        assert found is not None and found.is_ljspeech


@pytest.mark.parametrize(
    "name",
    [
        "ep{0:02d}.wav_{1:010d}_{2:010d}.wav",
        "ep{0:02d}_{1}.25_{2}.50.wav",
        "ep{0:02d}_chunk_{1}.wav",
        "ep{0:02d}-seg{1}.flac",
        "{1:04d}_ep{0:02d}.wav",
        "ep{0:02d} ({1}).wav",
        "ep{0:02d}_[{1}ms-{2}ms].wav",
        "ep{0:02d}_00.01.{1:02d}.300-00.01.{2:02d}.900.wav",
    ],
)
def test_names_of_the_usual_slicers_give_their_recordings(name: str) -> None:
    paths = [
        "clips/" + name.format(episode, 100 * at, 100 * at + 80) for episode in (1, 2, 3) for at in range(4)
    ]
    rule = recording_rules.suggest(paths)
    assert rule is not None
    assert sorted(recording_rules.grouped(paths, rule).values()) == [4, 4, 4]


def test_a_rule_that_makes_every_file_a_recording_is_warned_of(project: Path, run: Run) -> None:
    path = corpora.voxcpm(project / "corpus")
    done = run("import", path, "--speaker", "anna", "--language", "en", "--recording-from", "(.+)")
    assert done.code == 0
    assert "makes every file a recording of its own" in done.out and "finds 4 recordings" in done.out


def test_paths_with_dots_are_followed_from_the_folder_of_the_manifest(project: Path, run: Run) -> None:
    names = corpora.audio(project / "corpus" / "audio")
    rows = [{"audio": f"../audio/{name}", "text": corpora.text(at)} for at, name in enumerate(names)]
    path = corpora.json_lines(project / "corpus" / "lists" / "second.jsonl", rows)
    done = run("import", path, "--name", "c", *FILLED)
    assert done.code == 0, done.told
    assert [row.audio for row in imported()] == names
    assert params.load().ingest.audio_root == "corpus/audio"


@pytest.mark.parametrize("how", ["fails", "asks"])
def test_an_import_that_does_not_end_well_changes_nothing(project: Path, run: Run, how: str) -> None:
    first = corpora.voxcpm(project / "corpus")
    assert run("import", first, "--name", "c", *FILLED).code == 0
    before = {path: path.read_bytes() for path in (project / "data").rglob("*") if path.is_file()}
    settings = Path("params.yaml").read_bytes()
    rows = [
        {"audio": "nowhere.wav" if how == "fails" else name, "text": "x"}
        for name in corpora.audio(project / "other")
    ]
    second = corpora.json_lines(project / "other" / "second.jsonl", rows)
    options = FILLED if how == "fails" else FILLED[:4]
    assert run("import", second, "--name", "c", *options).code == 1
    assert run("import", second, "--name", "new", *options).code == 1
    assert {path: path.read_bytes() for path in (project / "data").rglob("*") if path.is_file()} == before
    assert Path("params.yaml").read_bytes() == settings and not (project / "data" / "new").exists()


HEADERS = {
    "other words": ("wav_path|sentence", "{path}|{text}"),
    "another language": ("Datei|Inhalt", "{path}|{text}"),
    "an unknown column": ("wav_file|speaker_name|text|emotion", "{path}|{speaker}|{text}|happy"),
    "capitals": ("Audio File|Speaker|Text", "{path}|{speaker}|{text}"),
    "ids": ("id|text", "{id}|{text}"),
    "ids by another name": ("file|transcript|normalized", "{id}|{text}|{text}"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_is_never_a_row_whatever_its_words(project: Path, run: Run, what: str) -> None:
    header, line = HEADERS[what]
    done = run("import", listed(project / "corpus", line, header, "wavs/"), *FILLED)
    assert done.code == 0, done.told
    assert "No line was rejected." in done.out
    found = imported()
    assert [row.audio for row in found][:2] == ["wavs/talk01_001.wav", "wavs/talk01_002.wav"]
    assert found[0].text == f"{corpora.text(0)} 0 of them."
    assert [row.speaker_id for row in found][:2] == (["karen", "mark"] if "speaker" in line else ["anna"] * 2)
    if what == "an unknown column":
        assert found[0].extra == {"emotion": "happy"} and "kept but not read: emotion" in done.out


def test_a_column_of_an_unknown_name_that_may_be_the_speaker_is_asked_for(project: Path, run: Run) -> None:
    path = listed(project / "corpus", "{path}|{speaker}|{text}", "Datei|Sprecher|Inhalt", "wavs/")
    asked = run("import", path, *FILLED)
    assert asked.code == 1 and "--map Sprecher=speaker_id" in asked.err and "--map Sprecher=" in asked.err
    done = run("import", path, *FILLED, "--map", "Sprecher=speaker_id")
    assert done.code == 0, done.told
    assert [row.speaker_id for row in imported()][:2] == ["karen", "mark"]
    assert run("import", path, *FILLED, "--map", "Sprecher=").code == 0
    assert imported()[0].speaker_id == "anna" and imported()[0].extra == {"Sprecher": "karen"}


@pytest.mark.parametrize("line", ["{path}|{text}", "{id}|{speaker}|{text}", "{id}|{text}"])
@pytest.mark.parametrize("broken", ["garbage", "a|b|c|d|e", ""])
def test_one_line_of_other_columns_costs_that_line(project: Path, run: Run, line: str, broken: str) -> None:
    path = listed(project / "corpus", line, "", "wavs/")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], broken, *lines[5:]]))
    done = run("import", path, *FILLED)
    assert done.code == 0, done.told
    assert "12 rows of 4 recordings" in done.out and "1 lines are no rows" in done.out


TABLES = {
    "capitals": ("Audio,Text", "{path},{text}", ()),
    "blanks": ("File Name;Transcription", "{path};{text}", ()),
    "another language": ("Datei;Inhalt", "{path};{text}", ("--map", "Datei=audio", "--map", "Inhalt=text")),
    "another language, tabs": ("ファイル\tテキスト", "{path}\t{text}", ("--map", "ファイル=audio", "--map", "テキスト=text")),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLES)
def test_a_table_is_read_by_the_names_of_its_columns_or_those_that_are_given(
    project: Path, run: Run, what: str
) -> None:
    header, line, options = TABLES[what]
    path = listed(project / "corpus", line, header, "wavs/")
    if options:
        asked = run("import", path, *FILLED)
        assert asked.code == 1 and "--map THEIRS=audio" in asked.err
    done = run("import", path, *FILLED, *options)
    assert done.code == 0, done.told
    assert [row.audio for row in imported()][:1] == ["wavs/talk01_001.wav"]
    assert imported()[11].text == f"{corpora.text(11)} 11 of them."


SEPARATORS = {
    "semicolons": ("sep=;\n", "audio;text", "{path};{text}"),
    "commas, a mark and CRLF": ("\ufeffsep=,\r\n", "audio,text", '{path},"{text}"'),
    "quoted": ('"sep=;"\n', "Audio;Text", '{path};"{text}"'),
    "saved again, with empty cells": ("SEP=;;;\n", "audio;text", "{path};{text}"),
    "tabs": ("sep=\t\n", "audio\ttext", "{path}\t{text}"),
    "no header": ("sep=;\n", "", "{path};{text}"),
    "bars, no header": ("sep=|\n", "", "{path}|{text}"),
}


@pytest.mark.parametrize("name", SEPARATORS)
def test_the_line_in_which_excel_names_the_separator_is_no_line_of_the_table(
    project: Path, run: Run, name: str
) -> None:
    first, header, line = SEPARATORS[name]
    path = listed(project / "corpus", line, header, name="table.csv")
    path.write_bytes((first + path.read_text()).encode())
    done = run("import", path, "--name", "c", *FILLED)
    assert done.code == 0, done.told
    found = imported()
    assert [row.audio for row in found][:2] == ["talk01_001.wav", "talk01_002.wav"] and len(found) == 12
    assert found[0].text == f"{corpora.text(0)} 0 of them."


def test_the_copy_of_a_table_keeps_the_numbers_of_its_lines(project: Path, run: Run) -> None:
    path = listed(project / "corpus", '{path},"{text}"', "audio,text", name="table.csv")
    path.write_text("sep=,\n" + path.read_text())
    done = run("import", path, "--name", "c", *FILLED)
    assert done.code == 0, done.told
    assert "line 1 is 'sep=,', as Excel writes it" in done.out
    assert imported()[0].line == 3 and Path("data/c/manifest.csv").read_text() == path.read_text()
