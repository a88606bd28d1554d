"""Weights and speech of finished runs, to and from any place fsspec reaches (a disk, a bucket, a server), by sha256.

DVC moves what stages wrote, but not the weights. Here each file lies under its own sha256, so that nothing is sent twice, two runs
share what they have in common, and what comes back is checked before it is put in its place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voicelathe import checkpoints, digest, layout, records
from voicelathe.errors import CheckpointError, listing
from voicelathe.records import RunRecord, SampleRecord
from voicelathe.registry.weights import companions, promoted_once
from voicelathe.registry.weights.companions import Run
from voicelathe.registry.weights.place import Place, open_
from voicelathe.registry.weights.promoted_once import PromotedOnce
from voicelathe.runs import identity, results, tombstones


@dataclass
class Transfer:
    """What an archive or a restore did."""

    num_files: int = 0
    num_bytes: int = 0
    num_there: int = 0  # files that were in their place already
    nowhere: list[str] = field(default_factory=list)  # promoted once, and neither here nor there
    lost: list[str] = field(default_factory=list)  # what could not be had

    def add(self, path: Path) -> None:
        self.num_files += 1
        self.num_bytes += path.stat().st_size


def archive(url: str, recipes: Sequence[str], root: Path, every: bool = False) -> Transfer:
    """Send what the place lacks: what the records of now name, and what was promoted of these recipes (`every`: of all there were).

    Raises CheckpointError or RecordError when a local file is not what its record says.
    """
    place, moved = open_(url), Transfer()
    for recipe in recipes:
        for path, sha256 in _wanted(recipe, root):
            size = (root / path).stat().st_size if (root / path).is_file() else -1
            if size < 0 or digest.of_file(root / path) != sha256:
                raise CheckpointError(
                    f"{path} is {'gone' if size < 0 else 'not what its record says'}; nothing wrong is archived. "
                    f"{checkpoints.way_back(path)}"
                )
            _send(place, root / path, sha256, moved)
        _send_companions(place, _run(recipe, root), root, moved)
    for one in promoted_once.of(recipes, root, every):
        _send_earlier(place, one, root, moved)
    return moved


def check(url: str, recipes: Sequence[str], root: Path, every: bool = False) -> Transfer:
    """Hash everything that the place should hold of these recipes; what is damaged or missing is sent again where it is sound here.

    Cost: fetches every byte. Raises CheckpointError naming what is damaged there and not to be had here.
    """
    place, moved = open_(url), Transfer()
    for recipe in recipes:
        for path, sha256 in _wanted(recipe, root):
            if path.endswith(f"/{checkpoints.MANIFEST}") and not (root / path).is_file():
                raise CheckpointError(
                    f"{path} is not here, so it is not known what {place.shown} should hold. Bring it: voicelathe restore, with the same URL"
                )
            _cure(place, root / path, sha256, moved, path)
        _check_companions(place, recipe, root, moved)
    for one in promoted_once.of(recipes, root, every):
        _check_earlier(place, one, root, moved)
    return _whole(moved, f"{place.shown} does not hold, or holds damaged, and here they are no better")


def restore(url: str, recipes: Sequence[str], root: Path, every: bool = False) -> Transfer:
    """Bring back what is missing here, of `archive`. Whatever arrives is hashed before it gets its name.

    Raises CheckpointError naming what the place lacks or holds damaged; what came before stays.
    """
    place, moved = open_(url), Transfer()
    for recipe in recipes:
        if not _bring_companions(place, recipe, root, moved):
            continue
        for path, sha256 in _wanted(recipe, root):
            if (root / path).is_file() and digest.of_file(root / path) == sha256:
                moved.num_there += 1
            else:
                _bring(place, root, path, sha256, moved)
    for one in promoted_once.of(recipes, root, every):
        _bring_earlier(place, one, root, moved)
    return _whole(moved, f"{place.shown} does not hold, or holds damaged")


def _send_earlier(place: Place, one: PromotedOnce, root: Path, moved: Transfer) -> None:
    """Sound weights are sent; of those that are not here it is said whether the place has them."""
    try:
        files = checkpoints.verify(root / one.path, one.sha256)["files"]
    except CheckpointError:
        if not place.is_sound(one.sha256):
            moved.nowhere.append(one.path)
        return
    _send(place, root / one.path / checkpoints.MANIFEST, one.sha256, moved)
    for name, entry in sorted(files.items()):
        _send(place, root / one.path / name, entry["sha256"], moved)
    _send_companions(place, one, root, moved)


def _check_earlier(place: Place, one: PromotedOnce, root: Path, moved: Transfer) -> None:
    for path, sha256 in _files(one.path, one.sha256, root):
        is_here = (root / path).is_file() and digest.of_file(root / path) == sha256
        if is_here or place.is_sound(sha256):
            _cure(place, root / path, sha256, moved, path)
        else:
            moved.nowhere.append(path)


def _bring_earlier(place: Place, one: PromotedOnce, root: Path, moved: Transfer) -> None:
    """Where nothing or the same lies in their place: other weights that are there may be somebody's, too."""
    manifest = root / one.path / checkpoints.MANIFEST
    if manifest.is_file() and digest.of_file(manifest) != one.sha256:
        moved.nowhere.append(one.path)
        return
    if not manifest.is_file() and not place.is_sound(one.sha256):
        (moved.lost if one.is_voice else moved.nowhere).append(one.path)
        return
    if not _bring_beside(place, one, root, moved, one.path):
        return
    for path, sha256 in _files(one.path, one.sha256, root):
        if not (root / path).exists():
            _bring(place, root, path, sha256, moved)
        elif digest.of_file(root / path) == sha256:
            moved.num_there += 1
        else:
            moved.nowhere.append(path)


