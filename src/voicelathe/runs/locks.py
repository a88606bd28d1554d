"""One trainer per run directory and one worker per GPU: flocks that the kernel releases when a process dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voicelathe.config import schema
from voicelathe.errors import RunLocked, VoiceLatheError


@contextmanager
def run_directory(directory: Path, doing: str = "trained") -> Iterator[None]:
    """Hold the run's directory. Raises RunLocked naming the process that has it."""
    directory.mkdir(parents=True, exist_ok=True)
    with _flock(directory / ".lock", f"{directory} is being {doing}"):
        yield


@contextmanager
def device(machine: schema.Machine, shared: bool = False) -> Iterator[None]:
    """Hold the GPU; the CPU is shared. `shared`: with others who share, as those do who only speak; nobody trains beside them. Raises RunLocked, and VoiceLatheError when the device asked for is not there."""
    if machine.device == "cpu":
        yield
        return
    import torch

    if not torch.cuda.is_available():
        raise VoiceLatheError(
            "machine.device = cuda: torch finds no CUDA device. Check the driver (nvidia-smi) and that torch is a CUDA build "
            f"(this one is {torch.__version__}); or set machine.device: cpu."
        )
    uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
    place = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "voicelathe" / f"gpu-{uuid}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    with _flock(place, f"The GPU {uuid} is in use", shared):
        yield


@contextmanager
def _flock(path: Path, busy: str, shared: bool = False) -> Iterator[None]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise RunLocked(f"{busy} by process {owner}. Wait for it, or end it: kill {owner}") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
