"""Which recording is each clip from? A rule over paths: the one given, or the one that a person agrees to."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from voicelathe.cli import screen
from voicelathe.errors import ManifestError

if TYPE_CHECKING:
    from voicelathe.config import schema
    from voicelathe.data.manifest import importing
    from voicelathe.data.manifest.ingest import Ingested

OWN_TAKES = "(.+)"  # every path is a recording
SHOWN = 5


def rule(wanted: schema.Ingest, probe: importing.Probe, source: str) -> str:
    """The regex given, or the one a person agrees to; clips of one recording must never land in two splits."""
    from voicelathe.data.manifest import recording_rules

    audio = [row.audio for row in probe.without_recording]
    if wanted.recording_from is not None:
        _require_fit(audio, wanted.recording_from)
        if (other := recording_rules.too_fine(audio, wanted.recording_from)) is not None:
            screen.say(
                f"Warning: --recording-from {shlex.quote(wanted.recording_from)} makes every file a recording of its own, but the names "
                f"share beginnings: {shlex.quote(other)} finds {_outcome(audio, other)}. Clips of one recording in two splits make "
                "validation meaningless."
            )
        return wanted.recording_from
    labels = [
        [str(getattr(row, name)) for row in probe.without_recording] for name in ("speaker_id", "language")
    ]
    proposal = recording_rules.suggest(audio, labels)
    examples = "\n".join(f"  {path}" for path in list(dict.fromkeys(audio))[:SHOWN])
    explained = (
        f"{len(audio)} rows of {source} do not say which source recording they were cut from, and one recording "
        f"per file is not assumed: clips of one recording in two splits would make validation meaningless.\n{examples}"
    )
    if not screen.is_terminal():
        offer = proposal or r"([^/]+)_\d+\.wav$"
        shown = (
            f" this one, which finds {_outcome(audio, proposal)}"
            if proposal
            else ", to be adapted to your file names"
        )
        raise ManifestError(
            f"{explained}\nGive the rule, for example{shown}:\n  --recording-from {shlex.quote(offer)}\n"
            f"Only where every file is a take of its own: --recording-from '{OWN_TAKES}'"
        )
    screen.say(f"{explained}\nOnly where every file is a take of its own: {OWN_TAKES}")
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


def warn_of_single_files(rows: Sequence[tuple[str, str]]) -> None:
    """Where a column names a recording for every file, while the files' names share beginnings: (audio, recording) of every row."""
    from voicelathe.data.manifest import recording_rules

    files = list(dict.fromkeys(audio for audio, _ in rows))
    if len({recording for _, recording in rows}) < len(files):
        return
    if (other := recording_rules.suggest(files)) is not None:
        screen.say(
            f"Warning: every file is a recording of its own, as the manifest says, but the names share beginnings: {shlex.quote(other)} would find "
            f"{_outcome(files, other)}. Clips of one recording in two splits make validation meaningless."
        )


def proposed_split(frozen: str | None, name: str, read: Ingested) -> dict[str, str | None]:
    """Keep the split that the corpus came with as a proposal, and give what params.yaml has to say of it."""
    from voicelathe.data.manifest import splits_named

    was_proposed = frozen is not None and splits_named.path(frozen).is_file()
    proposed, torn = splits_named.proposal((row.recording_id, row.extra.get("split")) for row in read.rows)
    if not proposed and not torn:
        if not was_proposed:
            return {}
        screen.say(f"split.frozen was the proposal {frozen} of another corpus; it is null now.")
        return {"split/frozen": None}
    if torn:
        screen.say(
            f"Warning: {torn} recordings have rows in several of the splits that the manifests name. A recording is never divided, so they are dealt out anew."
        )
    if not proposed:
        return {"split/frozen": None} if was_proposed else {}
    path = splits_named.write(name, proposed)
    counts = ", ".join(f"{num} for {part}" for part, num in sorted(Counter(proposed.values()).items()))
    if frozen is not None and not was_proposed:
        screen.say(
            f"The split that the corpus came with is in {path}, unused: split.frozen = {frozen} holds."
        )
        return {}
    screen.say(
        f"The split that the corpus came with is proposed ({path}): recordings {counts}. split.frozen names it; set it to null to deal anew."
    )
    return {"split/frozen": name}


def _require_fit(audio: Sequence[str], rule: str) -> None:
    from voicelathe.data.manifest import jsonl, recording_rules

    groups = recording_rules.grouped(audio, rule)
    if set(groups) <= {""}:
        raise ManifestError(
            f"--recording-from {rule!r} fits none of {len(audio)} audio paths, for example {jsonl.excerpt(audio[0].encode())}."
        )


def _outcome(audio: Sequence[str], rule: str) -> str:
    from voicelathe.data.manifest import recording_rules

    groups = recording_rules.grouped(audio, rule)
    missed = groups.pop("", 0)
    sizes = sorted(groups.values())
    names = ", ".join(sorted(groups)[:3])
    rest = f"; {missed} rows it does not fit will be rejected" if missed else ""
    return f"{len(groups)} recordings of {sizes[0]} to {sizes[-1]} clips ({names}, ...){rest}"
