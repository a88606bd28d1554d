"""Lists as other hands write them: who stands first, signs between the columns, quotes, comments, headers that come again."""

from pathlib import Path

import pytest

from voicelathe.data.manifest import jsonl, lists
from voicelathe.data.sources.rows import Line

TEXTS = [f"Number {at} is on the table, as you see." for at in range(12)]


def told(lines: list[str]) -> lists.ListColumns | None:
    return lists.layout(lines) or lists.separated(lines)


def read(folder: Path, lines: list[str]) -> list[Line]:
    path = folder / "list.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    columns = told(lines)
    assert columns is not None
    return list(lists.rows(path, columns))


def test_people_who_stand_before_the_paths_are_speakers() -> None:
    found = told([f"{('karen', 'mark')[at % 2]}|wavs/{at}.wav|{text}" for at, text in enumerate(TEXTS)])
    assert found is not None and found.columns == ("speaker_id", "audio", "text")
    ids = told([f"k{at}|wavs/{at}.wav|{text}" for at, text in enumerate(TEXTS)])
    assert ids is not None and ids.columns == ("id", "audio", "text")


def test_an_empty_column_is_none(tmp_path: Path) -> None:
    lines = [f"wavs/{at}.wav|{text}|" for at, text in enumerate(TEXTS)]
    assert read(tmp_path, lines)[0] == {"audio": "wavs/0.wav", "text": TEXTS[0]}


@pytest.mark.parametrize("sign", ["\t", ";", ","])
def test_paths_and_texts_need_no_header_whatever_stands_between_them(tmp_path: Path, sign: str) -> None:
    lines = [f'wavs/{at}.wav{sign}"{text}"' for at, text in enumerate(TEXTS)]
    if sign == "\t":
        lines = [line.replace('"', "") for line in lines]
    assert read(tmp_path, lines)[3] == {"audio": "wavs/3.wav", "text": TEXTS[3]}


def test_a_quoted_column_may_hold_the_sign_and_quotes(tmp_path: Path) -> None:
    lines = [f"wavs/{at}.wav|{text}" for at, text in enumerate(TEXTS)]
    lines[3], lines[4] = 'wavs/3.wav|"Left | right"', 'wavs/4.wav|"He said ""go"" and went."'
    lines[5] = 'wavs/5.wav|"Go," he said, "now."'
    found = [row["text"] for row in read(tmp_path, lines)[3:6] if isinstance(row, dict)]
    assert found == ["Left | right", 'He said "go" and went.', '"Go," he said, "now."']


def test_comments_and_a_header_that_comes_again_are_no_rows_and_nothing_else_is_lost(tmp_path: Path) -> None:
    lines = [f"wavs/{at}.wav|{text}" for at, text in enumerate(TEXTS)]
    lines = ["# made by hand", "audio_file|text", *lines[:6], "audio_file|text", *lines[6:], "// end"]
    found = read(tmp_path, lines)
    assert sum(isinstance(row, dict) for row in found) == 12
    assert [row for row in found if isinstance(row, bytes)] == [
        b"# made by hand",
        b"audio_file|text",
        b"// end",
    ]
    with pytest.raises(jsonl.LineProblem, match="a header once more"):
        jsonl.parse(b"audio_file|text")
