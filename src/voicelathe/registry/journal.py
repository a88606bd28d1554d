"""Who put what into production, when and why: registry/journal.jsonl, one line an event, each naming the sha256 of the line before.

MLflow's aliases can be moved by anybody without a trace. Here a promotion is announced (`begun`) before the alias moves and
closed (`done`, `abandoned`) after it was read back, so that a kill at any moment leaves a journal that tells which of the two
versions may be in production. The file is rewritten whole and renamed: a line is there or it is not.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.errors import PromotionError, RecordError
from voicelathe.records import Promotion

FILE = layout.REGISTRY / "journal.jsonl"
LOCK = layout.REGISTRY / ".lock"
ORIGIN = "0" * 64
BEGUN, DONE, ABANDONED = "begun", "done", "abandoned"
ACTIONS = ("promote", "rollback")


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    number: int
    previous: str  # sha256 of the line before
    event: str  # begun | done | abandoned
    action: str  # promote | rollback
    promotion: Promotion

    @property
    def line(self) -> bytes:
        return digest.canonical_json(records.to_json(self)).encode() + b"\n"

    @property
    def sha256(self) -> str:
        return digest.of_bytes(self.line)


@dataclass(frozen=True)
class Standing:
    """What the journal says of one registered model."""

    current: Promotion | None  # the last one that was done
    pending: Entry | None  # begun, and then its process died

    @property
    def version(self) -> str | None:
        return self.current.version if self.current else None


@dataclass
class Book:
    """The journal while its lock is held."""

    root: Path
    entries: list[Entry]

    def append(self, event: str, action: str, promotion: Promotion) -> Entry:
        """Durable when it returns."""
        previous = self.entries[-1].sha256 if self.entries else ORIGIN
        entry = Entry(len(self.entries) + 1, previous, event, action, promotion)
        digest.write_bytes(self.root / FILE, b"".join(one.line for one in [*self.entries, entry]))
        self.entries.append(entry)
        return entry


@contextmanager
def locked(root: Path) -> Iterator[Book]:
    """Hold the journal; others wait. The kernel releases it when the holder dies, however it dies."""
    (root / LOCK).parent.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Book(root, read(root))


def read(root: Path) -> list[Entry]:
    """The whole journal. Raises PromotionError naming the first line that was changed, removed or added by hand."""
    path = root / FILE
    lines = (
        path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    )  # once: it may be replaced any time
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        expected = entries[-1].sha256 if entries else ORIGIN
        try:
            entry = records.from_json(Entry, json.loads(line), f"{FILE}:{number}")
        except (RecordError, ValueError) as problem:
            raise PromotionError(
                f"{FILE}:{number}: not a line of the journal ({problem}). It is append-only; restore it: git checkout {FILE}"
            ) from None
        if entry.number != number or entry.previous != expected or entry.line != line:
            raise PromotionError(
                f"{FILE}:{number}: the line before has sha256 {expected}, this one follows {entry.previous}. "
                f"The journal was edited; restore it: git checkout {FILE}"
            )
        if not _follows(entries, entry):
            raise PromotionError(
                f"{FILE}:{number}: {entry.event} {entry.action} of version {entry.promotion.version} closes nothing that was announced. "
                f"The journal was edited; restore it: git checkout {FILE}"
            )
        entries.append(entry)
    return entries


def _follows(entries: list[Entry], entry: Entry) -> bool:
    """Whether a closing line repeats the announcement it closes; no later line's hash protects the last one."""
    if entry.event == BEGUN:
        return entry.action in ACTIONS
    announced = next((one for one in reversed(entries) if one.event == BEGUN), None)
    same = announced is not None and (announced.action, announced.promotion) == (
        entry.action,
        entry.promotion,
    )
    return entry.event in (DONE, ABANDONED) and same


def standing(entries: list[Entry], name: str) -> Standing:
    """Where a registered model stands after these events."""
    current: Promotion | None = None
    pending: Entry | None = None
    for entry in entries:
        if entry.promotion.name == name:
            pending = entry if entry.event == BEGUN else None
            current = entry.promotion if entry.event == DONE else current
    return Standing(current, pending)
