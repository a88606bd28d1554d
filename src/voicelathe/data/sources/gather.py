"""From what lies at the paths that a user gave to one manifest of ours: every form's rows, names, paths and splits.

The originals are never changed. Lines that are no rows stay, so that the rows that are left and those that are not still add up.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

from voicelathe import digest
from voicelathe.config.data_schema import ManifestFormat
from voicelathe.data.manifest import fields as manifest_fields
from voicelathe.data.manifest import jsonl, kaldi, lists, recognising
from voicelathe.data.manifest.audio_paths import Paths
from voicelathe.data.manifest.recognising import Found
from voicelathe.data.sources import delimited, hugging_face, lhotse, naming, nemo, nested, texts
from voicelathe.data.sources.rows import Line, written
from voicelathe.errors import ManifestError

PLAIN: tuple[ManifestFormat, ...] = get_args(ManifestFormat)  # read by the pipeline as they are
OF_OBJECTS = ("voicelathe", "voxcpm", "qwen3-tts", "nemo", "parquet")  # whose rows may hold objects
OF_FOLDER = (*recognising.OF_SEVERAL, *recognising.OF_TEXTS)


@dataclass(frozen=True)
class Gathered:
    """What was made of one or more manifests."""

    folder: Path  # what relative audio paths start from
    told: Counter[str]  # paths that were written otherwise, in words, with how many
    inside: dict[str, str]  # names of values inside objects, and what they were read as


def is_plain(found: Sequence[Found], reading: Mapping[str, str], root: Path) -> bool:
    """Whether the pipeline can read the manifest as it is, and finds its files where it says."""
    if len(found) > 1 or any(reading.values()) or found[0].format not in PLAIN:
        return False
    if _inside(found[0], reading):
        return False
    paths = Paths(root)
    return not any(
        paths.found(path) != path
        for line in lines_of(found[0], reading)
        if isinstance(line, dict)
        for path in _paths_of(line)
    )


def gather(found: Sequence[Found], reading: Mapping[str, str], root: Path | None, to: Path) -> Gathered:
    """Write all rows of all manifests to one. Relative paths start from `root`, or from the folder that holds every manifest."""
    folders = [os.path.abspath(one.folder) for one in found]  # noqa: PTH100  (keeps symbolic links)
    base = Path(root or os.path.commonpath(folders))
    told: Counter[str] = Counter()
    inside: dict[str, str] = {}

    def lines() -> Iterator[Line]:
        for one, folder in zip(found, folders, strict=True):
            paths = Paths(root or one.folder)
            prefix = "" if root is not None else os.path.relpath(folder, base)
            named = _inside(one, reading)
            inside.update(named)
            for line in nested.read(naming.renamed(lines_of(one, reading), reading), named):
                yield (
                    line
                    if isinstance(line, bytes)
                    else _placed(line, paths, prefix, one if len(found) > 1 else None)
                )
            told.update(paths.told)

    digest.write_parts(to, written(lines()))
    return Gathered(base if len(found) > 1 or root is not None else found[0].folder, told, inside)


def _inside(found: Found, reading: Mapping[str, str]) -> dict[str, str]:
    """What is read of the objects inside the rows."""
    if found.format not in OF_OBJECTS:
        return {}
    first = islice(naming.renamed(lines_of(found, reading), reading), recognising.LOOKED_AT)
    where = found.folder if found.manifest == found.folder else found.folder / found.manifest.name
    unread = [name for name, ours in reading.items() if ours == naming.NOBODY]
    return nested.chosen([line for line in first if not isinstance(line, bytes)], where, unread)


def lines_of(found: Found, reading: Mapping[str, str]) -> Iterator[Line]:
    """The rows of one manifest, `reading` being names that are read as ours. Raises ManifestError for one that is not of its form."""
    if found.format == "list":
        held = recognising.first_texts(found.manifest, lists.LOOKED_AT)
        columns = lists.layout(held, reading) or lists.separated(held)
        if columns is None:
            raise ManifestError(
                f"{found.manifest} is no list: its lines have not the same number of columns between |, tabs, semicolons or commas."
            )
        return lists.rows(found.manifest, columns)
    if found.format in recognising.OF_TEXTS:
        return texts.rows(found.folder, found.format, found.encoding)
    if found.format in ("table", "common-voice"):
        return delimited.rows(found.manifest, reading)
    read = {"cosyvoice": kaldi.rows, "nemo": nemo.rows, "lhotse": lhotse.rows, "parquet": hugging_face.rows}
    if found.format in read:
        return read[found.format](found.folder if found.format == "cosyvoice" else found.manifest)
    return _plain(found)


def _plain(found: Found) -> Iterator[Line]:
    for _, data, held in manifest_fields.of(found.manifest, found.format):
        yield data if isinstance(held, jsonl.LineProblem) else dict(held)


def _placed(row: Mapping[str, object], paths: Paths, prefix: str, part: Found | None) -> dict[str, object]:
    """The row with paths that lead to its files, and the split that its manifest is."""
    moved = {}
    for name in ("audio", "ref_audio"):
        written_path = row.get(name)
        if isinstance(written_path, str) and written_path:
            path = paths.found(written_path)
            is_inner = prefix not in ("", ".") and not os.path.isabs(path) and "://" not in path  # noqa: PTH117
            moved[name] = os.path.normpath(os.path.join(prefix, path)) if is_inner else path  # noqa: PTH118
    named = {"split": part.split} if part is not None and part.split and "split" not in row else {}
    return {**row, **moved, **named}


def _paths_of(row: Mapping[str, object]) -> list[str]:
    return [path for path in (row.get("audio"), row.get("ref_audio")) if isinstance(path, str) and path]
