"""Raw manifests of every format we read, as one stream of rows and of lines that are no rows.

Nothing is judged or corrected here: an empty text is a row, and the audit will say so. A line is either one RawRow or one
RejectedLine, so rows and rejected lines always add up to the lines of the file.
"""

import csv
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe.config import schema
from voicelathe.data.manifest import jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.data.text import charsets, languages
from voicelathe.digest import canonical_json
from voicelathe.errors import ManifestError
from voicelathe.records import RejectedLine
from voicelathe.redaction import labelled, scrub

# Names under which other tools keep what we call audio and text (Hugging Face audiofolder).
ALIASES = {"file_name": "audio", "transcription": "text"}
KNOWN = (
    *("id", "audio", "start_s", "end_s", "text", "recording_id"),
    *("speaker_id", "language", "sample_rate_hz", "ref_audio", "channel"),
)
CHANNELS = {"left": 0, "l": 0, "right": 1, "r": 1}
csv.field_size_limit(jsonl.MAX_LINE_BYTES)


@dataclass(frozen=True)
class RawRow:
    """One row of a raw manifest; `recording_id` may come from the path and the last two from the settings."""

    line: int
    audio: str
    start_s: float | None
    end_s: float | None
    text: str | None
    sample_rate_hz: int | None
    ref_audio: str | None
    user_id: str | None
    extra: dict[str, str]
    recording_id: str
    speaker_id: str
    language: str
    channel: int | None = None


Read = RawRow | RejectedLine


def read(ingest: schema.Ingest) -> tuple[list[Read], list[str]]:
    """Every line of the manifest, in order, and notes on what was stripped from the file.

    Raises ManifestError when the file as a whole cannot be used, for example because no row says which recording it is from.
    """
    lines = jsonl.Lines(Path(ingest.manifest))
    found = [_row(number, data, fields, ingest) for number, data, fields in _FIELDS[ingest.format](lines)]
    _require_rows(found, ingest)
    return found, lines.notes


def fields(manifest: Path, format: str) -> Iterator["Fields"]:
    """The lines of a manifest with their fields by our names, as they are written; nothing is required of them."""
    return _FIELDS[format](jsonl.Lines(manifest))


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


