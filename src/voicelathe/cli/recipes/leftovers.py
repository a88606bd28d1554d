"""What killed or running processes leave behind: held run directories, DVC's notes of dead processes, half-made directories."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

RWLOCK = Path(".dvc/tmp/rwlock")
UNBURIED = f"rm {RWLOCK}; a container wants an init that buries its dead: docker run --init"
DRAFT = ".tmp-"  # as train.checkpoints names what it has not committed yet


def busy_runs(checkpoints: Path) -> Iterator[tuple[Path, str]]:
    """Run directories that a living worker holds, with its process id. The kernel drops a lock when its process dies."""
    for path in sorted(checkpoints.glob("*/*/.lock")):
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path.parent, file.read().strip() or "unknown"


def dead_dvc_owners(rwlock: Path = RWLOCK) -> list[int]:
    """Processes that DVC's lock file names and that are gone: DVC clears them by itself."""
    return sorted(pid for pid in set(_owners(rwlock)) if not _is_alive(pid))


def unburied_dvc_owners(rwlock: Path = RWLOCK) -> list[int]:
    """Those that have ended and that nobody waited for: DVC takes them for living ones and refuses to run."""
    return sorted(pid for pid in set(_owners(rwlock)) if _is_zombie(pid))


def _owners(rwlock: Path) -> Iterator[int]:
    if not rwlock.is_file():
        return
    try:
        notes = json.loads(rwlock.read_text(encoding="utf-8") or "{}")
    except ValueError:
        return  # being written this moment
    if not isinstance(notes, dict):
        return
    for note in notes.values():
        yield from (entry["pid"] for entry in _entries(note))


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


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "Z"
