"""Weights and speech of finished runs, to and from any place fsspec reaches (a disk, a bucket, a server), by sha256.

DVC moves what stages wrote, but not the weights. Here each file lies under its own sha256, so that nothing is sent twice, two runs
share what they have in common, and what comes back is checked before it is put in its place.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, layout, records
from voicelathe.errors import CheckpointError, listing
from voicelathe.records import RunRecord, SampleRecord
from voicelathe.redaction import public, redacted
from voicelathe.runs import identity, results, tombstones

COMPANIONS = (
    identity.IDENTITY,
    identity.FINISHED,
    identity.RESEARCH,
    "steps.jsonl",
    "timings.jsonl",
)  # beside the weights of a run
LISTS = "runs"  # folder of the place: which companions a run has


@dataclass(frozen=True)
class Moved:
    """What an archive or a restore did."""

    num_files: int
    num_bytes: int
    num_there: int  # files that were in their place already


@dataclass(frozen=True)
class _Place:
    """A directory behind a URL."""

    system: Any
    path: str
    shown: str

    def of(self, sha256: str) -> str:
        return f"{self.path}/{sha256[:2]}/{sha256}"

    def holds(self, sha256: str, size: int) -> bool:
        return bool(self.system.exists(self.of(sha256))) and int(self.system.size(self.of(sha256))) == size


def archive(url: str, recipes: Sequence[str], root: Path) -> Moved:
    """Send what the place lacks. Raises CheckpointError or RecordError when a local file is not what its record says."""
    place, sent, num_bytes, there = _open(url), 0, 0, 0
    for recipe in recipes:
        companions = dict(_companions(recipe, root))
        for path, sha256 in [*_wanted(recipe, root), *companions.items()]:
            size = (root / path).stat().st_size if (root / path).is_file() else -1
            if size < 0 or digest.of_file(root / path) != sha256:
                raise CheckpointError(
                    f"{path} is {'gone' if size < 0 else 'not what its record says'}; nothing wrong is archived. "
                    f"See: voicelathe verify {recipe}"
                )
            with _reached(place):
                if place.holds(sha256, size):
                    there += 1
                    continue
                _put(place, root / path, sha256)
            sent, num_bytes = sent + 1, num_bytes + size
        _note(place, _run(recipe, root), companions)
    return Moved(sent, num_bytes, there)


def check(url: str, recipes: Sequence[str], root: Path) -> Moved:
    """Hash everything that the place should hold of these recipes; what is damaged or missing is sent again where it is sound here.

    Cost: fetches every byte. Raises CheckpointError naming what is damaged there and not to be had here.
    """
    place, sent, num_bytes, there, lost = _open(url), 0, 0, 0, []
    for recipe in recipes:
        for path, sha256 in _wanted(recipe, root):
            if path.endswith(f"/{checkpoints.MANIFEST}") and not (root / path).is_file():
                raise CheckpointError(
                    f"{path} is not here, so it is not known what {place.shown} should hold. Bring it: voicelathe restore, with the same URL"
                )
            if _is_sound(place, sha256):
                there += 1
            elif (root / path).is_file() and digest.of_file(root / path) == sha256:
                with _reached(place):
                    _put(place, root / path, sha256)
                sent, num_bytes = sent + 1, num_bytes + (root / path).stat().st_size
            else:
                lost.append(f"{path} ({sha256})")
    if lost:
        raise CheckpointError(
            f"{place.shown} does not hold, or holds damaged, and here they are no better:\n{listing(lost)}"
        )
    return Moved(sent, num_bytes, there)


def _put(place: _Place, source: Path, sha256: str) -> None:
    """Under another name first, so that a kill leaves no half file under the right one where the place can rename."""
    name = place.of(sha256)
    partial = f"{name}.{os.getpid()}.partial"
    place.system.makedirs(name.rpartition("/")[0], exist_ok=True)
    place.system.put_file(str(source), partial)
    place.system.mv(partial, name)


def _is_sound(place: _Place, sha256: str) -> bool:
    with _reached(place):
        if not place.system.exists(place.of(sha256)):
            return False
        found = hashlib.sha256()
        with place.system.open(place.of(sha256), "rb") as file:
            while block := file.read(digest.BLOCK_BYTES):
                found.update(block)
    return found.hexdigest() == sha256


def restore(url: str, recipes: Sequence[str], root: Path) -> Moved:
    """Bring back what is missing here. Whatever arrives is hashed before it gets its name.

    Raises CheckpointError naming what the place lacks or holds damaged; what came before stays.
    """
    place, brought, num_bytes, there, lost = _open(url), 0, 0, 0, []
    for recipe in recipes:
        for path, sha256 in _wanted(recipe, root):
            if (root / path).is_file() and digest.of_file(root / path) == sha256:
                there += 1
            elif _fetch(place, root / path, sha256):
                brought, num_bytes = brought + 1, num_bytes + (root / path).stat().st_size
            else:
                lost.append(f"{path} ({sha256})")
        for path, sha256 in _noted(place, _run(recipe, root), root):
            if _fetch(place, root / path, sha256):
                brought, num_bytes = brought + 1, num_bytes + (root / path).stat().st_size
            else:
                lost.append(f"{path} ({sha256})")
    if lost:
        raise CheckpointError(f"{place.shown} does not hold, or holds damaged:\n{listing(lost)}")
    return Moved(brought, num_bytes, there)


def _wanted(recipe: str, root: Path) -> Iterator[tuple[str, str]]:
    """(path, sha256) of every checkpoint's manifest, then of the files it lists, and of every sample; the base is not ours to move.

    The manifest is read after it was given out, so that `restore` has it by then. What was pruned is neither sent nor brought back.
    """
    excuses = tombstones.excused(root)
    for one in results.index(recipe, root).checkpoints:
        if one.kind == "base" or tombstones.is_excused(one.path, one.sha256, excuses):
            continue
        manifest = f"{one.path}/{checkpoints.MANIFEST}"
        yield manifest, one.sha256
        if (root / manifest).is_file() and digest.of_file(root / manifest) == one.sha256:
            listed = digest.read_json(root / manifest)["files"]
            for name, entry in sorted(listed.items()):
                records.require_inside(name, manifest)
                yield f"{one.path}/{name}", entry["sha256"]
    for sample in records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord):
        if sample.path is not None and sample.sha256 is not None:
            yield sample.path, sample.sha256


def _run(recipe: str, root: Path) -> RunRecord:
    return records.read_one(root / layout.run(recipe, "run.json"), RunRecord)


def _companions(recipe: str, root: Path) -> Iterator[tuple[str, str]]:
    """(path, sha256) of what lies beside the weights: who they are, that they are finished, how long a step took, that they are for research."""
    directory = _run(recipe, root).directory
    for name in COMPANIONS:
        if (root / directory / name).is_file():
            yield f"{directory}/{name}", digest.of_file(root / directory / name)


def _note(place: _Place, run: RunRecord, companions: Mapping[str, str]) -> None:
    """The list of a run's companions, under the run's digest: no record of the project knows their sha256."""
    name = f"{place.path}/{LISTS}/{run.run_digest}.json"
    with _reached(place):
        place.system.makedirs(name.rpartition("/")[0], exist_ok=True)
        partial = f"{name}.{os.getpid()}.partial"
        with place.system.open(partial, "wb") as file:
            file.write(digest.canonical_json(dict(companions)).encode())
        place.system.mv(partial, name)


def _noted(place: _Place, run: RunRecord, root: Path) -> Iterator[tuple[str, str]]:
    """What that list names and is not here. An archive of an earlier version has none."""
    name = f"{place.path}/{LISTS}/{run.run_digest}.json"
    with _reached(place):
        if not place.system.exists(name):
            return
        with place.system.open(name, "rb") as file:
            listed = json.loads(file.read())
    allowed = {f"{run.directory}/{one}" for one in COMPANIONS}
    for path, sha256 in sorted(listed.items()):
        if path in allowed and not (root / path).exists():
            yield path, str(sha256)


def _fetch(place: _Place, target: Path, sha256: str) -> bool:
    """Whether the place held it whole."""
    with _reached(place):
        if not place.system.exists(place.of(sha256)):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        place.system.get_file(place.of(sha256), str(partial))
    if digest.of_file(partial) != sha256:
        partial.unlink()
        return False
    partial.replace(target)
    digest.sync_directory(target.parent)
    return True


def _open(url: str) -> _Place:
    """Raises CheckpointError for a URL of an unknown kind."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except (ValueError, ImportError) as problem:
        raise CheckpointError(
            f"{public(url)} cannot be used: {problem}. Give a folder, or a URL such as s3://bucket/folder or "
            "sftp://host/folder with the package that fsspec needs for it."
        ) from None
    return _Place(system, str(path).rstrip("/"), public(url))


@contextmanager
def _reached(place: _Place) -> Iterator[None]:
    """Turn what a file system raises into one error that names the place without its password."""
    try:
        yield
    except Exception as problem:  # each kind of file system has its own
        raise CheckpointError(
            f"{place.shown} cannot be used: {type(problem).__name__}: {redacted(str(problem))[:300]}. Correct it, then run the same command "
            "again: it goes on where it stopped."
        ) from None
