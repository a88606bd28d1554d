"""NeMo manifests: JSON lines with audio_filepath, offset, duration and text; a duration without an offset is that of the whole file."""

from collections.abc import Iterator
from pathlib import Path

from voicelathe.data.manifest import jsonl
from voicelathe.data.sources.rows import Line, seconds

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
    row = {RENAMED.get(key, key): value for key, value in held.items() if key not in ("offset", "duration")}
    start_s, length_s = seconds(held.get("offset")), seconds(held.get("duration"))
    if start_s is None:
        return {**row, "start_s": held.get("offset")}  # what is no number is for the reader to refuse
    end_s = seconds(start_s + length_s) if length_s is not None else None
    return {**row, "start_s": start_s, "end_s": None if end_s is None else round(end_s, 6)}
