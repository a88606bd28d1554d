"""Checkpoints behind the training's back: a snapshot in host memory, written by one thread, in order, while the next steps run.

What a kill leaves is what it always left: a directory is committed whole or not at all, the weights of a step come before the state
to resume from, and older states go last. A problem of the thread is raised at the next save or at the end of the run.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voicelathe import checkpoints, digest
from voicelathe.config import schema
from voicelathe.errors import DiskFull
from voicelathe.families.base import Model
from voicelathe.process import jobs
from voicelathe.train import adapters, memory, resume

THREAD = "checkpoint writer"
HOST_SHARE = 0.5  # of the host memory that is free: a larger snapshot is written in the foreground, directory after directory
SAVES = "saves.jsonl"  # beside the weights: how long each save held up the training, and how long it took
Contents = Mapping[
    str, Any
]  # file name -> tensors (*.safetensors), a Path or Sealed to link, or a JSON value


@dataclass(frozen=True)
class Sealed:
    """A file to link whose sha256 and size a manifest has."""

    path: Path
    known: dict[str, Any]


@dataclass
class Saver:
    """Keeps the weights of numbered steps and one rolling state to resume from."""

    job: jobs.TrainJob
    model: Model
    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    emit: Callable[[str, dict[str, Any]], None]
    _thread: threading.Thread | None = None
    _problem: BaseException | None = None

    def save(self, step: int, numbered: bool) -> None:
        """Keep the state of a step and, if `numbered`, its weights. Returns when a snapshot is taken; the thread writes it.

        Raises what went wrong with the save before.
        """
        began = time.monotonic()
        self.wait()
        parts = self._snapshots(step, numbered)
        need, free = self._size_bytes(numbered), free_host_bytes()
        if need > HOST_SHARE * free:
            text = f"step {step}: {need:,} bytes to save and {free:,} of host memory free; training waits for the disk"
            self.emit(jobs.NOTICE, {"text": text})
            self._write(step, parts, began, None)
            return
        taken = list(parts)
        arguments = (step, taken, began, time.monotonic() - began)
        self._thread = threading.Thread(target=self._guarded, args=arguments, name=THREAD)
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is being written. Raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._problem is not None:
            problem, self._problem = self._problem, None
            raise problem

    def _snapshots(self, step: int, numbered: bool) -> Iterator[tuple[Path, Contents, dict[str, Any]]]:
        """Directories to commit, in order, copied out of the running model when asked for."""
        root, same = Path(self.job.directory), None
        if numbered:
            final = root / f"step_{step:07d}"
            files = weights(self.model, self.job.train)
            about = {"step": step, "kind": self.job.train.mode, "run_digest": self.job.run_digest}
            yield final, files, about
            same = next((final / name for name, value in files.items() if self._is_state(name, value)), None)
        copies: Any = same or {name: p.detach().to("cpu", copy=True) for name, p in self.parameters.items()}
        state = memory.state(self.optimizer, self.parameters)
        yield resume.place(root, step), {resume.PARAMETERS: copies, resume.OPTIMIZER: state}, {"step": step}

    def _is_state(self, name: str, value: Any) -> bool:
        """Whether a file of the weights is also what a resume would load, so that it is linked and not written twice."""
        if isinstance(value, Path) or not name.endswith(".safetensors"):
            return False
        return {n: t.dtype for n, t in value.items()} == {n: p.dtype for n, p in self.parameters.items()}

    def _guarded(self, *arguments: Any) -> None:
        try:
            self._write(*arguments)
        except BaseException as problem:
            self._problem = problem

    def _write(
        self,
        step: int,
        parts: Iterable[tuple[Path, Contents, dict[str, Any]]],
        began: float,
        blocked_s: float | None,
    ) -> None:
        for final, contents, about in parts:
            kept = put(final, contents, about)
        resume.forget_others(kept)
        note(Path(self.job.directory), step, began, blocked_s)

    def _size_bytes(self, numbered: bool) -> int:
        size = sum(
            t.nbytes
            for entries in self.optimizer.state.values()
            for t in entries.values()
            if isinstance(t, Tensor)
        )
        size += sum(p.nbytes for p in self.parameters.values())
        if numbered and self.job.train.lora is None:
            size += sum(2 * p.numel() for p in self.model.core.parameters())
        return size


def note(directory: Path, step: int, began: float, blocked_s: float | None) -> None:
    """A line in SAVES; `blocked_s` None: training waited for all of it."""
    took_s = time.monotonic() - began
    line = {"step": step, "blocked_s": round(blocked_s or took_s, 4), "took_s": round(took_s, 4)}
    with (directory / SAVES).open("a", encoding="utf-8") as file:
        file.write(digest.canonical_json(line) + "\n")


def put(final: Path, contents: Contents, about: Mapping[str, Any]) -> Path:
    """Commit a directory. Raises DiskFull, whatever the disk had no room for; nothing of it is left then."""
    draft: checkpoints.Draft | None = None
    try:
        draft = checkpoints.Draft(final)
        for name, value in contents.items():
            if isinstance(value, Path):
                draft.link(name, value)
            elif isinstance(value, Sealed):
                draft.link(name, value.path, value.known)
            elif name.endswith(".safetensors"):
                draft.tensors(name, value)
            else:
                draft.json(name, value)
        return draft.commit(about)
    except OSError as problem:
        if draft is not None:
            draft.discard()
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"{final}: the disk is full ({problem}). The previous checkpoint is intact. "
            "Free space, then run the same command again: training goes on from there."
        ) from problem


def weights(model: Model, train: schema.Train) -> Contents:
    """Weights alone, in upstream's format: the adapter, or a whole directory whose unchanged files are links to the base.

    No tensor shares memory with the model.
    """
    if train.lora is not None:
        files = model.save_adapter(adapters.tensors(model.core), train.lora)
    else:
        files = whole(model)
    live = {parameter.untyped_storage().data_ptr() for parameter in model.core.parameters()}
    for name, value in files.items():
        if name.endswith(".safetensors") and not isinstance(value, Path):
            files[name] = {
                n: t.clone() if t.untyped_storage().data_ptr() in live else t for n, t in value.items()
            }
    return files


def whole(model: Model) -> dict[str, Any]:
    """A whole directory in bf16, as the published ones are: the family's files, and the base's own for all others."""
    files = dict(model.full_files(torch.bfloat16))
    for path in sorted(model.base.rglob("*")):
        if path.is_file() and (name := path.relative_to(model.base).as_posix()) not in files:
            files[name] = path
    return {name: value for name, value in files.items() if value is not None}


def free_host_bytes() -> int:
    """Host memory that can be had without swapping, inside this process's control group (cgroup v2)."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(meminfo["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / f"memory.{name}" for name in ("max", "current"))
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return free
