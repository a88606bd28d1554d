"""What killed or running processes leave behind: held run directories, DVC's notes of dead processes, half-made directories."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

DRAFT = ".tmp-"  # as train.checkpoints names what it has not committed yet


def busy_runs(checkpoints: Path) -> Iterator[tuple[Path, str]]:
    """Run directories that a living worker holds, with its process id. The kernel drops a lock when its process dies."""
    for path in sorted(checkpoints.glob("*/*/.lock")):
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path.parent, file.read().strip() or "unknown"


def dead_dvc_owners(rwlock: Path) -> Iterator[int]:
    """Processes that DVC's lock file names and that are gone."""
    if not rwlock.is_file():
        return
    try:
        notes = json.loads(rwlock.read_text(encoding="utf-8") or "{}")
    except ValueError:
        return  # being written this moment
    if not isinstance(notes, dict):
        return
    owners = {entry["pid"] for note in notes.values() for entry in _entries(note)}
    yield from sorted(pid for pid in owners if not _is_alive(pid))


def drafts(checkpoints: Path) -> list[Path]:
    """Directories that a killed worker did not finish."""
    return sorted(path for path in checkpoints.glob(f"*/*/{DRAFT}*") if path.is_dir())


def _entries(note: object) -> Iterator[dict[str, int]]:
    if not isinstance(note, dict):
        return
    for kind in ("read", "write"):
        found = note.get(kind)
        for entry in found if isinstance(found, list) else [found]:
            if isinstance(entry, dict) and isinstance(entry.get("pid"), int):
                yield entry


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
