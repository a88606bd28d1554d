"""What upstream ships as pickles, written again as safetensors: once, by a process of its own, before the base is pinned.

The parent never opens a pickle. The process reads with `weights_only`, inherits no environment but the search path, and ends; the new
file says which bytes it was made from. Without torch.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from voicelathe import digest
from voicelathe.errors import BaseModelError
from voicelathe.families.shared.safetensors_header import read_metadata

ORIGIN = "converted_from"  # the one entry of the new file's metadata


def convert(source: Path, target: Path) -> bool:
    """Write the tensors of a .pt or .pth file as safetensors. False: the target already is made from these bytes.

    Raises BaseModelError when the file holds anything that tensors do not need, or is damaged.
    """
    origin = _origin(source.name, digest.of_file(source))
    if target.is_file() and read_metadata(target).get(ORIGIN) == origin:
        return False
    if said := _apart("unpickle", str(source), str(target), origin):
        raise BaseModelError(
            f"{source} cannot be read as weights alone ({said}). It is damaged, or made to run code; "
            "download it again from the model's own page."
        )
    return True


def is_converted(target: Path) -> bool:
    """Whether a file was made by `convert`."""
    return ORIGIN in read_metadata(target)


def restore(source: Path, target: Path) -> None:
    """The way back, for an export: a dict of tensors as torch.save writes it, where upstream reads nothing else.

    Raises BaseModelError when that fails.
    """
    if said := _apart("repickle", str(source), str(target)):
        raise BaseModelError(f"{target} could not be made from {source}: {said}")


def _apart(module: str, *words: str) -> str | None:
    """Run a module of this package in an isolated process; None, or the last thing it said when it failed."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", f"voicelathe.families.shared.{module}", *words],
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.returncode:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]


def problems(base: Path, files: Mapping[str, str], source: str, target: str) -> Iterator[str]:
    """Whether the target is there and made from the source beside it, by the hashes of both."""
    if target not in files:
        yield f"{target}: missing; `voicelathe base add` makes it from {source}"
        return
    if source in files and read_metadata(base / target).get(ORIGIN) != _origin(source, files[source]):
        yield f"{target}: was made from other bytes than {source} has now; delete {target} and add the base again"


def _origin(name: str, sha256: str) -> str:
    return f"{name} sha256:{sha256}"
