"""Parquet files of Hugging Face's datasets, with the audio inside: its bytes become files, and every other column a row of ours.

They are read twice, a batch at a time: first for the rows, so that questions can be asked before a byte is written, then for the audio.
Where a file has no name of its own it is numbered, and no rule can take the number for a recording.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from voicelathe import digest
from voicelathe.data.audio.files import CONTAINERS
from voicelathe.data.manifest import splits_named
from voicelathe.data.sources import naming
from voicelathe.data.sources.rows import Line
from voicelathe.errors import ManifestError

ROWS_AT_ONCE = 64  # with their audio in memory
TEXTS = (
    "text",
    "transcription",
    "sentence",
    "normalized_text",
    "text_normalized",
    "transcript",
    "raw_transcription",
)
NAMES = {"speaker": "speaker_id", "locale": "language", "lang": "language", "client_id": "speaker_id"}
SHARD = re.compile(r"^([A-Za-z_.-]*?)[-_.]?\d{5}-of-\d{5}")
UNUSUAL = re.compile(r"[^\w.() '-]")  # in file names
MAGIC = (
    *((b"RIFF", ".wav"), (b"RF64", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3")),
    *((b"\xff\xfb", ".mp3"), (b"\xff\xf3", ".mp3"), (b"\xff\xf2", ".mp3"), (b"\xff\xfa", ".mp3")),
)


@dataclass(frozen=True)
class Embedded:
    """One value of the audio column."""

    name: str  # the path that it is written under
    data: bytes


def files(path: Path) -> list[Path]:
    """The parquet files at a path, in order."""
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path]


def holds_audio(path: Path) -> bool:
    """Whether the bytes of the audio are inside; otherwise paths are."""
    return any(isinstance(inside, Embedded) for _, inside in islice(_read(path), ROWS_AT_ONCE))


def rows(path: Path) -> Iterator[Line]:
    """A row for each row, its audio by the name that `extract` will write it under."""
    for held, inside in _read(path):
        row = {NAMES.get(key, key): _plain(value) for key, value in held.items()}
        text = next((one for one in TEXTS if isinstance(row.get(one), str)), None)
        if text is not None:
            row["text"] = row.pop(text)
        if isinstance(inside, Embedded):
            yield {**row, "audio": inside.name}
        else:
            yield {**row, **({"audio": inside} if inside else {})}


def extract(path: Path, to: Path) -> list[Path]:
    """Write the audio below a folder, and give the files that were not there before. Raises ManifestError for other content under a name."""
    made: list[Path] = []
    try:
        for _, inside in _read(path):
            if not isinstance(inside, Embedded):
                continue
            target = to / inside.name
            if not target.exists():
                digest.write_bytes(target, inside.data)
                made.append(target)
            elif digest.of_file(target) != digest.of_bytes(inside.data):
                raise ManifestError(
                    f"{target} is there already, with other content than {path} has under this name. Give another place: --name NAME"
                )
    except BaseException:
        remove(made)
        raise
    return made


def remove(made: list[Path]) -> None:
    """Take back what `extract` wrote, with the folder where nothing else is in it."""
    for target in made:
        target.unlink(missing_ok=True)
    for folder in {target.parent for target in made}:
        with suppress(OSError):
            folder.rmdir()


def _read(path: Path) -> Iterator[tuple[dict[str, Any], Embedded | str | None]]:
    """Of each row the other columns, with the split that the file is named after, and the audio or the path of a file outside."""
    taken: dict[str, int] = {}
    number = 0
    for file in files(path):
        split = _split(file)
        for held, value in _rows_of(file):
            number += 1
            if split is not None:
                held.setdefault("split", split)
            yield held, _inside(value, number, taken)


def _rows_of(file: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        opened = pyarrow.parquet.ParquetFile(file)
        column = _paths_column(opened) or _audio_column(opened.schema_arrow, file)
        for batch in opened.iter_batches(ROWS_AT_ONCE):
            for held in batch.to_pylist():
                value = held.pop(column)
                yield held, value
    except (pyarrow.ArrowInvalid, OSError) as problem:
        raise ManifestError(
            f"{file} cannot be read as Parquet ({problem}). Is it whole, or a pointer of git-lfs?"
        ) from None


def _paths_column(opened: Any) -> str | None:
    """The only column with a usual name for audio that holds paths of files outside, where none is called audio or holds bytes."""
    import pyarrow

    schema = opened.schema_arrow
    if "audio" in schema.names or any(pyarrow.types.is_struct(field.type) for field in schema):
        return None
    named = [field for field in schema if naming.plain(field.name) in naming.AUDIO]
    texts = [str(field.name) for field in named if pyarrow.types.is_string(field.type)]
    if len(texts) != 1:
        return None
    batch = next(opened.iter_batches(ROWS_AT_ONCE, columns=texts), None)
    held = batch.column(0).to_pylist() if batch is not None else []
    endings = [PurePosixPath(str(one).replace("\\", "/")).suffix.lower() for one in held if one]
    return texts[0] if endings and all(one in CONTAINERS for one in endings) else None


def _audio_column(schema: Any, file: Path) -> str:
    """The column called audio, else the only one that holds bytes. Pictures have bytes, too, and there may be a reference for each row."""
    import pyarrow

    if "audio" in schema.names:
        return "audio"
    holding = [
        str(field.name)
        for field in schema
        if pyarrow.types.is_struct(field.type)
        and "bytes" in {field.type.field(at).name for at in range(field.type.num_fields)}
    ]
    if len(holding) == 1:
        return holding[0]
    if holding:
        raise ManifestError(
            f"{file}: several columns hold bytes: {', '.join(holding)}. Rename the one that says the text to audio."
        )
    raise ManifestError(
        f"{file}: no column holds audio (bytes and path), among {', '.join(schema.names)}. Rename the column to audio, or write the audio as files, and a manifest."
    )


def _inside(value: Any, number: int, taken: dict[str, int]) -> Embedded | str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bytes):
        return Embedded(_name(None, value, number, taken), value)
    if not isinstance(value, dict):
        return None
    data, path = value.get("bytes"), value.get("path")
    if data is None:
        return path if isinstance(path, str) and path else None
    return Embedded(_name(path, data, number, taken), data)


def _name(path: object, data: bytes, number: int, taken: dict[str, int]) -> str:
    """The name that the dataset gives, with the extension of what it really is; a name that comes again gets a number."""
    own = PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else ""
    own = UNUSUAL.sub("_", own)
    known = next((ending for magic, ending in MAGIC if data.startswith(magic)), None)
    suffix = PurePosixPath(own).suffix
    stem = own.removesuffix(suffix) or f"{number:08d}"
    agrees = known is not None and CONTAINERS.get(suffix.lower()) == CONTAINERS[known]
    name = f"{stem}{suffix if agrees or known is None else known}"
    taken[name] = taken.get(name, 0) + 1
    if taken[name] > 1:
        stem, _, suffix = name.rpartition(".")
        name = f"{stem}-again{taken[name]}.{suffix}"
    return name


def _plain(value: object) -> object:
    """What JSON can hold: other audio and pictures are left out, dates are text."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items() if not isinstance(one, bytes)}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value) if not isinstance(value, bytes) else None


def _split(file: Path) -> str | None:
    """train of data/train-00000-of-00007.parquet, test of test.parquet, and of test/0000.parquet."""
    if found := SHARD.search(file.name):
        return found[1] or None
    return next((one for one in (file.stem, file.parent.name) if splits_named.known(one)), None)
