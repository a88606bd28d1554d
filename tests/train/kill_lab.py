"""Trainers that die: each run is a child forked from this process, which has torch loaded already, so hundreds of deaths stay cheap.

A child dies by SIGKILL, or, at a chosen point of a commit, by `os._exit`, which like a kill runs no clean-up of Python's.
"""

import errno
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, families
from voicelathe.process import jobs
from voicelathe.train import loop

KILLED, BROKEN = 137, 70  # exit codes of a child: by its own crash point; by an error that is a defect
_OPENED: dict[str, Any] = {}  # models, for children only
PARENT = os.getpid()
TOUCHES = (
    "fsync",
    "rename",
    "replace",
    "link",
    "unlink",
    "rmdir",
    "mkdir",
)  # what a commit asks of the file system


def child(work: Callable[[], Any], log: Path) -> int:
    """Fork, work, and return the child's process id; its standard error goes to `log`."""
    if pid := os.fork():
        return pid
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 2)
        work()
        os._exit(0)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        os._exit(BROKEN)


def ended(pid: int) -> int:
    """Exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def preload(*runs: jobs.TrainJob) -> None:
    """Do here, once, what every child would do first: the imports, by training a step or two of each, and opening their base.

    A child gets the model by the fork, as it was opened: this process never trains it, nor does it take it for what it opens later.
    """
    for job in runs:
        loop.run(job, lambda _kind, _values: None)
    family = families.find(job.target.family)
    facts = family.describe(Path(job.target.base), "", True)
    opened = family.open_model(Path(job.target.base), facts, job.target.machine)
    _OPENED[str(job.target.base)] = opened


def train(job: jobs.TrainJob, diary: Path | None = None) -> None:
    """For a child, whose family opens nothing anew from then on. `diary` gets a line for each phase that is announced."""
    assert os.getpid() != PARENT, "every later test of this process would be given the weights of this one"
    family = families.find(job.target.family)
    if opened := _OPENED.get(str(job.target.base)):
        type(family).open_model = lambda *_arguments, **_options: opened  # type: ignore[method-assign]
    handle = None if diary is None else os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def emit(kind: str, values: dict[str, Any]) -> None:
        if handle is not None and kind == jobs.PHASE:
            os.write(handle, f"{values['name']}\n".encode())

    loop.run(job, emit)


def die() -> None:
    os._exit(KILLED)


def fill_disk() -> None:
    os.write(2, b"the disk is full now\n")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die_at(nth: int, thread: str, how: Callable[[], None] = die, touches: tuple[str, ...] = TOUCHES) -> None:
    """From now on, the n-th thing that a thread asks of the file system ends this process; the middle of a file counts, too."""
    seen = 0

    def point() -> None:
        nonlocal seen
        if threading.current_thread().name == thread:
            seen += 1
            if seen == nth:
                how()

    def before(original: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **options: Any) -> Any:
            point()
            return original(*arguments, **options)

        return asked

    for name in touches:
        setattr(os, name, before(getattr(os, name)))
    blocks = checkpoints._blocks

    def interrupted(tensors: Any) -> Any:
        for block in blocks(tensors):
            point()
            yield block[: len(block) // 2]
            point()  # half of a block is on the disk
            yield block[len(block) // 2 :]

    checkpoints._blocks = interrupted


def kill_when(pid: int, diary: Path, phases: int, seconds: float) -> int:
    """SIGKILL a child some time after it announced so many phases, unless it was faster; returns how it ended."""
    deadline = None
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        now = time.monotonic()
        if deadline is None and len(announced(diary)) >= phases:
            deadline = now + seconds
        if deadline is not None and now >= deadline:
            os.kill(pid, signal.SIGKILL)
            return ended(pid)
        time.sleep(0.002)


def announced(diary: Path) -> list[str]:
    """The phases in a diary."""
    return diary.read_text().split() if diary.is_file() else []
