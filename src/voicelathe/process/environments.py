"""Interpreters of their own, for families whose upstream code has no package and wants other versions than ours.

`envs/<family>/` of the project pins what goes in: requirements.txt, locked with the sha256 of every file in requirements.lock and
requirements-cuda.lock, requirements-build.lock with what builds those that have no wheel, and upstream.json with repository, commit, the folders to import from and a module that must be importable. What is
made lies in layout.ENVIRONMENTS and can be deleted at any time. Nothing that is installed or imported sees a secret of the caller's. Parent side.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import voicelathe
from voicelathe import digest, families, layout, records, redaction
from voicelathe.errors import FamilyUnavailable, RecordError

PINS = Path("envs")
LOCK, CUDA_LOCK, BUILD_LOCK = "requirements.lock", "requirements-cuda.lock", "requirements-build.lock"
HAS_CUDA = (  # as in the Makefile
    'import importlib.metadata as m; print(any(one.startswith(("nvidia", "cuda")) '
    'for torch in m.distributions(name="torch") for one in torch.requires or ()))'
)
READY = "ready.json"  # written last: what the environment was made from
Report = Callable[[str], None]


@dataclass(frozen=True)
class Upstream:
    """upstream.json of a family."""

    repository: str
    commit: str
    paths: list[str]  # below the checkout, to import from
    module: str  # importable when all is well


@dataclass(frozen=True)
class Made:
    """ready.json: what an environment was made from."""

    pins: dict[str, str]
    source: str  # where upstream's code lies
    code: str  # digest of the Python files it is imported from


def needed() -> list[str]:
    """All there are, by name."""
    return sorted({name_of(family) for family in families.TABLE if families.spec(family).elsewhere})


def name_of(family: str) -> str:
    """The environment of a family: its own, or one that it shares with another."""
    return families.spec(family).environment or family


def python(family: str) -> Path:
    """The interpreter of a family. Raises FamilyUnavailable with what is missing and the command that makes it."""
    name = name_of(family)
    root, remedy = layout.ENVIRONMENTS / name, f"Run: voicelathe env create {name}"
    verbs = " and ".join(sorted(families.spec(family).elsewhere))
    if not (root / READY).is_file():
        raise FamilyUnavailable(
            f"{family} can {verbs} only with upstream's own code, in an interpreter of its own; {root / READY} is missing. {remedy}"
        )
    try:
        made = records.read_one(root / READY, Made)
    except RecordError:
        raise FamilyUnavailable(
            f"{root / READY} is damaged, or was written by another version of voicelathe. {remedy}"
        ) from None
    if made.pins != _pins(name):
        raise FamilyUnavailable(f"{root} was made from other pins than {PINS / name} has now. {remedy}")
    if made.code != _code(Path(made.source), _upstream(name)):
        raise FamilyUnavailable(
            f"The code in {made.source} is not what it was when {root} was made. {remedy}"
        )
    interpreter = root / "venv" / "bin" / "python"
    if not interpreter.exists():
        raise FamilyUnavailable(f"{interpreter} is gone. {remedy}")
    return interpreter


def lacking(family: str, verb: str) -> str | None:
    """What keeps a family from doing something here, and what to do about it; None when nothing does."""
    if verb not in families.spec(family).elsewhere:
        return None
    try:
        python(family)
    except FamilyUnavailable as problem:
        return str(problem)
    return None


def create(family: str, checkout: Path | None, report: Report) -> Path:
    """Fetch upstream's code, or take a checkout that is here, and install what it needs. Returns the interpreter.

    Raises FamilyUnavailable when a command fails; what is there stays, and the next call goes on with it.
    """
    family = name_of(family) if family in families.TABLE else family
    if family not in needed():
        raise FamilyUnavailable(
            f"{family!r} needs no interpreter of its own. These do: {', '.join(needed()) or 'none'}."
        )
    upstream, root = _upstream(family), layout.ENVIRONMENTS / family
    root.mkdir(parents=True, exist_ok=True)
    (root / READY).unlink(missing_ok=True)
    source = _fetched(upstream, root / "source", report) if checkout is None else checkout.resolve()
    if checkout is not None:
        _require_commit(source, upstream)
    _require_paths(source, upstream)
    code = _code(source, upstream)
    report(f"Making {root / 'venv'} and installing {PINS / family / LOCK}")
    interpreter = root / "venv" / "bin" / "python"
    if not interpreter.exists():
        _do([sys.executable, "-m", "venv", str(root / "venv")])
    _install(interpreter, PINS / family)
    _let_import(interpreter, root, [source / path for path in upstream.paths])
    shim = "from voicelathe.families.shared import torchaudio_shim; torchaudio_shim.ensure()"
    _do([str(interpreter), "-c", f"{shim}; import {upstream.module}"])
    digest.write_json(root / READY, records.to_json(Made(_pins(family), str(source), code)))
    return interpreter


def _install(interpreter: Path, pins: Path) -> None:
    """What the locks name and nothing else; the libraries of CUDA where the torch that was installed asks for them.

    What has no wheel is built with what the lock names, too: by itself pip would fetch a builder of its own, newest and without a hash.
    """
    install = [str(interpreter), "-m", "pip", "install", "-q", "--require-hashes", "--no-deps"]
    _do([*install, "--only-binary", ":all:", "-r", str(pins / BUILD_LOCK)])
    _do([*install, "--no-build-isolation", "--use-pep517", "-r", str(pins / LOCK)])
    if _do([str(interpreter), "-c", HAS_CUDA]).strip() == "True":
        _do([*install, "--only-binary", ":all:", "-r", str(pins / CUDA_LOCK)])


def _upstream(family: str) -> Upstream:
    path = PINS / family / "upstream.json"
    if not path.is_file():
        raise FamilyUnavailable(f"{path} is missing; restore it: git checkout -- {path}")
    return records.read_one(path, Upstream)


def _pins(family: str) -> dict[str, str]:
    """What an environment is made from: another hash, another environment."""
    found = {path.name: path for path in sorted((PINS / family).glob("*")) if path.is_file()}
    return {**digest.of_files(found), "python": sys.version.split()[0]}


def _fetched(upstream: Upstream, into: Path, report: Report) -> Path:
    """A clone at the pinned commit, with its submodules; what a killed one left is begun anew."""
    if not (into / ".git").exists():
        report(f"Cloning {upstream.repository}")
        draft = into.with_name(f"{into.name}.partial")  # a killed clone must not pass for a whole one
        shutil.rmtree(draft, ignore_errors=True)
        _do(["git", "clone", "-q", upstream.repository, str(draft)])
        draft.rename(into)
    _do(["git", "-C", str(into), "checkout", "-q", "--force", upstream.commit])
    _do(["git", "-C", str(into), "clean", "-q", "-ffdx"])
    _do(["git", "-C", str(into), "submodule", "update", "-q", "--init", "--recursive"])
    return into


def _require_commit(source: Path, upstream: Upstream) -> None:
    """A checkout that knows its commit has to be at the pinned one; an unpacked archive cannot be asked."""
    if not (source / ".git").exists():
        return
    seen = _do(["git", "-C", str(source), "rev-parse", "HEAD"]).strip()
    if seen != upstream.commit:
        raise FamilyUnavailable(
            f"--checkout {source} is at commit {seen[:12]}, and {upstream.commit[:12]} is pinned. "
            f"Run: git -C {source} checkout {upstream.commit[:12]}"
        )
    changed = _do(["git", "-C", str(source), "status", "--porcelain"]).splitlines()
    if changed:
        raise FamilyUnavailable(
            f"--checkout {source} holds {len(changed)} changes that nobody reviewed ({changed[0].strip()[:80]}). Look at them: git -C {source} status. "
            f"Then: git -C {source} stash --include-untracked"
        )


def _code(source: Path, upstream: Upstream) -> str:
    """Digest of every Python file that can be imported."""
    folders = [source / path for path in upstream.paths]
    files = {
        path.relative_to(source).as_posix(): path for one in folders for path in sorted(one.rglob("*.py"))
    }
    return digest.of_value(digest.of_files(files))


def _require_paths(source: Path, upstream: Upstream) -> None:
    for path in upstream.paths:
        if not (source / path).is_dir() or not any((source / path).iterdir()):
            raise FamilyUnavailable(
                f"{source / path} is missing or empty: give a checkout of {upstream.repository} at {upstream.commit[:12]} with its submodules."
            )


def _let_import(interpreter: Path, root: Path, paths: Sequence[Path]) -> None:
    """One .pth file: upstream's folders, and a folder that holds nothing but our package, for the worker."""
    own = root / "own"
    own.mkdir(exist_ok=True)
    link = own / "voicelathe"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(voicelathe.__file__).parent)
    asked = _do([str(interpreter), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
    lines = [str(path.resolve()) for path in (*paths, own)]
    (Path(asked.strip()) / "upstream.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _do(command: list[str]) -> str:
    """Run a command; its output goes to the screen where it has something to say to a person."""
    held = redaction.harmless(os.environ)
    environment = {name: value for name, value in held.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise FamilyUnavailable(
            f"`{' '.join(command[:6])} ...` failed with exit code {done.returncode}; its own words are above. "
            "Correct what it names and run the same command again."
        )
    return done.stdout
