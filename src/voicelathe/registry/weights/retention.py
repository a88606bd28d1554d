"""What may go from the disk without anything being lost that a decision rests on: `voicelathe prune`.

Weights of checkpoints that were judged and neither chosen nor promoted, states to resume runs that have finished, weights of trials,
what killed processes left. Records, journals, validation and speech stay, so every number and sample can still be looked at; weights
that are wanted again are trained again, bit for bit, or restored from an archive.
"""

import datetime
import fcntl
import getpass
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicelathe import checkpoints, digest, layout
from voicelathe.config import params
from voicelathe.errors import PromotionError, RecordError, RunLocked, VoiceLatheError, listing
from voicelathe.records import NOT_SPOKEN
from voicelathe.redaction import redacted
from voicelathe.registry import promoted
from voicelathe.registry.history import journal, reachable
from voicelathe.registry.weights import forgotten
from voicelathe.runs import identity, tombstones
from voicelathe.tracking import files as run_files
from voicelathe.tracking.files import RunFiles

TRIAL = "preflight-"
STATES, DRAFTS, STEPS = "state_*", f"{checkpoints.TEMPORARY}*", "step_*"


@dataclass(frozen=True)
class Doomed:
    """One directory that would go."""

    path: str  # relative to the project
    sha256: str | None  # of its manifest; None for what no record names
    bytes: int  # that its going frees
    why: str  # it is safe


@dataclass(frozen=True)
class RetentionPlan:
    """What would go and what stays."""

    doomed: list[Doomed]
    kept: dict[str, str]  # directory of weights -> why it stays
    refusals: list[str]
    because: str | None

    @property
    def digest(self) -> str:
        """What `apply` asks for: the same plan or none."""
        going = [[one.path, one.sha256, one.bytes] for one in self.doomed]
        return digest.of_value([going, self.kept, self.because])[:16]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.doomed)


def plan(
    recipes: Sequence[str], root: Path, because: str | None = None, folders: Sequence[str] | None = None
) -> RetentionPlan:
    """Look at every recipe; changes nothing. `because`: why nobody needs to have listened, or the words of an earlier promotion.

    `folders`: recipes, known or not, whose runs that nothing names may go; those of `recipes` by default.

    Cost: reads every byte of the weights that stay. Raises TrackingError when MLflow does not answer.
    """
    doomed: list[Doomed] = []
    kept, refusals = _promoted(root)
    absent = _absent(root, kept)
    for recipe in recipes:
        try:
            files = run_files.read(recipe, root)
        except RecordError as problem:
            refusals.append(f"{recipe}: {problem}")
            continue
        chosen = _chosen(files)
        kept = {**chosen, **kept}
        absent -= chosen.keys()
        refusals += _refusals(files, because)
        doomed += _doomed(files, kept)
    doomed += _forgotten(recipes if folders is None else folders, root, kept)
    refusals += _broken(root, {path: why for path, why in kept.items() if path not in absent})
    return RetentionPlan(_with_bytes(root, doomed), kept, refusals, redacted(because) if because else None)


def apply(
    recipes: Sequence[str],
    root: Path,
    confirmed: str,
    because: str | None = None,
    folders: Sequence[str] | None = None,
) -> RetentionPlan:
    """Remove what the plan with this digest names. A kill leaves what is recorded and gone, or whole, or for the next plan to name.

    Raises PromotionError when something speaks against it or the plan is another one by now, RunLocked while a run is being trained.
    """
    with journal.locked(root), ExitStack() as held:
        found = plan(recipes, root, because, folders)
        if found.refusals:
            raise PromotionError(f"Nothing was removed:\n{listing(found.refusals)}")
        if found.digest != confirmed:
            raise PromotionError(
                f"{confirmed} is not the plan as it is now ({found.digest}); nothing was removed. Look again: voicelathe prune plan"
            )
        for directory in sorted({(root / one.path).parent for one in found.doomed}):
            held.enter_context(_lock(directory))
        recorded = {one.path: one.sha256 for one in tombstones.read(root)}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        new = [
            tombstones.Pruned(
                one.path, one.sha256, checkpoints.size_bytes(root / one.path), getpass.getuser(), now, found.because, found.digest
            )
            for one in found.doomed
            if one.sha256 is not None and recorded.get(one.path) != one.sha256
        ]  # fmt: skip
        if new:
            tombstones.append(new, root)
        for one in found.doomed:
            _remove(root / one.path)
    return found


def _promoted(root: Path) -> tuple[dict[str, str], list[str]]:
    """Weights of every version that ever was, or is about to be, in production, in this branch or another; and what is wrong with it."""
    kept = {one.path: f"version {one.version} of {one.name}" for one in reachable.promotions(root)}
    status = promoted.status(root)
    return kept, [f"production: {status.problem}"] if status.problem else []


def _absent(root: Path, kept: dict[str, str]) -> set[str]:
    """Of what was promoted: what is not here and not in production. It may be on another machine, or nowhere; no plan makes that worse."""
    voice = promoted.status(root).promotion
    return {path for path in kept if not (root / path).exists() and not (voice and voice.path == path)}


