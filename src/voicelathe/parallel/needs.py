"""What does work need to find wherever it runs, and does another machine have the same?

Facts are text under names, so that machines with other versions of us can be compared: what this process finds, and what it finds there.
"""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import voicelathe
from voicelathe import digest

PACKAGES = (  # whose version may decide a measure's last digits, or a word
    *("numpy", "scipy", "soundfile", "soxr", "pyloudnorm", "torch", "silero-vad"),
    *("ctranslate2", "tokenizers", "pocketsphinx", "jiwer", "RapidFuzz"),
)
MAX_FILES = 8  # that are hashed on every machine: enough to know a file system by
NOTHING_THERE = "missing"


@dataclass(frozen=True)
class Needs:
    """Paths as the work opens them: a few files to know the file system by, and folders of models, of which every file is hashed.

    `packages`: distributions beside PACKAGES. `is_exact`: no digit of the result is rounded away, so the processor's vector instructions
    must be the same, too: kernels are chosen by them. `cpus`, `gpus` and `memory_bytes` are what each task gets for itself.
    """

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    is_exact: bool = False
    cpus: int = 1
    gpus: int = 0
    memory_bytes: int = 0

    @classmethod
    def of(cls, root: Path, names: Sequence[str], folders: Sequence[str] = ()) -> "Needs":
        """A few files below a root, spread over all names."""
        step = max(1, -(-len(names) // MAX_FILES))
        return cls(tuple(str(root / name) for name in names[::step]), tuple(folders))


def base_bytes(base: Path) -> int:
    """What a process takes that holds a base: bf16 in files is fp32 in memory."""
    return 2 * sum(path.stat().st_size for path in base.rglob("*") if path.is_file())


@dataclass(frozen=True)
class WorkWatch:
    """Who is told how work on many clips goes."""

    notice: Callable[[str], None] = field(default=lambda text: None)  # something that a person should read
    advance: Callable[[int], None] = field(default=lambda number: None)  # so many items are done, in all
    content: Callable[[Any], str] = field(default=lambda shard: "")  # of a shard, for sentences about it


UNWATCHED = WorkWatch()
TO_STDERR = WorkWatch(notice=lambda text: print(text, file=sys.stderr, flush=True))


def facts(needs: Needs) -> dict[str, str]:
    """What this process finds, by name; the same names on every machine that has this version."""
    found = {
        "voicelathe": voicelathe.__version__,
        "voicelathe's code": code(),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "processor": platform.machine(),
        **{f"package {name}": _version(name) for name in (*PACKAGES, *needs.packages)},
    }
    if needs.is_exact:
        found["vector instructions"] = _vectors()
    found |= {f"file {name}": _sha256(Path(name)) for name in needs.files}
    return found | {f"folder {name}": _tree(Path(name)) for name in needs.folders}


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """One sentence for each fact that is another one there."""
    return [
        f"{name}: {_short(there.get(name, NOTHING_THERE))} there, {_short(value)} here"
        for name, value in here.items()
        if there.get(name, NOTHING_THERE) != value
    ]


def sizes(paths: Sequence[str]) -> dict[str, int]:
    """Bytes of each file, -1 for one that is not there: cheap enough to be asked before and after every shard."""
    return {path: _size(path) for path in paths}


@cache
def code() -> str:
    """Digest of the package's own files: two checkouts may call themselves the same version."""
    return _tree(Path(voicelathe.__file__).parent)


@cache
def _vectors() -> str:
    """Those that kernels are chosen by, as Linux names them; nothing where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return " ".join(sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma"))))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _sha256(path: Path) -> str:
    try:
        return digest.of_file(path) if path.is_file() else NOTHING_THERE
    except OSError as problem:
        return f"unreadable ({problem.strerror})"


def _tree(folder: Path) -> str:
    """As a recogniser's folder is pinned."""
    if not folder.is_dir():
        return NOTHING_THERE
    files = digest.of_tree(folder)
    return digest.of_value({name: value for name, value in files.items() if "__pycache__" not in name})


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - called twice a shard
    except OSError:
        return -1


def _short(value: str) -> str:
    return value[:16] if len(value) == 64 else value
