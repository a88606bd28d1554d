"""Which recording is each clip from? A rule over paths: the one given, or the one that a person agrees to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from voicelathe.cli import screen
from voicelathe.errors import ManifestError

if TYPE_CHECKING:
    from voicelathe import settings
    from voicelathe.data import importing

OWN_TAKES = "(.+)"  # every path is a recording
SHOWN = 5


def rule(wanted: settings.Ingest, probe: importing.Probe) -> str:
    """The regex given, or the one a person agrees to; clips of one recording must never land in two splits."""
    from voicelathe.data import importing

    audio = [row.audio for row in probe.without_recording]
    if wanted.recording_from is not None:
        _require_fit(audio, wanted.recording_from)
        if (other := importing.too_fine(audio, wanted.recording_from)) is not None:
            screen.say(
                f"Warning: --recording-from {shlex.quote(wanted.recording_from)} makes every file a recording of its own, but the names "
                f"share beginnings: {shlex.quote(other)} finds {_outcome(audio, other)}. Clips of one recording in two splits make "
                "validation meaningless."
            )
        return wanted.recording_from
    proposal = importing.suggest(audio)
    examples = "\n".join(f"  {path}" for path in list(dict.fromkeys(audio))[:SHOWN])
    explained = (
        f"{len(audio)} rows of {wanted.manifest} do not say which source recording they were cut from, and one recording "
        f"per file is not assumed: clips of one recording in two splits would make validation meaningless.\n{examples}"
    )
    if proposal is None:
        explained += f"\nOnly where every file is a take of its own: --recording-from '{OWN_TAKES}'"
    if not screen.is_terminal():
        offer = proposal or r"([^/]+)_\d+\.wav$"
        shown = (
            f" which finds {_outcome(audio, proposal)}" if proposal else ", to be adapted to your file names"
        )
        raise ManifestError(
            f"{explained}\nGive the rule, for example{shown}:\n  --recording-from {shlex.quote(offer)}"
        )
    screen.say(explained)
    while True:
        rule = str(typer.prompt("Regex whose first group is the recording", default=proposal))
        try:
            _require_fit(audio, rule)
        except ManifestError as problem:
            screen.say(str(problem))
            continue
        screen.say(f"It finds {_outcome(audio, rule)}.")
        if typer.confirm("Use it?", default=True):
            return rule


def _require_fit(audio: Sequence[str], rule: str) -> None:
    from voicelathe.data import importing

    groups = importing.grouped(audio, rule)
    if set(groups) <= {""}:
        raise ManifestError(
            f"--recording-from {rule!r} fits none of {len(audio)} audio paths, for example {audio[0]}."
        )


def _outcome(audio: Sequence[str], rule: str) -> str:
    from voicelathe.data import importing

    groups = importing.grouped(audio, rule)
    missed = groups.pop("", 0)
    sizes = sorted(groups.values())
    names = ", ".join(sorted(groups)[:3])
    rest = f"; {missed} rows it does not fit will be rejected" if missed else ""
    return f"{len(groups)} recordings of {sizes[0]} to {sizes[-1]} clips ({names}, ...){rest}"
