"""What was measured before, by content: adding 1,000 clips to 1,000,000 measures 1,000, and a killed run goes on where it was.

One directory under .cache/voicelathe/ for each revision of the measures and set of limits, in it Parquet files that are never
changed: a run adds files. Deleting the directory costs time, never a result.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data import tables
from voicelathe.errors import RecordError
from voicelathe.records import ClipMeasure, ManifestRow

MAX_FILES = 64  # more are merged into one
FIELDS = [field.name for field in fields(ClipMeasure)]


class MeasureCache:
    """The cache below a directory for one revision and one set of limits."""

    def __init__(self, below: Path, revision: int, limits: schema.Measure) -> None:
        self.directory = below / digest.of_value([revision, FIELDS, vars(limits)])[:16]

    def known(self, rows: Sequence[ManifestRow]) -> list[ClipMeasure]:
        """The measures of those rows whose content was measured before, in no order."""
        wanted: dict[str, list[str]] = {}
        for row in rows:
            if row.audio_sha256 is not None:
                wanted.setdefault(content(row), []).append(row.clip_id)
        found: list[ClipMeasure] = []
        for path in self._files():
            for measure in _read(path):
                found += [replace(measure, clip_id=clip_id) for clip_id in wanted.pop(measure.clip_id, ())]
        return found

    def add(self, rows: Sequence[ManifestRow], measures: Sequence[ClipMeasure]) -> None:
        """Keep what was just measured of these rows."""
        by_id = {row.clip_id: content(row) for row in rows}
        by_content = {by_id[one.clip_id]: replace(one, clip_id=by_id[one.clip_id]) for one in measures}
        if by_content:
            self._write(by_content)

    def _write(self, by_content: dict[str, ClipMeasure]) -> None:
        """A file named by what it holds; every so often all of them become one."""
        old = self._files()
        if len(old) >= MAX_FILES:
            by_content = {one.clip_id: one for path in old for one in _read(path)} | by_content
        name = digest.of_value(sorted(by_content))[:32]
        tables.write(
            self.directory / f"{name}.parquet", [by_content[key] for key in sorted(by_content)], ClipMeasure
        )
        if len(old) >= MAX_FILES:
            for path in old:
                path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("*.parquet"))


def content(row: ManifestRow) -> str:
    """What decides a measure: the bytes of the file, how its name says to read them, and the slice."""
    return f"{row.audio_sha256} {Path(row.audio).suffix.lower()} {row.start_s!r} {row.end_s!r}" + (
        "" if row.channel is None else f" channel {row.channel}"
    )


def _read(path: Path) -> list[ClipMeasure]:
    """A file that was damaged is as good as none: it is removed, and its clips are measured again."""
    try:
        return tables.read(path, ClipMeasure)
    except RecordError:
        path.unlink()
        return []