def _chosen(files: RunFiles) -> dict[str, str]:
    """The selected checkpoint, and the nominee, which may still be promoted with a reason."""
    selection = files.selection
    names = {selection.nominee: "nominated by the selection", selection.selected: "selected"}
    return {
        one.checkpoint.path: names[one.candidate.name]
        for one in files.candidates
        if one.candidate.name in names and one.checkpoint.kind != "base"
    }


def _refusals(files: RunFiles, because: str | None) -> Iterator[str]:
    """What is not known yet of a checkpoint cannot be found out once it is gone."""
    recipe = files.run.recipe
    unjudged = [one.candidate.name for one in files.candidates if one.evaluation is None]
    if unjudged:
        yield f"{recipe}: not evaluated: {', '.join(unjudged)}. Run: dvc repro evaluate@{recipe}"
    silent = [
        one.candidate.name
        for one in files.candidates
        if all(sample.problem == NOT_SPOKEN for sample in one.samples)
    ]
    if silent:
        yield f"{recipe}: never spoke: {', '.join(silent)}. Run: dvc repro listen@{recipe}"
    if files.selection.listening is None and not because:
        yield (
            f"{recipe}: nobody has judged the samples. Listen: {layout.run(recipe, 'listening.html')}, then: voicelathe verdict import "
            f'{recipe} FILE; or say why not: --because "the reason"'
        )
    changed = [path for path, sha256 in files.selection.inputs.items() if not _is(files.root / path, sha256)]
    if changed:
        yield f"{recipe}: {', '.join(changed)}: not what the decision was made on. Run: dvc repro select@{recipe}"


def _doomed(files: RunFiles, kept: dict[str, str]) -> Iterator[Doomed]:
    """Of one recipe: its own run and its trials. Those set aside are not touched."""
    root, run = files.root, files.run
    directory = Path(run.directory)
    for one in {shown.checkpoint.path: shown.checkpoint for shown in files.candidates}.values():
        if one.kind != "base" and one.path not in kept and (root / one.path).is_dir():
            yield Doomed(one.path, one.sha256, 0, "judged, and neither selected nor promoted")
    if (root / directory / identity.FINISHED).is_file():
        yield from _inside(root, directory, STATES, "the run it could resume has finished")
        yield from _inside(root, directory, DRAFTS, "left by a killed process")
    for trial in sorted((root / directory).parent.glob(f"{TRIAL}*")):
        if (trial / identity.FINISHED).is_file():
            place = trial.relative_to(root)
            yield from _inside(root, place, STATES, "the trial it could resume has finished")
            yield from _inside(root, place, STEPS, "of a trial whose samples stay")


def _forgotten(recipes: Sequence[str], root: Path, kept: dict[str, str]) -> Iterator[Doomed]:
    """Weights and states of runs that nothing names any more, for example of an experiment that was removed."""
    for place in forgotten.runs(recipes, root):
        for found in _inside(root, place, STEPS, "of a run that no branch, tag or experiment names"):
            if found.path not in kept:
                yield found
        yield from _inside(root, place, STATES, "the run it could resume has finished")


def _inside(root: Path, directory: Path, pattern: str, why: str) -> Iterator[Doomed]:
    for path in sorted((root / directory).glob(pattern)):
        named = pattern == STEPS and (path / checkpoints.MANIFEST).is_file()
        yield Doomed(path.relative_to(root).as_posix(), checkpoints.identity(path) if named else None, 0, why)


def _with_bytes(root: Path, doomed: Sequence[Doomed]) -> list[Doomed]:
    """What each frees: a file with a link elsewhere (of the base, of a kept checkpoint) frees nothing, a shared one counts once."""
    stats = {one: [path.stat() for path in (root / one.path).rglob("*") if path.is_file()] for one in doomed}
    links = Counter(stat.st_ino for found in stats.values() for stat in found)
    seen: set[int] = set()
    sized = []
    for one, found in stats.items():
        mine = [stat for stat in found if links[stat.st_ino] >= stat.st_nlink and stat.st_ino not in seen]
        seen |= {stat.st_ino for stat in mine}
        size = sum({stat.st_ino: stat.st_size for stat in mine}.values())
        sized.append(Doomed(one.path, one.sha256, size, one.why))
    return sized


def _broken(root: Path, kept: dict[str, str]) -> Iterator[str]:
    """Nothing goes while what stays is damaged."""
    base_places = {base.path for base in params.load(root / params.FILE).bases.values()}
    for path, why in kept.items():
        if path in base_places:
            continue
        try:
            checkpoints.verify(root / path)
        except VoiceLatheError as problem:
            yield f"{why}: {problem}"


def _remove(directory: Path) -> None:
    if directory.name.startswith(checkpoints.TEMPORARY):
        shutil.rmtree(directory)
    else:
        checkpoints.remove(directory)


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Hold a run's directory against its trainer."""
    with (directory / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"{directory} is being trained; nothing was removed. Wait until it has ended."
            ) from None
        yield


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and digest.of_file(path) == sha256
