"""What lies at the paths given to `voicelathe import`, and the one manifest that is made of it where it is not one already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.cli.names import manifest_folder
from voicelathe.data.manifest.names import SourceName
from voicelathe.errors import ManifestError

if TYPE_CHECKING:
    from voicelathe.data.manifest.recognising import Found


@dataclass(frozen=True)
class PlaceOptions:
    """What the options say about places."""

    audio_root: Path | None
    name: str | None
    to: Path  # where the manifest is copied to, if it is
    is_decoded: bool


def sources_at(
    paths: Sequence[Path],
    format: SourceName | None,
    reading: Mapping[str, str],
    encoding: str | None,
    scratch: Path,
) -> list[Found]:
    """The manifests at every path, each with its format said."""
    from voicelathe.data.manifest import recognising
    from voicelathe.data.sources import json_document

    found: list[Found] = []
    for at, path in enumerate(paths):
        document = (
            json_document.as_lines(path, scratch / str(at)) if encoding is None and path.is_file() else None
        )
        if document is not None:
            found.append(replace(recognising.find(document, format, reading), folder=path.parent))
        elif encoding is None:
            found += recognising.find_all(path, format, reading)
        else:
            found += _in_encoding(path, format, reading, encoding, scratch / str(at))
    for one in found:
        part = f", the split {one.split}" if one.split and len(found) > 1 else ""
        screen.say(f"{shown(one)}: format {one.format} ({one.why}){part}; --format overrides it.")
    return found


def _in_encoding(
    path: Path, format: SourceName | None, reading: Mapping[str, str], encoding: str, scratch: Path
) -> list[Found]:
    """Manifests as UTF-8 in a folder of their own, and text files with what they are read in. Raises ManifestError for anything else."""
    from voicelathe.data.manifest import recognising

    if path.is_file():
        return [_decoded(path, path.parent, format, reading, encoding, scratch)]
    found = []
    for at, one in enumerate(recognising.find_all(path, format, reading)):
        if one.format in recognising.OF_TEXTS:
            found.append(replace(one, encoding=encoding))
        elif one.manifest.is_file() and one.format not in recognising.OF_SEVERAL:
            made = _decoded(one.manifest, one.folder, format, reading, encoding, scratch / str(at))
            found.append(replace(made, split=one.split))
        else:
            raise ManifestError(
                f"{path}: --encoding reads manifests of one file, and text files; this is {one.format}. "
                "Convert its files: iconv -f ENCODING -t UTF-8 IN > OUT"
            )
    return found


def _decoded(
    manifest: Path,
    folder: Path,
    format: SourceName | None,
    reading: Mapping[str, str],
    encoding: str,
    scratch: Path,
) -> Found:
    from voicelathe.data.manifest import importing, recognising

    source, kept = importing.decoded(manifest, encoding, scratch)
    if kept:
        screen.say(
            f"{len(kept)} lines of {layout.in_project(manifest)} were UTF-8 already and stay as they are, the first on line {kept[0]}."
        )
    return replace(recognising.find(source, format, reading), folder=folder)


def shown(one: Found) -> str:
    """A manifest as its owner knows it."""
    return layout.in_project(one.folder if one.manifest == one.folder else one.folder / one.manifest.name)


def copy_of(found: Sequence[Found], name: str | None, *, is_made: bool) -> Path:
    """Where the manifest may be copied to."""
    from voicelathe.data.sources import gather

    first = found[0]
    of_folder = first.format in gather.OF_FOLDER or len(found) > 1
    folder = name or (first.folder.resolve().name if of_folder else first.manifest.stem)
    is_ours = is_made or first.format not in gather.PLAIN
    return Path("data") / folder / f"manifest{'.jsonl' if is_ours else first.manifest.suffix}"


def joined(
    found: Sequence[Found], asked: PlaceOptions, reading: Mapping[str, str]
) -> tuple[Found, str | None]:
    """One manifest that the pipeline reads: the user's own, or one of ours that is made of it, with the name of its folder."""
    from voicelathe.data.sources import gather

    root = asked.audio_root or found[0].folder
    if not asked.is_decoded and gather.is_plain(found, reading, root):
        return found[0], asked.name
    to = asked.to.with_suffix(".jsonl")
    name = manifest_folder(to.parent.name)
    inside = _inside(found, asked, to)
    made = gather.gather(found, reading, inside or asked.audio_root, to)
    screen.say(f"Joined {', '.join(map(shown, found))} into {to}.")
    for theirs, ours in made.inside.items():
        screen.say(f"{ours} is read from {theirs}, the only value inside the rows' objects that can be it.")
    for what, num in made.told.items():
        screen.say(f"{num} paths had {what}; they are written as they are found.")
    return replace(found[0], manifest=to, format="voicelathe", folder=inside or made.folder), name


def _inside(found: Sequence[Found], asked: PlaceOptions, to: Path) -> Path | None:
    """The folder that audio inside the manifest is written to; None where there is none. Raises ManifestError for a mixture."""
    from voicelathe.data.sources import hugging_face

    holding = [one for one in found if one.format == "parquet" and hugging_face.holds_audio(one.manifest)]
    if not holding:
        return None
    if len(holding) < len(found):
        raise ManifestError(
            "Manifests with audio inside and without cannot become one. Import them apart: --name NAME"
        )
    return asked.audio_root or to.parent / "audio"


def extracted(found: Sequence[Found], to: Path, undo: ExitStack) -> None:
    """Write audio that is inside the manifests; `undo` takes it back."""
    from voicelathe.data.sources import hugging_face

    for one in found:
        if one.format == "parquet" and hugging_face.holds_audio(one.manifest):
            made = hugging_face.extract(one.manifest, to)
            undo.callback(hugging_face.remove, made)
            screen.say(f"{len(made)} audio files written to {layout.in_project(to)}.")
