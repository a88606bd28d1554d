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
    found: list[Pruned] = []
    path = root / FILE
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.is_file() else [], 1):
        where = f"{FILE}:{number}"
        try:
            one = records.from_json(Pruned, json.loads(line), where)
        except (RecordError, ValueError) as problem:
            raise RecordError(
                f"{where}: not a line of this file ({problem}). Restore it: git checkout {FILE}"
            ) from None
        expected = digest.of_bytes(found[-1].line) if found else ORIGIN
        if one.line != line or one != one.sealed() or one.previous != expected:
            raise RecordError(f"{where}: changed since it was written. Restore it: git checkout {FILE}")
        found.append(one)
    return found


def append(new: Iterable[Pruned], root: Path) -> None:
    """Durable when it returns."""
    lines = [one.line for one in read(root)]
    for one in new:
        previous = digest.of_bytes(lines[-1]) if lines else ORIGIN
        lines.append(replace(one, previous=previous).sealed().line)
    digest.write_bytes(root / FILE, b"".join(lines))


def excused(root: Path = Path()) -> Mapping[str, Pruned]:
    """path -> what was removed there last, for those that are not there now."""
    return {one.path: one for one in read(root) if not (root / one.path).exists()}


def is_excused(path: str, sha256: str, excuses: Mapping[str, Pruned]) -> bool:
    """Whether exactly these weights were removed on purpose."""
    return path in excuses and excuses[path].sha256 == sha256
