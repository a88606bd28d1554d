"""Which weights were removed on purpose, so that nobody takes them for lost: registry/pruned.jsonl, in git beside the journal.

One line for each directory. A line names the sha256 of the line before and carries a seal over itself, so that a changed, removed or
added line is named when the file is read. What it lists is excused where a record of weights is checked, and only while it is gone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.errors import RecordError

FILE = layout.REGISTRY / "pruned.jsonl"
ORIGIN = "0" * 64
RESTORE = f"Restore it: git checkout HEAD -- {FILE}; after a merge in conflict: voicelathe merge-history"


@dataclass(frozen=True)
class Pruned:
    """One directory of weights that was removed."""

    path: str  # relative to the project
    sha256: str  # of its MANIFEST.json
    size_bytes: int  # of the files it listed
    by: str
    at: str  # UTC, ISO 8601
    because: str | None
    plan: str  # digest of the plan that was confirmed
    previous: str = ORIGIN  # sha256 of the line before
    seal: str = ""  # sha256 of everything above

    @property
    def line(self) -> bytes:
        return digest.canonical_json(records.to_json(self)).encode() + b"\n"

    def sealed(self) -> "Pruned":
        return replace(self, seal=digest.of_value(records.to_json(replace(self, seal=""))))


def read(root: Path = Path()) -> list[Pruned]:
    """Everything that was ever removed. Raises RecordError naming the first line that is not as it was written."""
    path = root / FILE
    return parse(path.read_bytes() if path.is_file() else b"")


def parse(content: bytes, where: str = str(FILE)) -> list[Pruned]:
    """The lines of this file, each checked against the one before; see `read`."""
    found: list[Pruned] = []
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            one = records.from_json(Pruned, json.loads(line), f"{where}:{number}")
            records.require_inside(one.path, f"{where}:{number}")
        except (RecordError, ValueError) as problem:
            raise RecordError(f"{where}:{number}: not a line of this file ({problem}). {RESTORE}") from None
        expected = digest.of_bytes(found[-1].line) if found else ORIGIN
        if one.line != line or one != one.sealed() or one.previous != expected:
            raise RecordError(f"{where}:{number}: changed since it was written. {RESTORE}")
        found.append(one)
    return found


def append(new: Iterable[Pruned], root: Path) -> None:
    """Durable when it returns."""
    digest.write_bytes(root / FILE, b"".join(one.line for one in chained(read(root), new)))


def chained(before: Iterable[Pruned], new: Iterable[Pruned]) -> list[Pruned]:
    """New lines after those there are, each naming the one before."""
    lines = list(before)
    for one in new:
        previous = digest.of_bytes(lines[-1].line) if lines else ORIGIN
        lines.append(replace(one, previous=previous).sealed())
    return lines


def excused(root: Path = Path()) -> Mapping[str, Pruned]:
    """path -> what was removed there last, for those that are not there now."""
    return {one.path: one for one in read(root) if not (root / one.path).exists()}


def is_excused(path: str, sha256: str, excuses: Mapping[str, Pruned]) -> bool:
    """Whether exactly these weights were removed on purpose."""
    return path in excuses and excuses[path].sha256 == sha256
