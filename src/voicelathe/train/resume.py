"""What a run must remember to go on bit for bit: trained weights, optimizer state and the step. Everything else is a function of these.

The order of clips, all noise, dropout and the learning rate come from (seed, clip, step), so no random state is stored.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from voicelathe import checkpoints, digest, records
from voicelathe.errors import CheckpointError
from voicelathe.train import memory

PREFIX, PARAMETERS, OPTIMIZER = "state_", "parameters.safetensors", "optimizer.safetensors"


@dataclass(frozen=True)
class Journal:
    """The run's two append-only files beside the weights; both are durable when `append` returns."""

    directory: Path

    @property
    def steps(self) -> Path:
        return self.directory / "steps.jsonl"

    @property
    def timings(self) -> Path:
        return self.directory / "timings.jsonl"

    def read(self) -> list[records.StepRecord]:
        """Every step so far."""
        return records.read(self.steps, records.StepRecord) if self.steps.is_file() else []

    def append(self, step: records.StepRecord, timing: records.StepTiming) -> None:
        for path, record in ((self.steps, step), (self.timings, timing)):
            with path.open("ab") as file:
                file.write(digest.canonical_json(records.to_json(record)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def truncate(self, step: int) -> None:
        """Forget what came after a step; a line torn by a kill goes, too."""
        for path in (self.steps, self.timings):
            kept = [line for line in _whole_lines(path) if digest_step(line) <= step]
            digest.write_bytes(path, b"".join(kept))


def digest_step(line: bytes) -> int:
    """The step number of a journal line."""
    import json

    return int(json.loads(line)["step"])


def place(root: Path, step: int) -> Path:
    """The directory of a step's state: PARAMETERS and OPTIMIZER."""
    return root / f"{PREFIX}{step:07d}"


def forget_others(kept: Path) -> None:
    """Remove the states beside this one: one state is kept."""
    for old in kept.parent.glob(f"{PREFIX}*"):
        if old != kept:
            checkpoints.remove(old)


def newest(root: Path) -> Path | None:
    """The newest verified state, which alone is left; None for a run that has saved none yet. Raises as `restore` does."""
    checkpoints.sweep(root)
    broken: list[str] = []
    directory = checkpoints.newest_verified(root, PREFIX, broken)
    if directory is not None:
        forget_others(directory)
        return directory
    damaged = any((root / "quarantine").glob(f"{PREFIX}*"))
    kept = checkpoints.kept(root)
    if damaged or len([one for one in root.glob("step_*") if one.name not in kept]) > 1:
        seen = f" Seen now: {broken[0]}." if broken else ""
        raise CheckpointError(
            f"{root} holds checkpoints but no state to resume from (damaged ones are in {root}/quarantine).{seen} "
            "Restore it, or set the run aside and start over: voicelathe retrain RECIPE"
        )
    return None


def restore(root: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Load the newest verified state; returns its step, 0 for a run that has saved none yet.

    Older states go: a run that died after its last save, before these went, has no save left that would remove them.
    A run that died between its first numbered checkpoint and its first state starts over and makes the same checkpoint again.
    Raises CheckpointError when there must have been a state: starting over in silence would hide that it was lost.
    """
    from safetensors.torch import load_file

    if (directory := newest(root)) is None:
        return 0
    stored = load_file(directory / PARAMETERS)
    if set(stored) != set(parameters):
        raise CheckpointError(
            f"{directory} is of other parameters than this recipe trains. Set the run aside: voicelathe retrain RECIPE"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(stored[name])
    memory.restore(optimizer, parameters, load_file(directory / OPTIMIZER))
    return int(directory.name.removeprefix(PREFIX))


def _whole_lines(path: Path) -> list[bytes]:
    if not path.is_file():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
