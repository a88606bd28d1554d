"""Who put what into production, when and why: registry/journal.jsonl, one line an event, each naming the sha256 of the line before.

MLflow's aliases can be moved by anybody without a trace. Here a promotion is announced (`begun`) before the alias moves and
closed (`done`, `abandoned`) after it was read back, so that a kill at any moment leaves a journal that tells which of the two
versions may be in production. The file is rewritten whole and renamed: a line is there or it is not.
"""

import datetime
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, layout, locks, records
from voicelathe.errors import PromotionError, RecordError
from voicelathe.records import Promotion

FILE = layout.REGISTRY / "journal.jsonl"
LOCK = layout.REGISTRY / ".lock"
ORIGIN = "0" * 64
BEGUN, DONE, ABANDONED = "begun", "done", "abandoned"
ACTIONS = ("promote", "rollback")
MARKER = re.compile(rb"^(<{7}|={7}|>{7}|\|{7})", re.MULTILINE)  # of git, in a file it could not merge
RESTORE = (
    f"Keep a copy (cp {FILE} /tmp), then restore what git has: git checkout HEAD -- {FILE}; promotions since the last commit are "
    "in the copy only. After a merge: voicelathe merge-history"
)


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    number: int
    previous: str  # sha256 of the line before
    event: str  # begun | done | abandoned
    action: str  # promote | rollback
    promotion: Promotion
    was: str | None = None  # sha256 of the line as it was first written, where a merge gave it another place

    @property
    def line(self) -> bytes:
        value = records.to_json(self)
        if self.was is None:
            del value["was"]
        return digest.canonical_json(value).encode() + b"\n"

    @property
    def sha256(self) -> str:
        return digest.of_bytes(self.line)

    @property
    def origin(self) -> str:
        """What MLflow's tag and another clone know this line by."""
        return self.was or self.sha256


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
    """Hold the journal; others wait, and are told for whom. The kernel releases it when the holder dies, however it dies.

    Raises PromotionError when it stays taken, or when this user may not write there.
    """
    with locks.held(root / LOCK, f"{LOCK.parent} is being written"):
        yield Book(root, read(root))


def read(root: Path) -> list[Entry]:
    """The whole journal. Raises PromotionError naming the first line that was changed, removed or added by hand."""
    path = root / FILE
    return parse(path.read_bytes() if path.is_file() else b"")  # once: it may be replaced any time


def parse(content: bytes, where: str = str(FILE)) -> list[Entry]:
    """The lines of a journal, each checked against the one before; see `read`."""
    if MARKER.search(content):
        raise PromotionError(
            f"{where} holds git's conflict markers: two clones promoted apart from each other. Put their histories together: "
            "voicelathe merge-history"
        )
    entries: list[Entry] = []
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        expected = entries[-1].sha256 if entries else ORIGIN
        try:
            entry = records.from_json(Entry, {"was": None, **json.loads(line)}, f"{where}:{number}")
            if entry.promotion.kind != "base":
                records.require_inside(entry.promotion.path, f"{where}:{number}")
        except (RecordError, ValueError, TypeError) as problem:
            raise PromotionError(
                f"{where}:{number}: not a line of the journal ({problem}). It is append-only. {RESTORE}"
            ) from None
        if entry.number != number or entry.previous != expected or entry.line != line:
            raise PromotionError(
                f"{where}:{number}: the line before has sha256 {expected}, this one follows {entry.previous}. "
                f"The journal was edited, or merged as text. {RESTORE}"
            )
        if not _follows(entries, entry):
            raise PromotionError(
                f"{where}:{number}: {entry.event} {entry.action} of version {entry.promotion.version} closes nothing that was announced. "
                f"The journal was edited. {RESTORE}"
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


def today(root: Path) -> datetime.date:
    """No earlier than the newest line: a clock that was set back makes no consent valid again."""
    newest = max((entry.promotion.at[:10] for entry in read(root)), default="")
    found = datetime.datetime.now(datetime.UTC).date()
    with suppress(ValueError):
        found = max(found, datetime.date.fromisoformat(newest))
    return found
