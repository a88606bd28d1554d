"""Which runs below checkpoints/ does nothing name any more: no branch, no tag, no experiment, no promotion? `prune` may take them.

An experiment that was removed (`dvc exp remove`, `dvc exp gc`) leaves its weights, because DVC never had them. Every dvc.lock that git
still reaches names the record of each of its runs by md5, and training leaves that md5 beside the weights. A run without such a note,
and every run where git cannot answer, is not called forgotten.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.records import RunRecord
from voicelathe.runs import identity

RECORD = "run.json"
LOCK = "dvc.lock"
NOTED = "recorded.json"  # beside the weights: every md5 that run.json had


def note(run: RunRecord, root: Path) -> None:
    """Leave the md5 of run.json, by which every dvc.lock names this run, beside its weights."""
    place = root / run.directory
    md5 = hashlib.md5((root / layout.run(run.recipe, RECORD)).read_bytes()).hexdigest()
    digest.write_json(place / NOTED, sorted(noted(place) | {md5}))


def noted(directory: Path) -> set[str]:
    """Every md5 that this run's record ever had; none for a run of an earlier version."""
    return {*digest.read_json(directory / NOTED)} if (directory / NOTED).is_file() else set()


def runs_of(recipe: str, root: Path) -> list[Path]:
    """Finished runs of a recipe that nothing names, relative to the project; none where git cannot tell."""
    places = [
        place
        for place in sorted((root / layout.CHECKPOINTS / recipe).glob("[0-9a-f]" * 16))
        if _is_finished(place)
    ]
    notes = {place: noted(place) for place in places}
    if not any(notes.values()):
        return []
    try:
        named = {md5 for lock in _locks(root) for md5 in _records(lock)}
    except (OSError, subprocess.CalledProcessError):
        return []
    current = _current(root)
    return [
        place.relative_to(root)
        for place, known in notes.items()
        if known and not known & named and place.relative_to(root).as_posix() not in current
    ]


def _is_finished(place: Path) -> bool:
    return (place / identity.FINISHED).is_file()


def _current(root: Path) -> set[str]:
    """What the workspace names, committed or not."""
    return {
        records.read_one(path, RunRecord).directory for path in sorted((root / "runs").glob(f"*/{RECORD}"))
    }


def _locks(root: Path) -> Iterator[bytes]:
    """Every dvc.lock there is: of the workspace, and of all commits that a branch, a tag, a stash, an experiment or git's log of HEAD reaches."""
    if (root / LOCK).is_file():
        yield (root / LOCK).read_bytes()
    listed = _git(root, "rev-list", "--all", "--reflog", "--objects", "--", LOCK).decode(errors="replace")
    for line in listed.splitlines():
        blob, _, path = line.partition(" ")
        if path == LOCK:
            yield _git(root, "cat-file", "blob", blob)


def _git(root: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True).stdout


def _records(lock: bytes) -> Iterator[str]:
    """md5 of every run.json that the lock's train stages wrote."""
    import yaml

    for stage in (yaml.load(lock, Loader=yaml.CBaseLoader) or {}).get("stages", {}).values():
        for out in stage.get("outs", []):
            if out["path"].startswith("runs/") and out["path"].endswith(f"/{RECORD}"):
                yield out["md5"]
