"""Lines of a manifest of every format we read, with their fields by our names, as they are written; nothing is required of them."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe.data.manifest import jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.errors import ManifestError

csv.field_size_limit(jsonl.MAX_LINE_BYTES)


# Names under which other tools keep what we call audio and text (Hugging Face audiofolder).
ALIASES = {"file_name": "audio", "transcription": "text"}


Fields = tuple[int, bytes, Mapping[str, Any] | LineProblem]


def _json_lines(lines: jsonl.Lines) -> Iterator[Fields]:
    """VoiceLathe, VoxCPM and Qwen3-TTS: one JSON object a line, the same names for the same things."""
    for number, data, whole in lines:
        yield number, data, _tried(_json_object, data, whole)


def _json_object(data: bytes) -> dict[str, Any]:
    fields = jsonl.parse(data)
    for theirs, ours in ALIASES.items():
        if theirs in fields and ours in fields:
            raise LineProblem("duplicate_key", f"{theirs!r} and {ours!r} are two names of one field")
        if theirs in fields:
            fields[ours] = fields.pop(theirs)
    return fields


def _csv_rows(lines: jsonl.Lines) -> Iterator[Fields]:
    """A header, then one row a line: a quoted field that goes on in the next line would swallow it, so it is refused."""
    header: list[str] | None = None
    for number, data, whole in lines:
        cells = _tried(_cells, data, whole)
        if header is None:
            header = _header(cells, lines.path)
        elif isinstance(cells, LineProblem):
            yield number, data, cells
        elif len(cells) != len(header):
            yield (
                number,
                data,
                LineProblem("wrong_columns", f"{len(cells)} fields, the header names {len(header)}"),
            )
        else:
            yield (
                number,
                data,
                {name: cell for name, cell in zip(header, cells, strict=True) if cell or name == "text"},
            )


def _ljspeech_rows(lines: jsonl.Lines) -> Iterator[Fields]:
    """metadata.csv of LJSpeech: `id|text` or `id|text|normalised text`, no header, no quotes; audio is wavs/<id>.wav."""
    for number, data, whole in lines:
        text = _tried(jsonl.text_of, data, whole)
        if isinstance(text, LineProblem):
            yield number, data, text
            continue
        cells = text.split("|")
        if len(cells) not in (2, 3):
            yield number, data, LineProblem("wrong_columns", f"{len(cells)} fields between |, not 2 or 3")
        else:
            yield (
                number,
                data,
                {"id": cells[0], "audio": f"wavs/{cells[0]}.wav", "text": cells[-1] or cells[1]},
            )


READERS: dict[str, Callable[[jsonl.Lines], Iterator[Fields]]] = {
    "voicelathe": _json_lines,
    "voxcpm": _json_lines,
    "qwen3-tts": _json_lines,
    "csv": _csv_rows,
    "ljspeech": _ljspeech_rows,
}


def _tried(parse: Callable[[bytes], Any], data: bytes, whole: bool) -> Any:
    if not whole:
        return LineProblem("too_long", f"more than {jsonl.MAX_LINE_BYTES} bytes on one line")
    try:
        return parse(data)
    except LineProblem as problem:
        return problem


def _cells(data: bytes) -> list[str]:
    text = jsonl.text_of(data)
    try:
        (cells,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as problem:
        raise LineProblem("not_csv", f"{problem}; a row must be on one line") from None
    return cells


def _header(cells: Any, path: Path) -> list[str]:
    names = (
        [] if isinstance(cells, LineProblem) else [ALIASES.get(name.strip(), name.strip()) for name in cells]
    )
    if "audio" not in names or len(set(names)) < len(names):
        other = next((one for one in ";\t|" if len(names) == 1 and one in names[0]), None)
        hint = f" It separates columns with {other!r}. Save it with commas." if other else ""
        raise ManifestError(
            f"{path}:1 must name each column once, among them audio and text; it holds {names}.{hint}"
        )
    return names


def of(manifest: Path, format: str) -> Iterator[Fields]:
    """The lines of a manifest in this format."""
    return READERS[format](jsonl.Lines(manifest))
