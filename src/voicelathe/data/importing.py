"""What a user's corpus is before it is in params.yaml: its format, where its audio lies, and which recording each clip is from.

Everything here looks and proposes; nothing is guessed behind the user's back, and the user's own file is never changed.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from voicelathe import digest, settings
from voicelathe.data import formats, jsonl, kaldi, lists
from voicelathe.data.formats import RawRow
from voicelathe.errors import ManifestError
from voicelathe.records import RejectedLine
from voicelathe.redaction import scrub

FormatName = Literal["voicelathe", "voxcpm", "qwen3-tts", "ljspeech", "csv"]  # as in settings.Ingest
SourceName = FormatName | Literal["cosyvoice", "list"]  # what becomes one manifest of ours
UNKNOWN = "\0"  # stands for a speaker or language that no row and no option names; no manifest can hold it
LOOKED_AT = 200  # lines that decide the format
OURS = frozenset({"recording_id", "start_s", "end_s", "sample_rate_hz"})  # what only our own format has
RULES = (  # ways in which corpora name clips after their recording, the most explicit first
    r"([^/]+?)[-_.]\d+\.[^./]+$",  # LJ001-0042.wav, talk_07_003.wav: all but the last number
    r"([^/]+)/[^/]+$",  # talk_07/003.wav: the folder
    r"^([^/]+)/",  # talk_07/a/003.wav: the first folder
    r"([^/]+?)[-_][^-_/]+\.[^./]+$",  # talk_a.wav: all but the last part
    r"([^/]+?)(?:\.\w{3,4})?_\d{6,}_\d{6,}\.[^./]+$",  # ep01.wav_0000000000_0000077440.wav: GPT-SoVITS' slicer
    r"([^/]+?)(?:\.\w{3,4})?[-_]\d+(?:\.\d+)?[-_]\d+(?:\.\d+)?\.[^./]+$",  # ep01_12.30_15.75.wav: start and end
    r"([^/]+?)[-_.](?:chunk|part|seg|segment|clip|slice|utt|cut)[-_]?\d+\.[^./]+$",  # ep01_chunk_12.wav
)
MIN_RECORDINGS = 3  # one each for train, validation and test


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


def joined(found: Found, to: Path, root: Path) -> Found:
    """A CosyVoice folder or a list as one manifest of ours, written to `to`; anything else as it is."""
    if found.format not in ("cosyvoice", "list"):
        return found
    if found.format == "list":
        columns = lists.layout(_texts(found.manifest, lists.LOOKED_AT))
        if columns is None:
            raise ManifestError(
                f"{found.manifest} is no list: its lines have not the same number of columns between |."
            )
        digest.write_bytes(to, lists.join(found.manifest, columns, root))
    else:
        digest.write_bytes(to, kaldi.join(found.folder))
    return replace(found, manifest=to, format="voicelathe")


@contextmanager
def unchanged_unless_done(path: Path) -> Iterator[None]:
    """A file that is written over is as it was before when what follows fails, asks or is stopped."""
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is not None:
            digest.write_bytes(path, before)
        elif path.is_file():
            path.unlink()
            with suppress(OSError):
                path.parent.rmdir()  # only if it is empty
        raise


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
    """Of the rules that sort all these paths into at least two recordings of two clips on average, the one with the fewest.

    A recording that is two for the rule would be in two splits; one rule with three recordings is better than another with two.
    """
    found = {rule: grouped(audio, rule) for rule in RULES}
    usable = [rule for rule in RULES if _is_plausible(found[rule], len(set(audio)))]
    return min(usable, key=lambda rule: (len(found[rule]) < MIN_RECORDINGS, len(found[rule])), default=None)


def too_fine(audio: Sequence[str], rule: str) -> str | None:
    """A rule that finds recordings where the given one makes every file a recording of its own; None where it does not, or none does."""
    if len(grouped(audio, rule)) < len(set(audio)):
        return None
    return suggest(audio)


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


def common_root(rows: Sequence[RawRow], folder: Path) -> Path | None:
    """The folder that holds every absolute path of the rows, and what `..` leads to from `folder`; None when all lie below that.

    Raises ManifestError when only the root of the file system does.
    """
    paths = [path for row in rows for path in (row.audio, row.ref_audio) if path]
    absolute = [path for path in paths if path.startswith("/")]
    if any(_leaves(path) for path in paths):
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
    changed, out = 0, []
    for _, data, _ in jsonl.Lines(found.manifest):
        line = (
            _relative_csv(data, audio_root)
            if found.format == "csv"
            else _relative_json(data, audio_root, folder)
        )
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
    texts = _texts(manifest, lists.LOOKED_AT)
    columns = lists.layout(texts)
    if columns is not None and not columns.is_ljspeech:
        return "list", columns.sentence
    if texts and all(text.count("|") in (1, 2) for text in texts[:LOOKED_AT]):
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


def _texts(manifest: Path, most: int) -> list[str]:
    """The first lines of a manifest as text."""
    found = []
    for number, data, _ in jsonl.Lines(manifest):
        if number > most:
            break
        if data.strip():
            found.append(data.decode("utf-8", errors="replace"))
    return found


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
