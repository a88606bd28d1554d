"""What a user's corpus is before it is in params.yaml: where its audio lies, and what its rows do not say.

Everything here looks and proposes; nothing is guessed behind the user's back, and the user's own file is never changed.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.manifest import formats, jsonl
from voicelathe.data.manifest.formats import RawRow
from voicelathe.data.manifest.recognising import Found
from voicelathe.data.text import charsets
from voicelathe.errors import ManifestError
from voicelathe.records import RejectedLine
from voicelathe.redaction import scrub

UNKNOWN = "\0"  # stands for a speaker or language that no row and no option names; no manifest can hold it


@dataclass(frozen=True)
class Probe:
    """What a manifest says about itself, before any audio is read."""

    rows: list[RawRow]
    rejected: list[RejectedLine]
    without_recording: list[RawRow]  # rows that name no recording themselves
    needs_speaker: bool
    needs_language: bool
    notes: list[str]


@contextmanager
def unchanged_unless_done(*paths: Path) -> Iterator[None]:
    """Files that are written over are as they were before when what follows fails, asks or is stopped."""
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_unchanged_unless_done(path))
        yield


@contextmanager
def _unchanged_unless_done(path: Path) -> Iterator[None]:
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is not None:
            digest.write_bytes(path, before)
        else:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()  # only if it is empty
        raise


def decoded(manifest: Path, encoding: str, to: Path) -> tuple[Path, list[int]]:
    """A manifest in another encoding as UTF-8, in a folder of its own, with the numbers of lines that were UTF-8 before.

    Raises ManifestError where it is not in that encoding.
    """
    try:
        text, kept = charsets.mixed(manifest.read_bytes(), encoding)
    except LookupError:
        raise ManifestError(
            f"--encoding {encoding!r}: there is no such encoding. Usual ones: {', '.join(charsets.usual(None))}, utf-16."
        ) from None
    except UnicodeDecodeError as problem:
        raise ManifestError(
            f"{manifest} is not {encoding}: {problem.reason} at byte {problem.start}. Give another: --encoding NAME"
        ) from None
    target = to / manifest.name
    digest.write_text(target, text.removeprefix("\ufeff"))
    return target, kept


def probe(ingest: schema.Ingest) -> Probe:
    """Read the manifest with every gap filled in, to see which gaps there are."""
    filled = replace(
        ingest,
        recording_from="(?s)(.+)",
        speaker_id=ingest.speaker_id or UNKNOWN,
        language=ingest.language or UNKNOWN,
    )
    found, notes = formats.read(filled)
    rows = [one for one in found if isinstance(one, RawRow)]
    return Probe(
        rows=rows,
        rejected=[one for one in found if isinstance(one, RejectedLine)],
        without_recording=_without_recording(filled, rows),
        needs_speaker=any(row.speaker_id == UNKNOWN for row in rows),
        needs_language=any(row.language == UNKNOWN for row in rows),
        notes=notes,
    )


def own_columns(wanted: schema.Ingest, probe: Probe) -> set[str]:
    """What is read that the rows, or the options, say."""
    rows = probe.rows
    found = {name for name in formats.KNOWN if any(getattr(row, name, None) is not None for row in rows)}
    missing = {
        "recording_id": bool(probe.without_recording) and wanted.recording_from is None,
        "speaker_id": all(row.speaker_id == (wanted.speaker_id or UNKNOWN) for row in rows),
        "language": wanted.language is None and probe.needs_language,
    }
    return (found | {"audio"}) - {name for name, is_missing in missing.items() if is_missing}


def columns_of(probe: Probe) -> set[str]:
    """Names of columns that are not read; of an object those of what it holds."""
    held = {
        (name, text) if text.startswith("{") else (name, "")
        for row in probe.rows
        for name, text in row.extra.items()
    }
    found: set[str] = set()
    for name, text in held:
        value = _object(text.encode())
        found |= {f"{name}.{inner}" for inner in value} if value else {name}
    return found


def common_root(rows: Sequence[RawRow], folder: Path) -> Path | None:
    """The folder that holds every absolute path of the rows, and what relative ones lead to from `folder`; None when all lie below that.

    Raises ManifestError when only the root of the file system does.
    """
    paths = [path for row in rows for path in (row.audio, row.ref_audio) if path]
    absolute = [path for path in paths if path.startswith("/")]
    if any(_leaves(path) for path in paths) or (absolute and not all(path.startswith("/") for path in paths)):
        absolute = [_resolved(path, folder) for path in paths if "://" not in path]
    if not absolute:
        return None
    root = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))  # noqa: PTH120  (text, not files)
    if root == Path("/"):
        raise ManifestError(
            f"The audio files lie in folders that have only / in common, for example {absolute[0]} and {absolute[-1]}. "
            "Copy them below one folder."
        )
    return root


def _leaves(path: str) -> bool:
    return ".." in path.split("/") and "\\" not in path


def _resolved(path: str, folder: Path) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(folder), path))  # noqa: PTH100, PTH118  (text, not files)


def copy(found: Found, audio_root: Path, to: Path, folder: Path | None = None) -> int:
    """Copy a manifest line by line, absolute audio paths below the root made relative, addresses without
    their passwords, because the copy is for git; returns how many lines that changed.

    With `folder`, relative paths start there, and `..` is followed before they are made relative to the root.

    A line that cannot be read is copied as it is, so that every line keeps its number.
    """
    changed, out, lines = 0, [], jsonl.Lines(found.manifest)
    for _, data, _ in lines:
        line = (
            _relative_csv(data, audio_root)
            if found.format == "csv"
            else _relative_json(data, audio_root, folder)
        )
        changed += line != data
        out.append(line + b"\n")
    if lines.separator:
        out.insert(0, lines.separator + b"\n")
    digest.write_bytes(to, b"".join(out))
    return changed


def _object(data: bytes) -> dict[str, object] | None:
    try:
        return jsonl.parse(data)
    except jsonl.LineProblem:
        return None


def _without_recording(filled: schema.Ingest, rows: list[RawRow]) -> list[RawRow]:
    try:
        found, _ = formats.read(replace(filled, recording_from=None))
    except ManifestError:  # not one row names its recording
        return rows
    named = {one.line for one in found if isinstance(one, RawRow)}
    return [row for row in rows if row.line not in named]


def _relative_json(data: bytes, root: Path, folder: Path | None) -> bytes:
    value = _object(data)
    if value is None:
        return data
    paths = ("audio", "ref_audio", "file_name")
    moved = {key: _relative(text, root, folder) for key, text in value.items() if key in paths}
    if all(value[key] == text for key, text in moved.items()):
        return data
    return digest.canonical_json({**value, **moved}).encode()


def _relative(text: object, root: Path, folder: Path | None) -> object:
    if not isinstance(text, str):
        return text
    if folder is not None and "://" not in text:
        text = _resolved(text, folder)
    return scrub(text) if "://" in text else text.removeprefix(f"{root.as_posix()}/")


def _relative_csv(data: bytes, root: Path) -> bytes:
    """Cells that begin with the root lose it; quotes and all else stay as they are, but for what addresses hide."""
    prefix = re.escape(f"{root.as_posix()}/".encode())
    moved = re.sub(rb'(^|,)("?)' + prefix, rb"\1\2", data)
    return (
        scrub(moved.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if b"://" in data
        else moved
    )