_FIELDS: dict[str, Callable[[jsonl.Lines], Iterator[Fields]]] = {
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


def _row(line: int, data: bytes, fields: Mapping[str, Any] | LineProblem, ingest: schema.Ingest) -> Read:
    try:
        if isinstance(fields, LineProblem):
            raise fields
        return _typed(line, fields, ingest)
    except LineProblem as problem:
        return RejectedLine(line, problem.code, scrub(problem.detail), jsonl.excerpt(data))


def _typed(line: int, fields: Mapping[str, Any], ingest: schema.Ingest) -> RawRow:
    audio = _text(fields, "audio")
    if not audio:
        raise LineProblem("missing_field", "no audio")
    if ingest.format == "qwen3-tts" and not fields.get("ref_audio"):
        raise LineProblem("missing_field", "no ref_audio, which every row of a Qwen3-TTS manifest has")
    return RawRow(
        line=line,
        audio=_path(audio),
        start_s=_number(fields, "start_s"),
        end_s=_number(fields, "end_s"),
        text=_text(fields, "text"),
        sample_rate_hz=_rate(fields),
        ref_audio=_path(ref_audio) if (ref_audio := _text(fields, "ref_audio")) else ref_audio,
        user_id=_name(fields, "id"),
        extra={
            name: labelled(name, _as_text(value))
            for name, value in sorted(fields.items())
            if name not in KNOWN
        },
        recording_id=_required(
            "recording_id", _name(fields, "recording_id") or _recording(audio, ingest.recording_from)
        ),
        speaker_id=_required("speaker_id", _name(fields, "speaker_id") or ingest.speaker_id),
        language=_required(
            "language", languages.canonical(_name(fields, "language") or ingest.language or "")
        ),
        channel=_channel(fields),
    )


def _path(text: str) -> str:
    """An address is no path and never read, but it is quoted on pages: without its password and signature."""
    return scrub(text) if "://" in text else text


def _required(name: str, value: str | None) -> str:
    if not value:
        raise LineProblem("missing_field", f"no {name}")
    return value


def _recording(audio: str, pattern: str | None) -> str | None:
    """Found in the path as it looks: file names of macOS have their letters in parts."""
    found = re.search(_nfc(pattern), _nfc(audio)) if pattern is not None else None
    return found.group(1) if found else None


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise LineProblem("wrong_type", f"{name} is {type(value).__name__}, not text")


def _name(fields: Mapping[str, Any], name: str) -> str | None:
    """An identifier; many tools write it as a number."""
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(fields, name)


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    """A finite number, or the text of one as a CSV has it."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        number = (
            float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
        )
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise LineProblem("wrong_type", f"{name} is {str(value)[:40]!r}, not a finite number")
    return number


def _rate(fields: Mapping[str, Any]) -> int | None:
    number = _number(fields, "sample_rate_hz")
    if number is not None and not (number.is_integer() and 0 < number < 2**31):
        raise LineProblem(
            "wrong_type", f"sample_rate_hz is {number:g}, not a whole number of samples a second"
        )
    return None if number is None else int(number)


def _channel(fields: Mapping[str, Any]) -> int | None:
    """Counted from 0, as NeMo, lhotse and diarisers do; the words that editors use are known, too."""
    value = fields.get("channel")
    if isinstance(value, str) and value.strip().lower() in CHANNELS:
        return CHANNELS[value.strip().lower()]
    number = _number(fields, "channel")
    if number is not None and not (number.is_integer() and 0 <= number < 2**15):
        raise LineProblem("wrong_type", f"channel is {number:g}; channels are counted from 0")
    return None if number is None else int(number)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _require_rows(found: list[Read], ingest: schema.Ingest) -> None:
    """Stop when the whole file lacks what every row needs; one row without it is merely a rejected line."""
    if any(isinstance(one, RawRow) for one in found):
        return
    where = ingest.manifest
    if not found:
        raise ManifestError(f"{where} is empty. Set ingest.manifest in params.yaml to your manifest.")
    lines = [one for one in found if isinstance(one, RejectedLine)]
    if strange := [one.line for one in lines if one.problem == "not_utf8"]:
        raise ManifestError(
            f"{where}: none of its {len(lines)} lines is a row, and {len(strange)} are not UTF-8, the first of them line {strange[0]}: not_utf8. "
            f"{other_encoding(ingest, strange[0], ingest.language)}"
        )
    ((commonest, _),) = Counter(one.detail for one in lines).most_common(1)
    if commonest == "no recording_id":
        raise ManifestError(
            f"{where}: no row says which source recording it is from, and one recording per file is not assumed.\n"
            f"Add a column recording_id, or set ingest.recording_from to a regex with one group that captures the recording\n"
            f"from the audio path. The first lines:\n{_shown(lines)}"
        )
    for name in ("speaker_id", "language"):
        if commonest == f"no {name}":
            raise ManifestError(
                f"{where}: no row has a {name}. Add the column, or set ingest.{name} in params.yaml."
            )
    raise ManifestError(f"{where}: none of its {len(lines)} lines is a row. The first:\n{_shown(lines)}")


def other_encoding(ingest: schema.Ingest, line: int, language: str | None) -> str:
    """What a line would be in other encodings, with the option of `voicelathe import` for each."""
    data = next(data for number, data, _ in jsonl.Lines(Path(ingest.manifest)) if number == line)
    return charsets.offer(data, language)


def _shown(lines: list[RejectedLine]) -> str:
    return "\n".join(f"  line {one.line}: {one.problem}, {one.detail}: {one.excerpt}" for one in lines[:10])
