"""`voicelathe import` of manifests and texts that are not UTF-8, or not all of them: the advice is followed here, and nothing good gets worse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import corpora
from voicelathe.config import params
from voicelathe.data.manifest import ingest

RULE = ("--recording-from", r"(talk\d+)_")
RUSSIAN = ("--speaker", "anna", "--language", "ru", *RULE)
GERMAN = ("--speaker", "anna", "--language", "de", *RULE)
TEXT = "Grüße an alle"
CYRILLIC = "Это предложение"


def written() -> list[str | None]:
    found = ingest.read_pinned(params.load().ingest)
    assert found.rejected == []
    return [row.text for row in found.rows]


def table(folder: Path, text: Callable[[int], bytes], name: str = "list.csv") -> Path:
    lines = [f"{one},".encode() + text(at) for at, one in enumerate(corpora.audio(folder))]
    (folder / name).write_bytes(b"".join(line + b"\n" for line in [b"audio,text", *lines]))
    return folder / name


def texts(folder: Path, text: Callable[[int], bytes]) -> Path:
    for at, one in enumerate(corpora.audio(folder, "wavs/talk{recording:02d}_{clip:03d}.wav")):
        (folder / one).with_suffix(".txt").write_bytes(text(at))
    return folder


def in_turns(at: int) -> bytes:
    return TEXT.encode(("utf-8", "cp1252")[at % 2])


def test_lines_that_are_utf8_stay_as_they_are_whatever_encoding_is_given_for_the_others(
    project: Path, run: Run
) -> None:
    path = table(project / "corpus", in_turns)
    told = run("import", path, *GERMAN)
    assert "--encoding cp1252" in told.out
    done = run("import", path, *GERMAN, "--encoding", "cp1252")
    assert done.code == 0, done.told
    assert written() == [TEXT] * 12
    assert (
        "6 lines of corpus/list.csv were UTF-8 already and stay as they are, the first on line 2" in done.out
    )


def test_an_encoding_is_used_for_the_manifest_in_a_folder_too(project: Path, run: Run) -> None:
    table(project / "corpus", lambda _: TEXT.encode("cp1252"))
    done = run("import", project / "corpus", *GERMAN, "--encoding", "cp1252")
    assert done.code == 0, done.told
    assert written() == [TEXT] * 12


@pytest.mark.parametrize("language", ["ru", "pl", "zh", "de"])
def test_the_encoding_that_is_offered_is_one_of_the_language(project: Path, run: Run, language: str) -> None:
    text, encoding = {
        "ru": (CYRILLIC, "cp1251"),
        "pl": ("Zażółć gęślą jaźń", "cp1250"),
        "zh": ("今天天气很好", "gb18030"),
        "de": (TEXT, "cp1252"),
    }[language]
    path = table(project / "corpus", lambda _: text.encode(encoding))
    filled = ("--speaker", "anna", "--language", language, *RULE)
    refused = run("import", path, *filled)
    assert refused.code == 1 and f"--encoding {encoding}" in refused.err and text in refused.err
    done = run("import", path, *filled, "--encoding", encoding)
    assert done.code == 0, done.told
    assert written() == [text] * 12


def test_a_manifest_in_utf16_says_with_which_option_it_is_read(project: Path, run: Run) -> None:
    path = project / "corpus" / "list.csv"
    lines = [f"{one},{TEXT}" for one in corpora.audio(project / "corpus")]
    path.write_bytes("\n".join(["audio,text", *lines]).encode("utf-16"))
    refused = run("import", project / "corpus", *GERMAN)
    assert refused.code == 1 and f"voicelathe import {path} --encoding utf-16" in refused.err
    done = run("import", path, *GERMAN, "--encoding", "utf-16")
    assert done.code == 0 and written() == [TEXT] * 12


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_text_files_are_read_in_what_they_are_and_never_all_alike(
    project: Path, run: Run, encoding: str
) -> None:
    folder = texts(project / "corpus", lambda at: TEXT.encode(("utf-8", encoding)[at % 2]))
    before = {one: one.read_bytes() for one in folder.rglob("*.txt")}
    done = run("import", folder, *GERMAN)
    if encoding == "cp1252":  # no mark says so
        assert (
            done.code == 1 and "6 of 12 texts are not UTF-8" in done.err and "--encoding cp1252" in done.err
        )
        assert "iconv" not in done.err and not list((project / "data").rglob("*"))
        done = run("import", folder, *GERMAN, "--encoding", "cp1252")
    assert done.code == 0, done.told
    assert written() == [TEXT] * 12
    assert {one: one.read_bytes() for one in folder.rglob("*.txt")} == before


def test_an_encoding_for_what_is_not_text_is_refused(project: Path, run: Run) -> None:
    folder = project / "corpus"
    lines = [f"{Path(one).stem} {one}" for one in corpora.audio(folder)]
    (folder / "wav.scp").write_text("\n".join(lines))
    refused = run("import", folder, *GERMAN, "--encoding", "cp1252")
    assert refused.code == 1 and "--encoding" in refused.err and "iconv" in refused.err
