"""Who was refused a promotion or a rollback, when and why: registry/refused.jsonl, shown by `voicelathe history`.

What was not done changes nothing, so these lines are no links of the journal's chain: git may put two clones' together as they come.
"""

import contextlib
import datetime
import getpass
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.errors import PromotionError, RecordError
from voicelathe.redaction import redacted

FILE = layout.REGISTRY / "refused.jsonl"


@dataclass(frozen=True)
class Refusal:
    """One attempt that was refused."""

    at: str  # UTC, ISO 8601
    by: str
    action: str  # promote | rollback
    what: str  # recipe and candidate, or the version that was asked for
    because: str | None  # the reason given with it
    refused: str  # what stood against it


@contextmanager
def noted(root: Path, action: str, what: str, because: str | None) -> Iterator[None]:
    """Write down every PromotionError that passes through. Where nothing can be written, the error itself is what matters."""
    try:
        yield
    except PromotionError as problem:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        reason = redacted(because) if because else because
        line = Refusal(now, getpass.getuser(), action, what, reason, str(problem))
        with contextlib.suppress(OSError):
            _append(root / FILE, digest.canonical_json(records.to_json(line)).encode() + b"\n")
        raise


def read(root: Path) -> list[Refusal]:
    """Every refusal, in the order of the file. Raises RecordError for what is none."""
    path = root / FILE
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(records.from_json(Refusal, json.loads(line), f"{FILE}:{number}"))
        except ValueError:
            raise RecordError(f"{FILE}:{number} is no line of this file; remove the line.") from None
    return found


def _append(path: Path, line: bytes) -> None:
    """One write: lines of two processes never mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)
