"""Lhotse manifests: recordings with supervisions, or cuts, as JSON lines, gzipped or not.

A supervision is a row. Bounds in a cut's supervisions count from the start of the cut, all others from the start of the recording.
"""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from voicelathe.data.manifest import jsonl
from voicelathe.data.sources.rows import Line, seconds
from voicelathe.errors import ManifestError

KINDS = ("recordings", "supervisions", "cuts")
WHOLE_S = 1e-3  # bounds as near as this to those of the recording are the recording itself
Held = Mapping[str, Any]


def kind_of(held: Held) -> str | None:
    """What a line of Lhotse holds: a recording, a supervision or a cut; None for a line of something else."""
    if "sources" in held and "sampling_rate" in held:
        return "recordings"
    if "recording_id" in held and "start" in held and "duration" in held and "id" in held:
        return "supervisions"
    return "cuts" if "supervisions" in held and "start" in held else None


def parts(path: Path) -> list[Path]:
    """The files that belong together: all of a folder, or a file with its recordings beside it."""
    folder = path if path.is_dir() else path.parent
    every = sorted(one for one in folder.iterdir() if one.name.endswith((".jsonl", ".jsonl.gz")))
    if path.is_dir():
        return every
    others = [one for one in every if "recordings" in one.name and _rest(one) == _rest(path)]
    return [path, *(one for one in others if one != path)]


def rows(path: Path) -> Iterator[Line]:
    """A row for each supervision. Raises ManifestError where supervisions have no recordings."""
    held: dict[str, list[Held]] = {kind: [] for kind in KINDS}
    for part in parts(path):
        for value in objects(part):
            if (kind := kind_of(value)) is not None:
                held[kind].append(value)
    recordings = {str(one.get("id")): one for one in held["recordings"]}
    pairs = list(_of_cuts(held["cuts"]))
    for one in held["supervisions"]:
        recording = recordings.get(str(one["recording_id"]))
        if recording is None:
            raise ManifestError(
                f"{path}: the supervision {one.get('id')} is of the recording {one['recording_id']}, which no recordings file beside it "
                "holds. Put recordings.jsonl.gz into the same folder, and name the folder."
            )
        pairs.append((0.0, one, recording))
    several = Counter(str(recording.get("id")) for _, _, recording in pairs)
    for start_s, supervision, recording in pairs:
        yield _row(start_s, supervision, recording, is_cut=several[str(recording.get("id"))] > 1)


def _of_cuts(cuts: Sequence[Held]) -> Iterator[tuple[float, Held, Held]]:
    for cut in cuts:
        for one in _list(cut.get("supervisions")):
            if isinstance(one, dict):
                yield seconds(cut.get("start")) or 0.0, one, _dict(cut.get("recording"))


def _row(start_s: float, held: Held, recording: Held, *, is_cut: bool) -> Line:
    """A recording with one supervision names no source: LibriTTS' recipe has one for each clip."""
    start_s += seconds(held.get("start")) or 0.0
    end_s = seconds(start_s + (seconds(held.get("duration")) or 0.0))
    length_s = seconds(recording.get("duration")) or 0.0
    is_whole = start_s < WHOLE_S and (end_s is None or end_s > length_s - WHOLE_S)
    return {
        "id": held.get("id"),
        "audio": _path(recording),
        "start_s": None if is_whole else seconds(round(start_s, 6)),
        "end_s": None if is_whole or end_s is None else round(end_s, 6),
        "text": held.get("text"),
        "speaker_id": held.get("speaker"),
        "language": held.get("language"),
        "sample_rate_hz": recording.get("sampling_rate"),
        "channel": _channel(held.get("channel"), recording),
        "recording_id": recording.get("id") if is_cut else None,
    }


def _path(recording: Held) -> str | None:
    """Only files and addresses are named; a command is not run, and samples in memory are no file."""
    sources = _list(recording.get("sources"))
    first = _dict(sources[0]) if sources else {}
    return str(first.get("source")) if first.get("type") in ("file", "url") else None


def _channel(channel: object, recording: Held) -> int | None:
    num = sum(len(_list(_dict(one).get("channels"))) for one in _list(recording.get("sources")))
    one = channel[0] if isinstance(channel, list) and len(channel) == 1 else channel
    return one if isinstance(one, int) and num > 1 else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> Held:
    return value if isinstance(value, dict) else {}


def objects(path: Path) -> Iterator[Held]:
    """The lines of one file. Raises ManifestError for one that cannot be read."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            for number, data in enumerate(iter(lambda: file.readline(jsonl.MAX_LINE_BYTES), b""), 1):
                try:
                    yield jsonl.parse(data.strip())
                except jsonl.LineProblem as problem:
                    if problem.code != "blank_line":
                        raise ManifestError(
                            f"{path}:{number}: {problem.code}, {problem.detail}. Correct or remove the line."
                        ) from None
    except (OSError, EOFError, zlib.error, json.JSONDecodeError) as problem:
        raise ManifestError(f"{path} cannot be read ({problem}). Is it whole?") from None


def _rest(path: Path) -> str:
    name = path.name
    for kind in KINDS:
        name = name.replace(kind, "")
    return name.removesuffix(".gz")
