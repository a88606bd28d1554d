"""Tables with a header and tabs, semicolons or commas between columns; among them Common Voice, whose clips lie in clips/."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from voicelathe.data.manifest import jsonl, lists
from voicelathe.data.sources import naming
from voicelathe.data.sources.rows import Line

COMMON_VOICE = frozenset({"client_id", "path", "sentence"})
NAMES = {
    **dict.fromkeys(naming.AUDIO, "audio"),
    **dict.fromkeys(naming.TEXT[:4], "text"),
    **{"client_id": "speaker_id", "locale": "language"},
}
SEPARATORS = "\t;,"


def header(line: str, reading: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """What separates the columns of a table, and their names in it; None for a line that is no header with audio and text.

    `reading` are names that are read as ours.
    """
    for separator in SEPARATORS:
        cells = [cell.strip().strip('"') for cell in line.split(separator)]
        if len(cells) > 1 and {"audio", "text"} <= {reading.get(cell) or _ours(cell) for cell in cells}:
            return separator, cells
    return None


def _ours(name: str) -> str:
    return NAMES.get(naming.plain(name), name)


def is_common_voice(names: list[str]) -> bool:
    return set(names) >= COMMON_VOICE


def rows(manifest: Path, reading: Mapping[str, str]) -> Iterator[Line]:
    """A row a line behind the header."""
    names: list[str] = []
    separator = ""
    for _, data, whole in jsonl.Lines(manifest):
        try:
            line = jsonl.text_of(data) if whole else ""
        except jsonl.LineProblem:
            yield data
            continue
        if not names:
            separator, names = header(line, reading) or ("\t", line.split("\t"))
            continue
        cells = _cells(line, separator)
        if len(cells) != len(names):
            yield data
        else:
            yield _row(dict(zip(names, cells, strict=True)), of_common_voice=is_common_voice(names))


def _cells(line: str, separator: str) -> list[str]:
    """Between tabs only what has doubled quotation marks is quoted (Common Voice writes them as they are)."""
    if separator == "\t" and not any(map(lists.DOUBLED.fullmatch, line.split("\t"))):
        return line.split("\t")
    try:
        (cells,) = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        return []
    return cells


def _row(held: dict[str, str], *, of_common_voice: bool) -> Line:
    row: dict[str, object] = {}
    for theirs, cell in held.items():
        ours = _ours(theirs)
        if (cell.strip() or ours == "text") and ours not in row:
            row[ours] = cell.strip() if ours != "text" else cell
    if of_common_voice:
        name = str(row.get("audio", ""))
        if "/" not in name:
            row["audio"] = f"clips/{name}"
        row["recording_id"] = Path(name).stem  # each sentence is a take of its own
    return row
