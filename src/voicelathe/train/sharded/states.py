"""Saving a model that lies in pieces: the weights as if one process had them all, and of the state to resume from each process its own file.

Everything is written before training goes on: processes that met for a save behind the training's back would cross those of a step.
A state is there when all of its files are: each process commits its own into a temporary directory, and when all have, the first one
links them into the state, commits that, and only then removes the state before.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from voicelathe import checkpoints, digest
from voicelathe.errors import CheckpointError
from voicelathe.families.base import Model
from voicelathe.process import jobs
from voicelathe.train import memory, resume, saving
from voicelathe.train.distributed import Peers
from voicelathe.train.sharded.pieces import Held, Pieces


def saver(
    job: jobs.TrainJob,
    model: Model,
    held: Held,
    optimizer: torch.optim.Optimizer,
    emit: Callable[[str, dict[str, Any]], None],
) -> "saving.Saver | JointSaver":
    """Who saves a run, however its model is held."""
    if isinstance(held, Pieces):
        return JointSaver(job, model, held, optimizer)
    return saving.Saver(job, model, held.own, optimizer, emit)


def restored(root: Path, held: Held, optimizer: torch.optim.Optimizer) -> int:
    """The step of the newest state, which is loaded; 0 if there is none. One process after the other."""
    if isinstance(held, Pieces):
        return restore(root, held, optimizer)
    return resume.restore(root, held.own, optimizer)


@dataclass(frozen=True)
class JointSaver:
    """What `saving.Saver` is to a model that one process holds. Every process saves."""

    job: jobs.TrainJob
    model: Model
    pieces: Pieces
    optimizer: torch.optim.Optimizer

    def save(self, step: int, numbered: bool) -> None:
        """Keep the state of a step and, if `numbered`, its weights. Returns when they are on the disk."""
        began, root = time.monotonic(), Path(self.job.directory)
        if numbered:
            with self.pieces.whole_on_host():
                if self.pieces.peers.is_first:
                    files = saving.weights(self.model, self.job.train)
                    about = {"step": step, "kind": self.job.train.mode, "run_digest": self.job.run_digest}
                    saving.put(root / f"step_{step:07d}", files, about)
                    del files  # the state comes next, and the host need not hold both
        keep(root, step, self.pieces, self.optimizer)
        if self.pieces.peers.is_first:
            saving.note(root, step, began, None)

    def wait(self) -> None:
        """Nothing is written behind the training's back."""


def file_of(rank: int, count: int) -> str:
    """The file of one process in a state."""
    return f"rank-{rank}-of-{count}.safetensors"


def keep(root: Path, step: int, pieces: Pieces, optimizer: torch.optim.Optimizer) -> None:
    """Write the state of a step, in all processes at once; the one before goes when it is whole."""
    peers, final = pieces.peers, resume.place(root, step)
    own = {name: p.detach().to("cpu", copy=True) for name, p in pieces.own.items()}
    own |= memory.state(optimizer, pieces.own)  # as parameter::key
    parts = [
        final.with_name(f"{checkpoints.TEMPORARY}{final.name}-rank-{rank}") for rank in range(peers.count)
    ]
    saving.put(parts[peers.rank], {file_of(peers.rank, peers.count): own}, {"step": step})
    peers.meet()
    if peers.is_first:
        files = {}
        for rank, part in enumerate(parts):
            name = file_of(rank, peers.count)
            files[name] = saving.Sealed(part / name, _manifest(part)[name])
        kept = saving.put(final, files, {"step": step, "processes": peers.count})
        for part in parts:
            shutil.rmtree(part)
        resume.forget_others(kept)
    peers.meet()


def restore(root: Path, pieces: Pieces, optimizer: torch.optim.Optimizer) -> int:
    """Load this process's file of the newest verified state; returns its step, 0 for a run that has saved none yet.

    The first process verifies all files, and every other one its own. Raises CheckpointError as `resume.restore` does, and for a state of
    another number of processes.
    """
    from safetensors.torch import load_file

    peers = pieces.peers
    left = max(root.glob(f"{resume.PREFIX}*"), default=None)
    directory = resume.newest(root) if peers.is_first else left  # the first one has left no other
    if directory is None:
        return 0
    stored = load_file(directory / _own_file(directory, peers))
    weights = {name: tensor for name, tensor in stored.items() if "::" not in name}
    if set(weights) != set(pieces.own) or any(t.shape != pieces.own[n].shape for n, t in weights.items()):
        raise CheckpointError(
            f"{directory} is of other parameters than this recipe trains. Set the run aside: voicelathe retrain RECIPE"
        )
    with torch.no_grad():
        for name, parameter in pieces.own.items():
            parameter.copy_(weights[name])
    memory.restore(optimizer, pieces.own, {n: t for n, t in stored.items() if n not in weights})
    return int(directory.name.removeprefix(resume.PREFIX))


def _own_file(directory: Path, peers: Peers) -> str:
    name, files = file_of(peers.rank, peers.count), _manifest(directory)
    if name not in files:
        were = digest.read_json(directory / checkpoints.MANIFEST).get("processes")
        told = f"{were} processes that shared the weights" if were else "processes that each held all weights"
        raise CheckpointError(
            f"{directory} was saved by {told}, and this run has {peers.count} that share them, which would need its {name}. "
            "Start it as it was, or set the run aside: voicelathe retrain RECIPE"
        )
    if not peers.is_first and digest.of_file(directory / name) != files[name]["sha256"]:
        raise CheckpointError(
            f"{directory}/{name} reads differently in process {peers.rank} than in the first one. Look at the disk, and start again."
        )
    return name


def _manifest(directory: Path) -> dict[str, Any]:
    files: dict[str, Any] = digest.read_json(directory / checkpoints.MANIFEST)["files"]
    return files
