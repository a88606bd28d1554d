"""What a user's corpus is before it is in params.yaml: its format, where its audio lies, and which recording each clip is from.

Everything here looks and proposes; nothing is guessed behind the user's back, and the user's own file is never changed.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from voicelathe import digest, settings
from voicelathe.data import formats, jsonl, kaldi
from voicelathe.data.formats import RawRow
from voicelathe.errors import ManifestError
from voicelathe.records import RejectedLine
from voicelathe.redaction import scrub

FormatName = Literal["voicelathe", "voxcpm", "qwen3-tts", "ljspeech", "csv"]  # as in settings.Ingest
SourceName = FormatName | Literal["cosyvoice"]  # three files, which become one manifest of ours
UNKNOWN = "\0"  # stands for a speaker or language that no row and no option names; no manifest can hold it
LOOKED_AT = 200  # lines that decide the format
OURS = frozenset({"recording_id", "start_s", "end_s", "sample_rate_hz"})  # what only our own format has
RULES = (  # ways in which corpora name clips after their recording, the most explicit first
    r"([^/]+?)[-_.]\d+\.[^./]+$",  # LJ001-0042.wav, talk_07_003.wav: all but the last number
    r"([^/]+)/[^/]+$",  # talk_07/003.wav: the folder
    r"^([^/]+)/",  # talk_07/a/003.wav: the first folder
    r"([^/]+?)[-_][^-_/]+\.[^./]+$",  # talk_a.wav: all but the last part
)


@dataclass(frozen=True)
class Found:
    """What lies at the path a user gave."""

    manifest: Path
    format: SourceName
    folder: Path  # what relative audio paths most likely start from
    why: str  # how the format was recognised


@dataclass(frozen=True)
class Probe:
    """What a manifest says about itself, before any audio is read."""

    rows: list[RawRow]
    rejected: list[RejectedLine]
    without_recording: list[RawRow]  # rows that name no recording themselves
    needs_speaker: bool
    needs_language: bool
    notes: list[str]


def find(path: Path, wanted: SourceName | None) -> Found:
    """The manifest at a path and its format; `wanted` overrides what is recognised.

    Raises ManifestError when there is nothing to read or the format is not plain.
    """
    manifest = _manifest_in(path) if path.is_dir() else path
    if not manifest.is_file():
        raise ManifestError(f"{path}: there is no such file or folder.")
    known, why = (wanted, "as --format says") if wanted else _recognise(manifest)
    return Found(manifest, known, manifest.parent, why)


def joined(found: Found, to: Path) -> Found:
    """A CosyVoice folder as one manifest of ours, written to `to`; anything else as it is."""
    if found.format != "cosyvoice":
        return found
    digest.write_bytes(to, kaldi.join(found.folder))
    return replace(found, manifest=to, format="voicelathe")


def probe(ingest: settings.Ingest) -> Probe:
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


def suggest(audio: Sequence[str]) -> str | None:
    """The first rule that sorts all these paths into at least two recordings of two clips on average, if there is one."""
    return next((rule for rule in RULES if _is_plausible(grouped(audio, rule), len(set(audio)))), None)


def grouped(audio: Sequence[str], rule: str) -> Counter[str]:
    """Clips of each recording that a rule finds; paths it does not fit are counted under the empty name.

    Raises ManifestError for a rule that is no regular expression or captures nothing.
    """
    try:
        pattern = re.compile(rule)
    except re.error as problem:
        raise ManifestError(f"{rule!r} is not a regular expression: {problem}.") from None
    if pattern.groups < 1:
        raise ManifestError(f"{rule!r} captures nothing: put what names the recording into ( ).")
    found = (pattern.search(path) for path in audio)
    return Counter((match.group(1) or "") if match else "" for match in found)


def common_root(rows: Sequence[RawRow]) -> Path | None:
    """The folder that holds every absolute path of the rows; None when all are relative.

    Raises ManifestError when only the root of the file system does.
    """
    absolute = [path for row in rows for path in (row.audio, row.ref_audio) if path and path.startswith("/")]
    if not absolute:
        return None
    root = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))  # noqa: PTH120  (text, not files)
    if root == Path("/"):
        raise ManifestError(
            f"The audio files lie in folders that have only / in common, for example {absolute[0]} and {absolute[-1]}. "
            "Copy them below one folder."
        )
    return root


def copy(found: Found, audio_root: Path, to: Path) -> int:
    """Copy a manifest line by line, absolute audio paths below the root made relative, addresses without
    their passwords, because the copy is for git; returns how many lines that changed.

    A line that cannot be read is copied as it is, so that every line keeps its number.
    """
    changed, out = 0, []
    for _, data, _ in jsonl.Lines(found.manifest):
        line = _relative_csv(data, audio_root) if found.format == "csv" else _relative_json(data, audio_root)
        changed += line != data
        out.append(line + b"\n")
    digest.write_bytes(to, b"".join(out))
    return changed


def _manifest_in(folder: Path) -> Path:
    """The one manifest of a folder. Raises ManifestError when there is none or more than one."""
    for name in ("metadata.csv", "metadata.jsonl", "manifest.jsonl", kaldi.WAVS):
        if (folder / name).is_file():
            return folder / name
    every = sorted([*folder.glob("*.jsonl"), *folder.glob("*.csv")])
    if len(every) != 1:
        what = (
            "several manifests: " + ", ".join(path.name for path in every)
            if every
            else "no .jsonl or .csv file"
        )
        raise ManifestError(f"{folder} holds {what}. Name the manifest itself: voicelathe import FILE")
    return every[0]


def _recognise(manifest: Path) -> tuple[SourceName, str]:
    if manifest.name == kaldi.WAVS:
        return "cosyvoice", "a Kaldi folder: wav.scp with text and utt2spk"
    lines = [data for _, data, _ in _first(manifest)]
    objects = [value for value in map(_object, lines) if value is not None]
    if objects:
        return _json_format(manifest, objects)
    texts = [data.decode("utf-8", errors="replace") for data in lines if data.strip()]
    if texts and all(text.count("|") in (1, 2) for text in texts):
        return "ljspeech", "no header, `id|text` or `id|text|text` on each line"
    if texts and re.search(r"\b(audio|file_name)\b", texts[0]) and "," in texts[0]:
        return "csv", f"a header: {texts[0][:60]}"
    raise ManifestError(
        f"{manifest} is neither JSON lines with the key audio, nor LJSpeech's id|text, nor a CSV with commas whose header "
        f"names audio. "
        f"Its first line: {jsonl.excerpt(lines[0]) if lines else '(empty file)'}\nIf it is one of them: --format FORMAT"
    )


def _json_format(manifest: Path, objects: list[dict[str, object]]) -> tuple[FormatName, str]:
    keys = [{formats.ALIASES.get(key, key) for key in value} for value in objects]
    if not any("audio" in one for one in keys):
        raise ManifestError(
            f"{manifest}: JSON lines, but no key audio among {sorted(set.union(*keys))}. Rename the key that holds the "
            "path of the audio file to audio, and the one with the transcript to text."
        )
    if any(one & OURS for one in keys):
        return "voicelathe", f"JSON lines with {', '.join(sorted(set.union(*keys) & OURS))}"
    if all("ref_audio" in one for one in keys):
        return "qwen3-tts", "JSON lines, each with audio, text and ref_audio"
    return "voxcpm", "JSON lines with audio and text"


def _first(manifest: Path) -> Iterator[tuple[int, bytes, bool]]:
    for number, line in enumerate(jsonl.Lines(manifest), 1):
        if number > LOOKED_AT:
            return
        yield line


def _object(data: bytes) -> dict[str, object] | None:
    try:
        return jsonl.parse(data)
    except jsonl.LineProblem:
        return None


def _without_recording(filled: settings.Ingest, rows: list[RawRow]) -> list[RawRow]:
    try:
        found, _ = formats.read(replace(filled, recording_from=None))
    except ManifestError:  # not one row names its recording
        return rows
    named = {one.line for one in found if isinstance(one, RawRow)}
    return [row for row in rows if row.line not in named]


def _is_plausible(groups: Counter[str], num_files: int) -> bool:
    return "" not in groups and len(groups) >= 2 and num_files >= 2 * len(groups)


def _relative_json(data: bytes, root: Path) -> bytes:
    value = _object(data)
    if value is None:
        return data
    paths = ("audio", "ref_audio", "file_name")
    moved = {key: _relative(text, root) for key, text in value.items() if key in paths}
    if all(value[key] == text for key, text in moved.items()):
        return data
    return digest.canonical_json({**value, **moved}).encode()


def _relative(text: object, root: Path) -> object:
    if not isinstance(text, str):
        return text
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
