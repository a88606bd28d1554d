"""A Kaldi data folder, as CosyVoice trains on, joined into one manifest: wav.scp says the audio, text the words, utt2spk the speaker.

One file can be pinned and its lines counted; three cannot. Line N of the manifest is line N of wav.scp (of segments, where audio is cut
by it), whatever it holds, so a line that is no row is reported under its number.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from voicelathe.data.manifest import jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.data.sources.rows import Line, written
from voicelathe.errors import ManifestError
from voicelathe.redaction import scrub

WAVS, TEXTS, SPEAKERS, SEGMENTS = "wav.scp", "text", "utt2spk", "segments"


def join(folder: Path) -> bytes:
    """The manifest that `rows` make."""
    return b"".join(written(rows(folder)))


def rows(folder: Path) -> Iterator[Line]:
    """Rows with id, audio, text and speaker_id. A text without audio becomes a line behind all others.

    With segments, line N is line N of that file, and a recording is a line of wav.scp. Raises ManifestError for an id that has two texts,
    two speakers or two files.
    """
    texts, speakers = _values(folder / TEXTS), _values(folder / SPEAKERS)
    seen: set[str] = set()
    is_cut = (folder / SEGMENTS).is_file()
    for one in _cuts(folder) if is_cut else _whole(folder):
        if not isinstance(one, bytes):
            name = str(one["id"])
            seen.add(name)
            one = {**one, "text": texts.get(name), "speaker_id": speakers.get(name)}
        yield one
    for name, text in texts.items():
        if name not in seen:
            yield {"id": name, "text": text}


def _whole(folder: Path) -> Iterator[Line]:
    for _, data, whole in jsonl.Lines(folder / WAVS):
        try:
            if not whole:
                raise LineProblem("too_long", "")
            name, path = _pair(data)
        except LineProblem:
            yield data
            continue
        yield {"id": name, "audio": _path(path)}


def _cuts(folder: Path) -> Iterator[Line]:
    """utterance recording start end; an end of -1 is that of the file."""
    paths = _values(folder / WAVS)
    for _, data, whole in jsonl.Lines(folder / SEGMENTS):
        cut = _cut(data) if whole else None
        if cut is None or cut[1] not in paths:
            yield data
            continue
        name, recording, start_s, end_s = cut
        yield {
            **{"id": name, "audio": _path(paths[recording]), "recording_id": recording},
            **{"start_s": start_s, "end_s": None if end_s < 0 else end_s},
        }


def _cut(data: bytes) -> tuple[str, str, float, float] | None:
    try:
        name, recording, start, end, *_ = jsonl.text_of(data).split()
        start_s, end_s = float(start), float(end)
    except (LineProblem, ValueError):
        return None
    return (name, recording, start_s, end_s) if math.isfinite(start_s + end_s) else None


def _path(path: str) -> str:
    return scrub(path) if "://" in path else path


def _values(path: Path) -> dict[str, str]:
    """Id and the rest of each line. A file that is not there says nothing."""
    found: dict[str, str] = {}
    if not path.is_file():
        return found
    for number, data, whole in jsonl.Lines(path):
        try:
            if not whole:
                raise LineProblem("too_long", f"more than {jsonl.MAX_LINE_BYTES} bytes on one line")
            name, value = _pair(data)
        except LineProblem as problem:
            raise ManifestError(
                f"{path}:{number}: {problem.code}, {problem.detail}. Correct the line."
            ) from None
        if found.setdefault(name, value) != value:
            raise ManifestError(
                f"{path}:{number}: {name} is given twice, differently. Remove one of the lines."
            )
    return found


def _pair(data: bytes) -> tuple[str, str]:
    name, _, value = jsonl.text_of(data).strip().partition(" ")
    name, _, tabbed = name.partition("\t")
    return name, f"{tabbed} {value}".strip()
