"""`voicelathe doctor`: what on this machine or in this project would stop a run, and the fix for each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.errors import VoiceLatheError
from voicelathe.redaction import public

if TYPE_CHECKING:
    from voicelathe import settings

LOCK_FILE = Path("requirements.lock")
PYTHONS, TESTED_PYTHON = ((3, 11), (3, 12)), (3, 11)  # as in pyproject.toml
OK, NOTE, BAD = "ok", "note", "BAD"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str  # ok | note | BAD
    seen: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("doctor")(doctor)


def doctor() -> None:
    """Look at the interpreter, packages, device, disk, bases, weights, tracking and locks; each problem with its fix."""
    findings = [finding for check in CHECKS for finding in _guarded(check)]
    screen.table("doctor", ("what", "state", "seen"), [(one.what, one.state, one.seen) for one in findings])
    for one in findings:
        if one.state != OK and one.fix:
            screen.say(f"{one.what}: {one.fix}")
    if any(one.state == BAD for one in findings):
        raise typer.Exit(1)


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that meets an unusable file reports that and leaves the others alone."""
    try:
        yield from check()
    except VoiceLatheError as problem:
        first, *rest = str(problem).splitlines()
        yield Finding(check.__name__.strip("_"), BAD, first, "\n".join(rest))


def _python() -> Iterator[Finding]:
    seen = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info[:2] not in PYTHONS:
        yield Finding(
            "python", BAD, seen, "Python 3.11 or 3.12 is needed: make setup PYTHON=/path/to/python3.11"
        )
    elif sys.version_info[:2] != TESTED_PYTHON:
        yield Finding("python", NOTE, seen, "Only Python 3.11 is tested.")
    else:
        yield Finding("python", OK, seen)


def _packages() -> Iterator[Finding]:
    """Every pinned version against what is installed; build tags such as +cpu do not count."""
    from importlib.metadata import PackageNotFoundError, version

    if not LOCK_FILE.is_file():
        yield Finding(
            "packages", BAD, f"no {LOCK_FILE}", f"Run in the project's root, or: git checkout {LOCK_FILE}"
        )
        return
    wrong, count = [], 0
    for line in LOCK_FILE.read_text(encoding="utf-8").splitlines():
        name, equal, wanted = (
            line.split("#")[0].split(";")[0].split("--")[0].strip().rstrip("\\").strip().partition("==")
        )
        if not equal:
            continue
        count += 1
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            found = "none"
        if found != wanted.split("+")[0]:
            wrong.append(f"{name} {found}, pinned {wanted}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        yield Finding(
            "packages", BAD, f"{len(wrong)} of {count} differ: {'; '.join(wrong[:3])}{more}", "make setup"
        )
    else:
        yield Finding("packages", OK, f"{count} as pinned in {LOCK_FILE}")


def _torch() -> Iterator[Finding]:
    """torchaudio from the index is a CUDA build: beside a CPU torch its import fails, and takes other packages with it."""
    try:
        import torch
    except (ImportError, OSError) as problem:
        yield Finding("torch", BAD, str(problem).splitlines()[0], "make setup")
        return
    from voicelathe.families import torchaudio_shim

    state = torchaudio_shim.ensure()
    seen = f"torch {torch.__version__}, torchaudio: {state}"
    if state == "no extension":
        yield Finding(
            "torch", OK, f"{seen} (a CUDA build beside this torch; worked around, and not used by us)"
        )
    else:
        yield Finding("torch", OK, seen)
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        seen = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"
        yield Finding("torch", BAD, seen, "unset it: torch would run code out of weight files")


def _device() -> Iterator[Finding]:
    import torch

    wanted = _params().machine.device
    there = torch.cuda.is_available()
    name = torch.cuda.get_device_name(0) if there else "no CUDA device"
    if wanted == "cuda" and not there:
        fix = "Check nvidia-smi and that torch is a CUDA build (torch.version.cuda), or set machine.device: cpu."
        yield Finding("device", BAD, f"machine.device = cuda, but {name}", fix)
    elif wanted == "cpu" and there:
        yield Finding(
            "device", NOTE, f"cpu, though there is a {name}", "To use it, set machine.device: cuda."
        )
    else:
        yield Finding("device", OK, wanted if wanted == "cpu" else name)


def _disk() -> Iterator[Finding]:
    recipes = _params().recipes
    free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    wanted_gib = max((one.preflight.min_free_disk_gib for one in recipes.values()), default=0.0)
    seen = f"{free_gib:.1f} GiB free"
    if free_gib < wanted_gib:
        fix = f"The recipes want {wanted_gib:g} GiB. Old runs are in {layout.CHECKPOINTS}/, caches in {layout.CACHE}/."
        yield Finding("disk", BAD, seen, fix)
    else:
        yield Finding("disk", OK, seen)


def _params() -> settings.Params:
    from voicelathe import params

    return params.load()


def _manifest() -> Iterator[Finding]:
    from voicelathe import digest

    ingest = _params().ingest
    path = Path(ingest.manifest)
    if not path.is_file():
        yield Finding(
            "manifest", BAD, f"{path} is missing", "Restore it, or import another: voicelathe import PATH"
        )
    elif digest.of_file(path) != ingest.sha256:
        yield Finding(
            "manifest", BAD, f"{path} is not what is pinned", "Restore it, or accept it: voicelathe pin"
        )
    else:
        yield Finding("manifest", OK, f"{path} as pinned (its audio is checked by `ingest`)")


