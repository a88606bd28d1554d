"""NeMo manifests: JSON lines with audio_filepath, offset, duration and text; a duration without an offset is that of the whole file."""

from collections.abc import Iterator
from pathlib import Path

from voicelathe.data import jsonl
from voicelathe.data.sources.rows import Line

AUDIO = "audio_filepath"
RENAMED = {AUDIO: "audio", "speaker": "speaker_id", "lang": "language", "orig_sr": "sample_rate_hz"}


def rows(manifest: Path) -> Iterator[Line]:
    """A row a line."""
    for _, data, whole in jsonl.Lines(manifest):
        try:
            held = jsonl.parse(data) if whole else None
        except jsonl.LineProblem:
            held = None
        yield data if held is None else _row(held)


def _row(held: dict[str, object]) -> Line:
    offset, duration = held.get("offset"), held.get("duration")
    row = {RENAMED.get(key, key): value for key, value in held.items() if key not in ("offset", "duration")}
    if isinstance(offset, (int, float)) and not isinstance(offset, bool):
        row["start_s"] = float(offset)
        if isinstance(duration, (int, float)) and not isinstance(duration, bool):
            row["end_s"] = round(offset + duration, 6)
    return row
