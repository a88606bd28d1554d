"""What `voicelathe doctor` looks at outside the project: interpreter, packages, torch, programs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = Path("requirements.lock")
PYTHONS = ((3, 11), (3, 12), (3, 13))  # as in pyproject.toml; the tests pass on each
OK, NOTE, BAD = "ok", "note", "BAD"


@dataclass(frozen=True)
class MachineFinding:
    """One thing that was looked at."""

    what: str
    state: str  # ok | note | BAD
    seen: str
    fix: str = ""


def python() -> Iterator[MachineFinding]:
    seen = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info[:2] not in PYTHONS:
        yield MachineFinding(
            "python", BAD, seen, "Python 3.11, 3.12 or 3.13 is needed: make setup PYTHON=/path/to/python3.11"
        )
    else:
        yield MachineFinding("python", OK, seen)


def packages() -> Iterator[MachineFinding]:
    """Every pinned version against what is installed; build tags such as +cpu do not count."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    if not LOCK_FILE.is_file():
        yield MachineFinding(
            "packages", BAD, f"no {LOCK_FILE}", f"Run in the project's root, or: git checkout {LOCK_FILE}"
        )
        return
    wrong, count = [], 0
    for line in LOCK_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith(("#", " ")) or "==" not in line:
            continue
        pinned = Requirement(line.rstrip(" \\"))
        if pinned.marker is not None and not pinned.marker.evaluate():
            continue
        name, wanted, count = pinned.name, str(pinned.specifier).removeprefix("=="), count + 1
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            found = "none"
        if found != wanted.split("+")[0]:
            wrong.append(f"{name} {found}, pinned {wanted}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        yield MachineFinding(
            "packages", BAD, f"{len(wrong)} of {count} differ: {'; '.join(wrong[:3])}{more}", "make setup"
        )
    else:
        yield MachineFinding("packages", OK, f"{count} as pinned in {LOCK_FILE}")


def torch_build() -> Iterator[MachineFinding]:
    """torchaudio from the index is a CUDA build: beside a CPU torch its import fails, and takes other packages with it."""
    try:
        import torch
    except (ImportError, OSError) as problem:
        yield MachineFinding("torch", BAD, str(problem).splitlines()[0], "make setup")
        return
    from voicelathe.families.shared import torchaudio_shim

    state = torchaudio_shim.ensure()
    seen = f"torch {torch.__version__}, torchaudio: {state}"
    if state == "no extension":
        yield MachineFinding(
            "torch", OK, f"{seen} (a CUDA build beside this torch; worked around, and not used by us)"
        )
    else:
        yield MachineFinding("torch", OK, seen)
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        seen = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"
        yield MachineFinding("torch", BAD, seen, "unset it: torch would run code out of weight files")


def programs() -> Iterator[MachineFinding]:
    for program, why in (
        ("dvc", "`dvc exp run` hangs without it; activate the environment: source .venv/bin/activate"),
        ("git", "runs are not tagged with their revision; install git"),
    ):
        place = shutil.which(program)
        yield (
            MachineFinding(program, OK, place) if place else MachineFinding(program, NOTE, "not on PATH", why)
        )