def _consent() -> Iterator[Finding]:
    from datetime import date

    from voicelathe.cli import consents
    from voicelathe.data import consent

    policy = _params().consent.policy
    speakers = consents.speakers_in_use()
    if not speakers:
        yield Finding("consent", OK, "no speakers ingested yet")
    for name, languages in sorted(speakers.items()):
        problems = consent.problems(name, "train", date.today(), languages)
        if not problems:
            yield Finding(f"consent {name}", OK, "valid for training")
        else:
            state = BAD if policy == "required" else NOTE
            yield Finding(f"consent {name}", state, problems[0], f"voicelathe consent check {name}")


def _bases() -> Iterator[Finding]:
    from voicelathe.families import bases

    for name, base in _params().bases.items():
        try:
            facts = bases.pinned(name, base)
        except VoiceLatheError as problem:
            first, *rest = str(problem).splitlines()
            yield Finding(f"base {name}", BAD, first, "\n".join(rest))
        else:
            yield Finding(f"base {name}", OK, f"{len(facts.files)} files as pinned")


def _weights() -> Iterator[Finding]:
    from voicelathe import runs
    from voicelathe.cli import weights

    for name in _params().recipes:
        if not layout.run(name, "checkpoints.json").is_file() or not layout.run(name, "run.json").is_file():
            yield Finding(f"weights {name}", OK, "not trained yet")
            continue
        found = weights.inspect(*runs.read(name), deep=False)
        if found.problems:
            yield Finding(f"weights {name}", BAD, "; ".join(found.problems[:2]), weights.remedy(name))
        else:
            yield Finding(f"weights {name}", OK, f"{found} present")


def _tracking() -> Iterator[Finding]:
    """Whether the store answers, without importing mlflow."""
    from voicelathe.tracking import store

    uri = store.address(Path())
    shown = public(uri)
    if store.is_embedded(uri):
        there = Path(uri.removeprefix("sqlite:///")).is_file()
        yield Finding("tracking", OK, shown if there else f"{shown} (made by the first run)")
        return
    fix = "Start the server or correct MLFLOW_TRACKING_URI; training goes on without it: voicelathe track RECIPE later."
    problem = _unreachable(uri)
    yield (
        Finding("tracking", BAD, f"{shown}: {problem}", fix)
        if problem
        else Finding("tracking", OK, f"{shown} answers")
    )


def _dead_runs() -> Iterator[Finding]:
    """Runs of killed processes; ended here, because nobody else would."""
    from voicelathe.tracking import dead, glance, store

    uri = store.address(Path())
    if store.is_embedded(uri) and glance.num_running(Path()) == 0:
        return  # the usual case, without importing MLflow
    if not store.is_embedded(uri) and _unreachable(uri):
        return  # said above
    if ended := dead.end(_params().tracking, Path()):
        yield Finding(
            "runs",
            NOTE,
            f"{', '.join(ended)}: killed, MLflow knows that now",
            "dvc repro goes on where they stopped",
        )


def _production() -> Iterator[Finding]:
    """The alias, the journal, and whether the version in production could speak this moment."""
    from voicelathe.registry import promoted, voice
    from voicelathe.tracking import store

    uri = store.address(Path())
    if not store.is_embedded(uri) and _unreachable(uri):
        return
    found = promoted.status(Path())
    if found.problem is not None:
        yield Finding("production", BAD, found.state, found.problem)
    elif found.promotion is None:
        yield Finding("production", OK, "nothing was promoted yet")
    elif problems := voice.problems(Path(), found.promotion):
        yield Finding(
            "production",
            BAD,
            "; ".join(problems[:2]),
            "Restore what is named, or go back: voicelathe rollback",
        )
    else:
        shown = f"version {found.alias}: {found.promotion.recipe} {found.promotion.candidate}, as the journal says"
        yield Finding("production", OK, shown)


def _unreachable(uri: str) -> str | None:
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    if not uri.startswith(("http://", "https://")):
        return None  # a database or a hosted service: only its own client can tell
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=5):
            return None
    except HTTPError:
        return None  # it answers; whether we may enter is for the client to find out
    except (URLError, OSError, ValueError) as problem:
        return str(getattr(problem, "reason", problem))


def _programs() -> Iterator[Finding]:
    for program, why in (
        ("dvc", "`dvc exp run` hangs without it; activate the environment: source .venv/bin/activate"),
        ("git", "runs are not tagged with their revision; install git"),
    ):
        place = shutil.which(program)
        yield Finding(program, OK, place) if place else Finding(program, NOTE, "not on PATH", why)


def _locks() -> Iterator[Finding]:
    from voicelathe.cli import leftovers

    busy = list(leftovers.busy_runs(layout.CHECKPOINTS))
    for directory, owner in busy:
        yield Finding(
            "locks",
            NOTE,
            f"{directory} is being trained by process {owner}",
            f"Wait, or end it: kill {owner}",
        )
    dead = list(leftovers.dead_dvc_owners(Path(".dvc/tmp/rwlock")))
    for pid in dead:
        yield Finding(
            "locks",
            NOTE,
            f".dvc/tmp/rwlock names process {pid}, which is gone",
            "The next dvc run clears it.",
        )
    drafts = list(leftovers.drafts(layout.CHECKPOINTS))
    if drafts:
        fix = "Left by a killed worker; the next run of the recipe sweeps them."
        yield Finding("locks", NOTE, f"{len(drafts)} unfinished directories, first {drafts[0]}", fix)
    if not (busy or dead or drafts):
        yield Finding("locks", OK, "none left over")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    *(_python, _packages, _torch, _device, _disk),
    *(_manifest, _consent, _bases, _weights, _tracking, _dead_runs, _production, _programs, _locks),
)
