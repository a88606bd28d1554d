"""`voicelathe import` and `voicelathe pin`: which manifest and audio the pipeline stands on, pinned in params.yaml."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicelathe import layout
from voicelathe.cli import consents, names, recordings, screen
from voicelathe.errors import ManifestError

if TYPE_CHECKING:
    from voicelathe import settings
    from voicelathe.data import importing
    from voicelathe.data.ingest import Ingested
    from voicelathe.records import RejectedLine

UNPINNED = "0" * 64
MIN_RECORDINGS = 3  # one each for train, validation and test
SHOWN = 5
JOINED = ("cosyvoice", "list")  # formats that become a manifest of ours
FormatName = Literal[  # as in data.importing
    "voicelathe", "voxcpm", "qwen3-tts", "ljspeech", "csv", "cosyvoice", "list"
]


Source = Annotated[
    Path, typer.Argument(metavar="PATH", help="A manifest (.jsonl, .csv), or the folder that holds it.")
]
FormatOption = Annotated[
    FormatName | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="voicelathe, voxcpm, qwen3-tts, cosyvoice, ljspeech, list or csv; overrides what is recognised.",
    ),
]
AudioRoot = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder that audio paths start from; default: the manifest's."),
]
Rule = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX", help="Which recording a clip is from: a regex on its audio path, first group."
    ),
]
Speaker = Annotated[str | None, typer.Option(metavar="ID", help="Speaker of rows that name none.")]
Language = Annotated[
    str | None, typer.Option(metavar="CODE", help="Language of rows that name none, for example en.")
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="Copy the manifest to data/NAME/, so that git keeps it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("import")(import_manifest)
    app.command("pin")(pin)


def import_manifest(
    path: Source,
    format: FormatOption = None,
    audio_root: AudioRoot = None,
    recording_from: Rule = None,
    speaker: Speaker = None,
    language: Language = None,
    name: Name = None,
) -> None:
    """Make your corpus the raw manifest: VoxCPM or Qwen3-TTS JSONL, a CosyVoice, LJSpeech or Hugging Face folder, a CSV."""
    from voicelathe import params, settings
    from voicelathe.data import importing

    current = params.load()
    found = importing.find(path, format)
    screen.say(f"{found.manifest}: format {found.format} ({found.why}); --format overrides it.")
    root = audio_root or found.folder
    with importing.unchanged_unless_done(_copy_of(found, name)):
        _import(
            current,
            found,
            root,
            audio_root,
            name,
            settings.Ingest(
                str(found.manifest),
                UNPINNED,
                str(root),
                UNPINNED,
                "voicelathe",
                recording_from,
                speaker,
                language,
            ),
        )


def _copy_of(found: importing.Found, name: str | None) -> Path:
    """Where the manifest may be copied to."""
    folder = name or (found.folder.resolve().name if found.format == "cosyvoice" else found.manifest.stem)
    suffix = ".jsonl" if found.format in JOINED else found.manifest.suffix
    return Path("data") / folder / f"manifest{suffix}"


def _import(
    current: settings.Params,
    found: importing.Found,
    root: Path,
    audio_root: Path | None,
    name: str | None,
    given: settings.Ingest,
) -> None:
    """Read and check everything, then write params.yaml."""
    from voicelathe import params
    from voicelathe.data import importing

    if found.format in JOINED:
        what = "wav.scp, text and utt2spk" if found.format == "cosyvoice" else found.manifest
        name = names.manifest_folder(_copy_of(found, name).parent.name)
        found = importing.joined(found, _copy_of(found, name), root)
        screen.say(f"Joined {what} into {found.manifest}.")
    assert found.format != "cosyvoice" and found.format != "list", "it was joined"
    wanted = replace(given, manifest=str(found.manifest), format=found.format)
    wanted = _in_project(wanted, found, audio_root, name)
    probe = importing.probe(wanted)
    _say_unread(probe)
    wanted = _complete(wanted, probe)
    read = _read(wanted, current.engine)
    wanted = replace(wanted, sha256=_sha256(wanted), audio_digest=_audio_digest(read))
    params.edit({f"ingest/{key}": value for key, value in vars(wanted).items()})
    _report(wanted, read)
    screen.say(f"Written: ingest in {params.FILE}. Commit it, then: dvc repro")


def pin() -> None:
    """Accept the manifest and audio as they are now, after a change that was meant."""
    from voicelathe import params
    from voicelathe.data import ingest

    current = params.load()
    before = current.ingest
    sha256, audio_digest = ingest.pins(before, current.engine)
    rows = [
        ("ingest.sha256", before.sha256, sha256, before.manifest),
        ("ingest.audio_digest", before.audio_digest, audio_digest, before.audio_root),
    ]
    changed = [row for row in rows if row[1] != row[2]]
    for key, old, new, of in changed:
        screen.say(f"{key}, of {of}\n  old {old}\n  new {new}")
    if not changed:
        screen.say("Nothing to pin: the manifest and its audio are what params.yaml says.")
        return
    params.edit({key.replace(".", "/"): new for key, _, new, _ in changed})
    screen.say(f"Written: {params.FILE}. Commit it, then: dvc repro")


def _in_project(
    wanted: settings.Ingest, found: importing.Found, audio_root: Path | None, name: str | None
) -> settings.Ingest:
    """Copy the manifest into the project where that was asked for, or where absolute paths make it necessary."""
    from voicelathe.data import importing

    folder = Path(audio_root or found.folder)
    rows = importing.probe(wanted).rows
    absolute = importing.common_root(rows, folder)
    follows = any(".." in (row.audio or "").split("/") for row in rows)
    if name is None and absolute is None:
        where = layout.in_project(Path(wanted.audio_root))
        return replace(wanted, manifest=layout.in_project(found.manifest), audio_root=where)
    root = Path(os.path.abspath(audio_root or absolute or found.folder))  # noqa: PTH100  (keeps symbolic links)
    to = (
        Path("data") / names.manifest_folder(name or found.manifest.stem) / f"manifest{found.manifest.suffix}"
    )
    if follows and absolute is not None:
        root = absolute
    changed = importing.copy(found, root, to, folder if follows else None)
    kind = "paths with .." if follows else "absolute paths"
    told = f"; {changed} lines with {kind} now start from {root}" if changed else ""
    if found.manifest != to:
        screen.say(f"Copied {found.manifest} to {to}{told}. The original is unchanged.")
    return replace(wanted, manifest=to.as_posix(), audio_root=layout.in_project(root))


def _say_unread(probe: importing.Probe) -> None:
    """A column `speaker` or `start` that is not read would make one speaker, or one clip, of many."""
    from voicelathe.data import formats, jsonl

    if unread := sorted({name for row in probe.rows for name in row.extra}):
        names, known = jsonl.excerpt(", ".join(unread).encode()), ", ".join(formats.KNOWN)
        screen.say(f"Columns that are kept but not read: {names}. Those that are: {known}.")


def _complete(wanted: settings.Ingest, probe: importing.Probe) -> settings.Ingest:
    """Fill what the rows do not say. Raises ManifestError naming the option when nobody can be asked."""
    if probe.without_recording:
        wanted = replace(wanted, recording_from=recordings.rule(wanted, probe))
    speaker, language = wanted.speaker_id, wanted.language
    if probe.needs_speaker:
        speaker = _ask("speaker", "Which speaker are the rows without speaker_id?", "--speaker ID")
    if probe.needs_language:
        language = _ask(
            "language", "Which language are the rows without language (for example en)?", "--language CODE"
        )
    return replace(wanted, speaker_id=speaker, language=language)


def _ask(what: str, question: str, option: str) -> str:
    if not screen.is_terminal():
        raise ManifestError(f"Rows without a {what}, and no terminal to ask on. Give it: {option}")
    return str(typer.prompt(question))


def _read(wanted: settings.Ingest, engine: settings.Engine) -> Ingested:
    from voicelathe.data import ingest

    try:
        return ingest.read(wanted, engine)
    except ManifestError as problem:
        raise ManifestError(
            f"{problem}\nThe folder that relative audio paths start from is --audio-root DIR."
        ) from None


def _sha256(wanted: settings.Ingest) -> str:
    from voicelathe import digest

    return digest.of_file(Path(wanted.manifest))


def _audio_digest(read: Ingested) -> str:
    from voicelathe import digest

    return digest.of_value(read.audio)


def _report(wanted: settings.Ingest, read: Ingested) -> None:
    from voicelathe.data.rules import shown

    for note in read.notes:
        screen.say(note)
    recordings = Counter(row.recording_id for row in read.rows)
    speakers: dict[str, set[str]] = {}
    for row in read.rows:
        speakers.setdefault(row.speaker_id, set()).add(row.language)
    screen.say(
        f"{len(read.rows)} rows of {len(recordings)} recordings, {len(read.audio)} audio files, "
        f"speakers {', '.join(sorted(speakers))}."
    )
    if not any(row.text for row in read.rows):
        screen.say("Warning: no row has a text. The column or key with the transcript must be called text.")
    screen.say(f"The first: {read.rows[0].audio} says {shown(read.rows[0].text)}")
    if len(recordings) < MIN_RECORDINGS:
        screen.say(
            f"Warning: {len(recordings)} recordings cannot make train, validation and test; `split` will stop."
        )
    unusable = Counter(row.audio_problem for row in read.rows if row.audio_problem)
    for problem, count in sorted(unusable.items()):
        first = next(row for row in read.rows if row.audio_problem == problem)
        screen.say(
            f"{count} rows whose audio is {problem}, the first on line {first.line}: {first.audio} "
            f"({read.details[first.audio]})"
        )
    _rejected(read.rejected)
    consents.print_missing(speakers)


def _rejected(lines: Sequence[RejectedLine]) -> None:
    if not lines:
        screen.say("No line was rejected.")
        return
    screen.say(f"{len(lines)} lines are no rows; the pipeline keeps them in the quarantine:")
    for line in lines[: 2 * SHOWN]:
        screen.say(f"  line {line.line}: {line.problem}, {line.detail}: {line.excerpt}")
    if len(lines) > 2 * SHOWN:
        screen.say(f"  ... and {len(lines) - 2 * SHOWN} more")
