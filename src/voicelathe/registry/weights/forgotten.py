"""Which runs below checkpoints/ does nothing name any more: no branch, no tag, no experiment, no promotion? `prune` may take them.

An experiment that was removed (`dvc exp remove`, `dvc exp gc`) leaves its weights, because DVC never had them. Every dvc.lock that git
still reaches names the record of each of its runs by md5, and training leaves that md5 beside the weights. A run without such a note,
every run where git cannot answer, and every run in a folder that is a link (other projects may share it) is not called forgotten.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.records import RunRecord
from voicelathe.registry.history import reachable
from voicelathe.runs import experiments, identity

RECORD = "run.json"
LOCK = "dvc.lock"
NOTED = identity.NOTED
NO_RECORDS = {".git", ".dvc", ".cache"}  # folders of a project that may be large and hold no run.json
MD5 = re.compile(rb"\b[0-9a-f]{32}\b")


def note(run: RunRecord, root: Path) -> None:
    """Leave the md5 of run.json, by which every dvc.lock names this run, beside its weights."""
    place = root / run.directory
    md5 = hashlib.md5((root / layout.run(run.recipe, RECORD)).read_bytes()).hexdigest()
    digest.write_json(place / NOTED, sorted(noted(place) | {md5}))


def noted(directory: Path) -> set[str]:
    """Every md5 that this run's record ever had; none for a run of an earlier version."""
    return {*digest.read_json(directory / NOTED)} if (directory / NOTED).is_file() else set()


def folders(root: Path) -> list[str]:
    """Every recipe that has weights here, those that params.yaml no longer knows among them."""
    found = sorted((root / layout.CHECKPOINTS).glob("*"))
    return [one.name for one in found if one.is_dir() and not one.name.startswith(".")]


def runs(recipes: Sequence[str], root: Path) -> list[Path]:
    """Finished runs of these recipes that nothing names, relative to the project; none where git cannot tell."""
    notes = {place: noted(place) for recipe in recipes for place in _finished(recipe, root)}
    if not any(notes.values()):
        return []
    try:
        named = {md5 for lock in _locks(root) for md5 in _md5s(lock)}
    except (OSError, subprocess.CalledProcessError):
        return []
    used = {root / place for place in _used(root)}
    return [
        place.relative_to(root)
        for place, known in notes.items()
        if known and not known & named and place not in used
    ]


def _finished(recipe: str, root: Path) -> list[Path]:
    """Runs of a recipe that lie in the project itself: behind a link they may be another clone's, too, and git here knows nothing of it."""
    folder = root / layout.CHECKPOINTS / recipe
    found = [place for place in sorted(folder.glob("[0-9a-f]" * 16)) if (place / identity.FINISHED).is_file()]
    return [place for place in found if place.resolve() == root.resolve() / place.relative_to(root)]


def _used(root: Path) -> Iterator[str]:
    """What the workspace names, committed or not, and what experiments name that run in a copy of the project at this moment."""
    here = sorted((root / "runs").glob(f"*/{RECORD}"))
    for path in [*here, *_copied(root.resolve())]:
        try:
            yield records.read_one(path, RunRecord).directory
        except FileNotFoundError:
            continue  # the experiment has ended this moment


def _copied(root: Path) -> Iterator[Path]:
    """Every record of a run in DVC's temporary copies; DVC's folder and git's may lie above the project, so the project below the copy."""
    for copies in (above.joinpath(*experiments.INSIDE) for above in (root, *root.parents)):
        for folder, below, files in os.walk(copies):
            below[:] = sorted(set(below) - NO_RECORDS)
            if RECORD in files and Path(folder).parent.name == "runs":
                yield Path(folder) / RECORD


def _locks(root: Path) -> Iterator[bytes]:
    """Every dvc.lock there is: of the workspace, and of all commits that a branch, a tag, a stash, an experiment or git's log reaches."""
    if (root / LOCK).is_file():
        yield (root / LOCK).read_bytes()
    yield from reachable.versions(root, LOCK)


def _md5s(lock: bytes) -> list[str]:
    """Every md5 in a lock, that of run.json among them: a lock that is in conflict, or of another version, is read just so."""
    return [md5.decode() for md5 in MD5.findall(lock)]
