"""`voicelathe import` and `voicelathe pin`: which manifest and audio the pipeline stands on, pinned in params.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe import layout
from voicelathe.cli import names, screen
from voicelathe.cli.data import gathering, import_report, recordings
from voicelathe.data.manifest.names import SourceName
from voicelathe.errors import ManifestError

if TYPE_CHECKING:
    from voicelathe.config import schema
    from voicelathe.data.manifest import importing
    from voicelathe.data.manifest.ingest import Ingested
    from voicelathe.data.manifest.recognising import Found

UNPINNED = "0" * 64
Sources = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", help="A manifest, or the folder that holds it; several become one."),
]
FormatOption = Annotated[
    SourceName | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="voicelathe, voxcpm, qwen3-tts, cosyvoice (Kaldi), ljspeech, list, csv, table, common-voice, nemo, lhotse, parquet, texts, "
        "libritts or vctk; overrides what is recognised.",
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
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="THEIRS=OURS",
        help="Read a column under our name, for example start=start_s; repeat it.",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Encoding of manifests that are not UTF-8, for example cp1252."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("import")(import_manifest)
    app.command("pin")(pin)


def import_manifest(
    paths: Sources,
    format: FormatOption = None,
    audio_root: AudioRoot = None,
    recording_from: Rule = None,
    speaker: Speaker = None,
    language: Language = None,
    name: Name = None,
    map: Mapped = None,
    encoding: Encoding = None,
) -> None:
    """Make your corpus the raw manifest: lists, tables, JSON lines, folders and Parquet of other tools; docs/cli.md names them."""
    from voicelathe.config import params, schema
    from voicelathe.data.manifest import formats, importing, splits_named
    from voicelathe.data.sources import naming

    current = params.load()
    reading = naming.parsed(map or [], formats.KNOWN)
    with TemporaryDirectory() as scratch:
        found = gathering.sources_at(paths, format, reading, encoding, Path(scratch))
        is_decoded = any(Path(scratch) in one.manifest.parents for one in found)
        to = gathering.copy_of(found, name, is_made=is_decoded or len(found) > 1)
        given = schema.Ingest(
            *("", UNPINNED, str(audio_root or found[0].folder), UNPINNED, "voicelathe"),
            *(recording_from, speaker, language),
        )
        with importing.unchanged_unless_done(to, to.with_suffix(".jsonl"), splits_named.path(to.parent.name)):
            _import(
                current,
                found,
                gathering.PlaceOptions(audio_root, name, to, is_decoded),
                reading,
                given,
            )


def _import(
    current: schema.Params,
    found: Sequence[Found],
    asked: gathering.PlaceOptions,
    reading: Mapping[str, str],
    given: schema.Ingest,
) -> None:
    """Read and check everything, then write params.yaml."""
    from voicelathe.config import params
    from voicelathe.data.manifest import importing

    one, name = gathering.joined(found, asked, reading)
    assert one.format in ("voicelathe", "voxcpm", "qwen3-tts", "ljspeech", "csv"), "it was joined"
    wanted = replace(given, manifest=str(one.manifest), format=one.format)
    wanted = _in_project(wanted, one, asked.audio_root, name)
    probe = importing.probe(wanted)
    if more := _mapped(wanted, probe, reading):
        return _import(current, found, asked, more, given)
    import_report.unread(probe)
    wanted = _complete(wanted, probe, ", ".join(map(gathering.shown, found)))
    with ExitStack() as undo:
        gathering.extracted(found, Path(wanted.audio_root), undo)
        read = _read(wanted, current.engine)
        wanted = replace(wanted, sha256=_sha256(wanted), audio_digest=_audio_digest(read))
        frozen = recordings.proposed_split(current.split.frozen, asked.to.parent.name, read)
        params.edit({**{f"ingest/{key}": value for key, value in vars(wanted).items()}, **frozen})
        undo.pop_all()
    import_report.report(wanted, read)
    import_report.unused(read, current.recipes)
    screen.say(f"Written: ingest in {params.FILE}. Commit it, then: dvc repro")
    import_report.lines_of_others(current, read)


def _mapped(
    wanted: schema.Ingest, probe: importing.Probe, reading: Mapping[str, str]
) -> dict[str, str] | None:
    """More columns to read, which a person agreed to; None where there is nothing to ask. Raises ManifestError with the options to give."""
    from voicelathe.data.manifest import importing
    from voicelathe.data.sources import naming

    offer = naming.offered(importing.columns_of(probe), importing.own_columns(wanted, probe), reading)
    if not offer:
        return None
    if not screen.is_terminal():
        unread = " ".join(f"--map {theirs}=" for theirs in offer)
        raise ManifestError(
            f"Columns of {wanted.manifest} look like some that are read: {', '.join(f'{one} like {ours}' for one, ours in offer.items())}. "
            f"Read them so: {naming.options(offer)}\nOr leave them unread: {unread}"
        )
    agreed = {
        theirs: typer.confirm(f"Read the column {theirs} as {ours}?", default=True)
        for theirs, ours in offer.items()
    }
    return {**reading, **{theirs: ours if agreed[theirs] else "" for theirs, ours in offer.items()}}


def pin() -> None:
    """Accept the manifest and audio as they are now, after a change that was meant."""
    from voicelathe.config import params
    from voicelathe.data.manifest import ingest

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
    wanted: schema.Ingest, found: Found, audio_root: Path | None, name: str | None
) -> schema.Ingest:
    """Copy the manifest into the project where that was asked for, or where absolute paths make it necessary."""
    from voicelathe.data.manifest import importing

    folder = Path(audio_root or found.folder)
    rows = importing.probe(wanted).rows
    absolute = importing.common_root(rows, folder)
    follows = absolute is not None and not all(row.audio.startswith("/") for row in rows)
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
    kind = "paths with .. or links" if follows else "absolute paths"
    told = f"; {changed} lines with {kind} now start from {root}" if changed else ""
    if found.manifest != to:
        screen.say(f"Copied {found.manifest} to {to}{told}. The original is unchanged.")
    return replace(wanted, manifest=to.as_posix(), audio_root=layout.in_project(root))


def _complete(wanted: schema.Ingest, probe: importing.Probe, source: str) -> schema.Ingest:
    """Fill what the rows do not say. Raises ManifestError naming the option when nobody can be asked."""
    if probe.without_recording:
        wanted = replace(wanted, recording_from=recordings.rule(wanted, probe, source))
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


def _read(wanted: schema.Ingest, engine: schema.Engine) -> Ingested:
    from voicelathe.data.manifest import ingest

    try:
        return ingest.read(wanted, engine)
    except ManifestError as problem:
        raise ManifestError(
            f"{problem}\nThe folder that relative audio paths start from is --audio-root DIR."
        ) from None


def _sha256(wanted: schema.Ingest) -> str:
    from voicelathe import digest

    return digest.of_file(Path(wanted.manifest))


def _audio_digest(read: Ingested) -> str:
    from voicelathe import digest

    return digest.of_value(read.audio)
