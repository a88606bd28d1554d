"""Raw manifests of every format we read, as one stream of rows and of lines that are no rows.

Nothing is judged or corrected here: an empty text is a row, and the audit will say so. A line is either one RawRow or one
RejectedLine, so rows and rejected lines always add up to the lines of the file.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe.config import schema
from voicelathe.data.manifest import fields, jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.data.text import charsets, languages
from voicelathe.digest import canonical_json
from voicelathe.errors import ManifestError
from voicelathe.records import RejectedLine
from voicelathe.redaction import labelled, scrub

KNOWN = (
    *("id", "audio", "start_s", "end_s", "text", "recording_id"),
    *("speaker_id", "language", "sample_rate_hz", "ref_audio", "channel", "control"),
)
MISSING = "no {}"  # detail of a line without a field that every row needs
CHANNELS = {"left": 0, "l": 0, "right": 1, "r": 1}


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
    control: str | None = None


Read = RawRow | RejectedLine


def read(ingest: schema.Ingest) -> tuple[list[Read], list[str]]:
    """Every line of the manifest, in order, and notes on what was stripped from the file.

    Raises ManifestError when the file as a whole cannot be used, for example because no row says which recording it is from.
    """
    lines = jsonl.Lines(Path(ingest.manifest))
    found = [
        _row(number, data, named, ingest) for number, data, named in fields.READERS[ingest.format](lines)
    ]
    _require_rows(found, ingest)
    return found, lines.notes


def _row(line: int, data: bytes, named: Mapping[str, Any] | LineProblem, ingest: schema.Ingest) -> Read:
    try:
        if isinstance(named, LineProblem):
            raise named
        return _typed(line, named, ingest)
    except LineProblem as problem:
        return RejectedLine(line, problem.code, scrub(problem.detail), jsonl.excerpt(data))


def _typed(line: int, named: Mapping[str, Any], ingest: schema.Ingest) -> RawRow:
    audio = _text(named, "audio")
    if not audio:
        raise LineProblem("missing_field", "no audio")
    if ingest.format == "qwen3-tts" and not named.get("ref_audio"):
        raise LineProblem("missing_field", "no ref_audio, which every row of a Qwen3-TTS manifest has")
    return RawRow(
        line=line,
        audio=_path(audio),
        start_s=_number(named, "start_s"),
        end_s=_number(named, "end_s"),
        text=_text(named, "text"),
        sample_rate_hz=_rate(named),
        ref_audio=_path(ref_audio) if (ref_audio := _text(named, "ref_audio")) else ref_audio,
        user_id=_name(named, "id"),
        extra={
            name: labelled(name, _as_text(value))
            for name, value in sorted(named.items())
            if name not in KNOWN
        },
        recording_id=_name(named, "recording_id") or _recording(audio, ingest.recording_from),
        speaker_id=_required("speaker_id", _name(named, "speaker_id") or ingest.speaker_id),
        language=_required(
            "language", languages.canonical(_name(named, "language") or ingest.language or "")
        ),
        channel=_channel(named),
        control=None if (control := named.get("control")) is None else labelled("control", _as_text(control)),
    )


def _path(text: str) -> str:
    """An address is no path and never read, but it is quoted on pages: without its password and signature."""
    return scrub(text) if "://" in text else text


def _required(name: str, value: str | None) -> str:
    if not value:
        raise LineProblem("missing_field", MISSING.format(name))
    return value


def _recording(audio: str, pattern: str | None) -> str:
    """Found in the path as it looks: file names of macOS have their letters in parts. Raises LineProblem where nothing is."""
    found = re.search(_nfc(pattern), _nfc(audio)) if pattern is not None else None
    if pattern is not None and (found is None or not found.group(1)):
        raise LineProblem(
            "missing_field", f"{MISSING.format('recording_id')}: {pattern!r} does not fit {audio[:80]!r}"
        )
    return _required("recording_id", found.group(1) if found else None)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _text(named: Mapping[str, Any], name: str) -> str | None:
    value = named.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and value:
        inside = ", ".join(value)[:80]
        raise LineProblem(
            "wrong_type",
            f"{name} is an object of {inside}; import reads one of them: --map {name}.{next(iter(value))}={name}",
        )
    raise LineProblem("wrong_type", f"{name} is {type(value).__name__}, not text")


def _name(named: Mapping[str, Any], name: str) -> str | None:
    """An identifier; many tools write it as a number."""
    value = named.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(named, name)


def _number(named: Mapping[str, Any], name: str) -> float | None:
    """A finite number, or the text of one as a CSV has it."""
    value = named.get(name)
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


def _rate(named: Mapping[str, Any]) -> int | None:
    number = _number(named, "sample_rate_hz")
    if number is not None and not (number.is_integer() and 0 < number < 2**31):
        raise LineProblem(
            "wrong_type", f"sample_rate_hz is {number:g}, not a whole number of samples a second"
        )
    return None if number is None else int(number)


def _channel(named: Mapping[str, Any]) -> int | None:
    """Counted from 0, as NeMo, lhotse and diarisers do; the words that editors use are known, too."""
    value = named.get("channel")
    if isinstance(value, str) and value.strip().lower() in CHANNELS:
        return CHANNELS[value.strip().lower()]
    number = _number(named, "channel")
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
    if commonest.startswith(MISSING.format("recording_id")):
        raise ManifestError(
            f"{where}: no row says which source recording it is from, and one recording per file is not assumed.\n"
            f"Add a column recording_id, or set ingest.recording_from to a regex with one group that captures the recording\n"
            f"from the audio path. The first lines:\n{_shown(lines)}"
        )
    for name in ("speaker_id", "language"):
        if commonest == MISSING.format(name):
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
