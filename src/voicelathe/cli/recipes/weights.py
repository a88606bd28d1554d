"""Whether the weights that a recipe's index names are still on disk and still are what the index says.

DVC does not follow weights: it says "up to date" when they are gone. So this is asked wherever it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe.errors import VoiceLatheError

if TYPE_CHECKING:
    from voicelathe.records import CheckpointRecord, RunRecord


@dataclass(frozen=True)
class Weights:
    """What became of a recipe's checkpoints, the base among them."""

    num_present: int
    num_listed: int
    problems: list[str]  # one a checkpoint, in the order of the steps
    num_pruned: int = 0  # removed on purpose

    def __str__(self) -> str:
        pruned = f", {self.num_pruned} pruned" if self.num_pruned else ""
        return f"{self.num_present} of {self.num_listed}{pruned}" + (" MISSING" if self.problems else "")


def inspect(run: RunRecord, index: list[CheckpointRecord], deep: bool) -> Weights:
    """Compare with the index. Shallow: identity of the manifest, presence and size of its files. Deep: every byte."""
    from voicelathe.runs import tombstones

    problems, gone, excuses = [], 0, tombstones.excused()
    for entry in index:
        if tombstones.is_excused(entry.path, entry.sha256, excuses):
            gone += 1
            continue
        try:
            _inspect_base(run, entry, deep) if entry.step == 0 else _inspect_checkpoint(entry, deep)
        except VoiceLatheError as problem:
            problems.append(f"step {entry.step}: {problem}")
        except FileNotFoundError as problem:
            problems.append(f"step {entry.step}: {problem.filename} is gone")
    return Weights(len(index) - len(problems) - gone, len(index), problems, gone)


def remedy(recipe: str) -> str:
    """What to do about missing weights; first, whether they were pruned and only the note of it is not here."""
    from voicelathe.registry.history import reachable
    from voicelathe.runs import tombstones

    if behind := reachable.behind(Path(), tombstones.FILE):
        return behind
    return f"Restore them, or train again: voicelathe retrain {recipe}, then dvc repro"


def _inspect_checkpoint(entry: CheckpointRecord, deep: bool) -> None:
    from voicelathe import checkpoints, digest
    from voicelathe.errors import CheckpointError

    directory = Path(entry.path)
    if deep:
        checkpoints.verify(directory, entry.sha256)
        return
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is gone")
    if checkpoints.identity(directory) != entry.sha256:
        raise CheckpointError(f"{directory} holds other weights than the index says")
    for name, expected in digest.read_json(directory / checkpoints.MANIFEST)["files"].items():
        if (size := (directory / name).stat().st_size) != expected["bytes"]:
            raise CheckpointError(f"{directory / name} has {size:,} bytes instead of {expected['bytes']:,}")


def _inspect_base(run: RunRecord, entry: CheckpointRecord, deep: bool) -> None:
    from voicelathe import layout, records
    from voicelathe.errors import BaseModelError
    from voicelathe.families import bases

    directory = Path(entry.path)
    facts = records.read_one(layout.latents(run.identity.base) / "base.json", records.BaseFacts)
    if deep:
        bases.verify(directory, facts)
        return
    size = sum((directory / name).stat().st_size for name in facts.files)
    if size != entry.bytes:
        raise BaseModelError(f"{directory} has {size:,} bytes instead of {entry.bytes:,}")