def _whole(moved: Transfer, otherwise: str) -> Transfer:
    if moved.lost:
        raise CheckpointError(f"{otherwise}:\n{listing(moved.lost)}")
    return moved


def _send(place: Place, path: Path, sha256: str, moved: Transfer) -> None:
    if place.holds(sha256, path.stat().st_size):
        moved.num_there += 1
        return
    place.put(path, sha256)
    moved.add(path)


def _cure(place: Place, path: Path, sha256: str, moved: Transfer, name: str) -> None:
    """Read a file of the place; send it again where it is damaged there and sound here."""
    if place.is_sound(sha256):
        moved.num_there += 1
    elif path.is_file() and digest.of_file(path) == sha256:
        place.put(path, sha256)
        moved.add(path)
    else:
        moved.lost.append(f"{name} ({sha256})")


def _bring(place: Place, root: Path, path: str, sha256: str, moved: Transfer) -> None:
    if place.fetch(root / path, sha256):
        moved.add(root / path)
    else:
        moved.lost.append(f"{path} ({sha256})")


def _send_companions(place: Place, run: Run, root: Path, moved: Transfer) -> None:
    """Add what lies beside the weights here to what the place has; what only the place has, it keeps."""
    try:
        theirs = companions.listed(place, run) or {}
    except CheckpointError as problem:
        if not (root / run.directory / identity.RESEARCH).is_file():
            raise CheckpointError(_unknown(problem, run)) from None
        theirs = {}  # the mark is here, so the list can be written anew
    companions.take_notes(place, run, root, theirs)
    mine = companions.here(run, root)
    for path, sha256 in mine.items():
        _send(place, root / path, sha256, moved)
    if not companions.is_current(place, run, merged := {**theirs, **mine}):
        companions.write(place, run, merged)


def _check_companions(place: Place, recipe: str, root: Path, moved: Transfer) -> None:
    run = _run(recipe, root)
    try:
        theirs = companions.listed(place, run)
    except CheckpointError:
        theirs = None
    mine = companions.here(run, root)
    if theirs is None and not mine:
        moved.lost.append(_listless(run, recipe))
        return
    for path, sha256 in (theirs or {}).items():
        if mine.get(path, sha256) == sha256:
            _cure(place, root / path, sha256, moved, path)
    if theirs is None:
        moved.num_files += 1  # the list
    _send_companions(place, run, root, moved)


def _bring_companions(place: Place, recipe: str, root: Path, moved: Transfer) -> bool:
    return _bring_beside(place, _run(recipe, root), root, moved, recipe)


def _bring_beside(place: Place, run: Run, root: Path, moved: Transfer, what: str) -> bool:
    """Before the weights, and whether these may follow: nobody has them without the mark of data for research."""
    try:
        theirs = companions.listed(place, run)
    except CheckpointError as problem:
        moved.lost.append(_unknown(problem, run))
        return False
    if theirs is None and not (root / run.directory / identity.IDENTITY).is_file():
        moved.lost.append(_listless(run, what))
    companions.take_notes(place, run, root, theirs or {})
    for path, sha256 in companions.wanting(run, root, theirs or {}):
        _bring(place, root, path, sha256, moved)
    mark = f"{run.directory}/{identity.RESEARCH}"
    return mark not in (theirs or {}) or (root / mark).is_file()


def _unknown(problem: CheckpointError, run: Run) -> str:
    return (
        f"{problem}. Whether the data were for research only is not known without it, so no weights are sent or brought. Where these were "
        f"trained on such data: voicelathe archive --check, with the same URL. If they were not: delete {companions.name_of(run)} there and "
        "archive again."
    )


def _listless(run: Run, recipe: str) -> str:
    return (
        f"{companions.name_of(run)}: what lies beside the weights of {recipe}. Whether their data was for research only is not known without it. "
        "Where they were trained: voicelathe archive, with the same URL"
    )


def _wanted(recipe: str, root: Path) -> Iterator[tuple[str, str]]:
    """(path, sha256) of every checkpoint's manifest, then of the files it lists, and of every sample; the base is not ours to move.

    The manifest is read after it was given out, so that `restore` has it by then. What was pruned is neither sent nor brought back.
    """
    excuses = tombstones.excused(root)
    for one in results.index(recipe, root).checkpoints:
        if one.kind == "base" or tombstones.is_excused(one.path, one.sha256, excuses):
            continue
        yield from _files(one.path, one.sha256, root)
    for sample in records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord):
        if sample.path is not None and sample.sha256 is not None:
            yield sample.path, sample.sha256


def _files(path: str, sha256: str, root: Path) -> Iterator[tuple[str, str]]:
    """A checkpoint's manifest, then the files it lists."""
    manifest = f"{path}/{checkpoints.MANIFEST}"
    yield manifest, sha256
    if (root / manifest).is_file() and digest.of_file(root / manifest) == sha256:
        for name, entry in sorted(digest.read_json(root / manifest)["files"].items()):
            records.require_inside(name, manifest)
            yield f"{path}/{name}", entry["sha256"]


def _run(recipe: str, root: Path) -> RunRecord:
    return records.read_one(root / layout.run(recipe, "run.json"), RunRecord)
