"""Which files may an environment be installed from? Writes requirements.lock, requirements-cuda.lock and requirements-build.lock with the sha256 of every file.

One lock serves Python 3.11, 3.12 and 3.13 (markers say what only one of them needs). What PyTorch's CUDA build brings besides stands in a lock of
its own: a machine without a card does not need its 3 GB. What builds the packages that have no wheel is copied into requirements-build.lock and installed
first, because pip would otherwise fetch it by itself, newest and without a hash. Versions stay where the lock has them and pyproject.toml allows it.

    python -m tools.lock [PACKAGE==VERSION ...]     needs the uv of pyproject.toml (tool.uv.required-version); a package that is named gets that version
"""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"][
    "required-version"
].removeprefix("==")
LOCK, CUDA_LOCK, BUILD_LOCK = (
    ROOT / name for name in ("requirements.lock", "requirements-cuda.lock", "requirements-build.lock")
)
BUILDERS = (
    "setuptools",
    "cython",
    "numpy",
    "scikit-build-core",
    "packaging",
    "pathspec",
)  # as far as a lock has them
ENVIRONMENTS = {"cosyvoice3": "3.11", "indextts2": "3.11"}  # family -> the oldest Python that its lock is for
APART = (
    ROOT / "deploy/mlflow.txt",
    ROOT / "tools/sbom.txt",
    ROOT / "tools/audit.txt",
    ROOT / "tools/uv.txt",
    ROOT / "tools/site.txt",
)  # what an image holds besides; tools in an environment of their own
CUDA = re.compile(r"(?:nvidia|cuda)-|triton==")
SUPPORTED = "python_full_version < '3.14'"  # environments in pyproject.toml: what holds for all of them is not said of each package
EVERYWHERE = f"{SUPPORTED} and (sys_platform == 'darwin' or sys_platform == 'linux')"  # as that uv writes it
CPU_TORCH = {  # PyTorch's own CPU builds, which are not on the package index; the name is that of the file
    "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
}
HEAD = {
    LOCK: "Every version of the environment that the tests ran on, for Python 3.11 to 3.13, with the sha256 of each file it may be made from",
    BUILD_LOCK: "What builds the packages of requirements.lock that have no wheel; installed before them",
    CUDA_LOCK: "What a CUDA build of torch needs besides requirements.lock; `make setup` installs it where torch asks for it",
}
REMAKE = "Made by `python -m tools.lock`; see docs/environment.md. Installed with --require-hashes --no-deps."


def main(changes: list[str]) -> None:
    """Write both locks, those of what stands apart, and those of every environment. Exits where uv is another version, or is missing."""
    if (seen := version_of_uv()) != UV:
        sys.exit(f"uv: {seen or 'not installed'}, and the locks are made with {UV}. Do: pip install uv=={UV}")
    blocks = compiled(ROOT / "pyproject.toml", pins(LOCK, CUDA_LOCK), changes, "3.11", "--all-extras")
    write(LOCK, [with_cpu_builds(block) for block in blocks if not CUDA.match(block)])
    write(CUDA_LOCK, [block for block in blocks if CUDA.match(block)])
    for asked in APART:
        lock = asked.with_suffix(".lock")
        write(lock, compiled(asked, [*pins(LOCK), *pins(lock)], changes, "3.11"))
    write(BUILD_LOCK, builders(blocks))
    for family, python in ENVIRONMENTS.items():
        folder = ROOT / "envs" / family
        kept = pins(folder / LOCK.name)
        locked = compiled(folder / "requirements.txt", kept, changes, python)
        write(folder / LOCK.name, [with_cpu_builds(block) for block in locked if not CUDA.match(block)])
        write(folder / CUDA_LOCK.name, [block for block in locked if CUDA.match(block)])
        write(folder / BUILD_LOCK.name, builders(locked))


def version_of_uv() -> str | None:
    """The one that this interpreter has."""
    try:
        return importlib.metadata.version("uv")
    except importlib.metadata.PackageNotFoundError:
        return None


def builders(blocks: list[str]) -> list[str]:
    """What the packages without a wheel are built with."""
    return [block for block in blocks if name_of(block) in BUILDERS]


def pins(*locks: Path) -> list[str]:
    """NAME==VERSION of every package of the locks that are there, with its marker where another Python has another version."""
    lines = [
        line for lock in locks if lock.is_file() for line in lock.read_text(encoding="utf-8").splitlines()
    ]
    found = [line.rstrip(" \\") for line in lines if re.match(r"[\w.-]+(?:\[[\w,-]+\])?==", line)]
    number = Counter(name_of(pin) for pin in found)
    return [pin if number[name_of(pin)] > 1 else pin.split(" ;")[0] for pin in found]


def compiled(source: Path, kept: list[str], changes: list[str], python: str, *more: str) -> list[str]:
    """The packages that a file asks for, one text each: version, marker and hashes."""
    changed = {name_of(change) for change in changes}
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("\n".join([*(pin for pin in kept if name_of(pin) not in changed), *changes]))
        command = [sys.executable, "-m", "uv", "pip", "compile", str(source), *more, "-c", str(constraints)]
        command += [
            "--universal",
            "--python-version",
            python,
            "--generate-hashes",
            "--no-annotate",
            "--no-header",
            "-q",
        ]
        text = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    text = text.replace(f" ; {EVERYWHERE}", "").replace(f"{SUPPORTED} and ", "")
    return re.split(r"\n(?=\S)", text.strip())


def name_of(pin: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[=\[]", pin)[0]).lower()


def with_cpu_builds(block: str) -> str:
    """The hashes of PyTorch's own files beside those of the index."""
    version = re.match(r"torch==(\S+)", block)
    if version is None:
        return block
    found = [sha256 for name, sha256 in CPU_TORCH.items() if name.startswith(f"torch-{version[1]}+")]
    return " \\\n".join([block, *(f"    --hash=sha256:{sha256}" for sha256 in found)])


def write(lock: Path, blocks: list[str]) -> None:
    head = HEAD.get(lock) or f"What {lock.parent.name}/{lock.stem} needs"
    lock.write_text("\n".join([f"# {head}.", f"# {REMAKE}", *blocks, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
