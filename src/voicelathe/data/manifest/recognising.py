"""What form is a corpus in? Told by its files, its header and its first lines; what is not plain is asked for."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from voicelathe.data.manifest import jsonl, kaldi, lists, splits_named
from voicelathe.data.manifest.fields import ALIASES
from voicelathe.data.manifest.names import SourceName
from voicelathe.data.sources import delimited, lhotse, naming, nemo, nested, texts
from voicelathe.errors import ManifestError

NOTHING: Mapping[str, str] = MappingProxyType({})
JSON = re.compile(rb'\s*(?:\{\s*(?:"|$)|\[\s*(?:\{|$))')
LOOKED_AT = 200  # lines that decide the format
OURS = frozenset({"recording_id", "start_s", "end_s", "sample_rate_hz"})  # what only our own format has
MANIFESTS = ("metadata.csv", "metadata.jsonl", "manifest.jsonl", kaldi.WAVS)
OF_TEXTS = ("texts", "libritts", "vctk")  # a text file for each clip
OF_SEVERAL = ("cosyvoice", "lhotse", "parquet")  # several files that belong together, or no text
COMMON_VOICE_SPLITS = ("train.tsv", "dev.tsv", "test.tsv")


@dataclass(frozen=True)
class Found:
    """What lies at the path a user gave."""

    manifest: Path  # or the folder, for forms that are one
    format: SourceName
    folder: Path  # what relative audio paths most likely start from
    why: str  # how the format was recognised
    split: str | None = None  # the part of the corpus that the manifest is, where its name says one
    encoding: str | None = None  # of text files that are not UTF-8


def find(path: Path, wanted: SourceName | None, reading: Mapping[str, str] = NOTHING) -> Found:
    """The one manifest at a path; see `find_all`."""
    (found,) = find_all(path, wanted, reading)
    return found


def find_all(path: Path, wanted: SourceName | None, reading: Mapping[str, str] = NOTHING) -> list[Found]:
    """The manifests at a path and their format; `wanted` overrides what is recognised, `reading` are names that are read as ours.

    Several only where a folder holds one for each split. Raises ManifestError when there is nothing to read or the format is not plain.
    """
    if not path.exists():
        raise ManifestError(f"{path}: there is no such file or folder.")
    if not path.is_dir():
        return [_of_file(path, wanted, reading)]
    if wanted in ("parquet", "lhotse", *OF_TEXTS):
        return [Found(path, wanted, path, "as --format says")]
    return _in_folder(path, wanted, reading)


def _of_file(manifest: Path, wanted: SourceName | None, reading: Mapping[str, str]) -> Found:
    known, why = (wanted, "as --format says") if wanted else _recognise(manifest, reading)
    split = splits_named.known(manifest.stem) or (
        splits_named.known(manifest.parent.name) if manifest.name in MANIFESTS else None
    )
    return Found(manifest, known, manifest.parent, why, split)


def _in_folder(folder: Path, wanted: SourceName | None, reading: Mapping[str, str]) -> list[Found]:
    for name in MANIFESTS:
        if (folder / name).is_file():
            return [_of_file(folder / name, wanted, reading)]
    every = sorted(path for ending in ("jsonl", "csv", "tsv", "list") for path in folder.glob(f"*.{ending}"))
    if all((folder / name).is_file() for name in COMMON_VOICE_SPLITS):
        return [_of_file(folder / name, wanted, reading) for name in COMMON_VOICE_SPLITS]
    if _is_lhotse([*every, *folder.glob("*.jsonl.gz")]):
        return [Found(folder, "lhotse", folder, "recordings, supervisions or cuts of Lhotse")]
    if not every and any(folder.rglob("*.parquet")):
        return [Found(folder, "parquet", folder, "Parquet files")]
    kind = texts.kind_of(folder)
    if kind in ("libritts", "vctk"):  # which have tables of their speakers beside them
        return [Found(folder, kind, folder, f"the folders of {'LibriTTS' if kind == 'libritts' else 'VCTK'}")]
    if kind == "texts" and not every:
        return [Found(folder, kind, folder, "one text file for each audio file")]
    splits = [splits_named.known(path.stem) for path in every]
    if len(every) == 1 or (len(every) > 1 and None not in splits and len(set(splits)) == len(every)):
        return [_of_file(path, wanted, reading) for path in every]
    if every:
        names = ", ".join(path.name for path in every)
        raise ManifestError(
            f"{folder} holds several manifests: {names}. Name the one, or all that belong together: voicelathe import FILE [FILE ...]"
        )
    if inner := _in_folders_of_splits(folder):
        return [_of_file(path, wanted, reading) for path in inner]
    raise ManifestError(
        f"{folder} holds no .jsonl or .csv file, no Parquet, and no audio with a .txt of the same name. Name the manifest itself: voicelathe import FILE"
    )


def _in_folders_of_splits(folder: Path) -> list[Path]:
    """train/metadata.csv, validation/metadata.csv and so on of Hugging Face's audiofolder."""
    inner = [one / name for one in sorted(folder.iterdir()) for name in MANIFESTS if (one / name).is_file()]
    parts = [splits_named.known(path.parent.name) for path in inner]
    return inner if inner and None not in parts and len(set(parts)) == len(parts) else []


def _is_lhotse(files: Sequence[Path]) -> bool:
    return any(any(kind in path.name for kind in lhotse.KINDS) and _holds_lhotse(path) for path in files)


def _holds_lhotse(path: Path) -> bool:
    held = next(lhotse.objects(path), None)
    return held is not None and lhotse.kind_of(held) is not None


def _recognise(manifest: Path, reading: Mapping[str, str]) -> tuple[SourceName, str]:
    if manifest.name in (kaldi.WAVS, kaldi.SEGMENTS):
        return "cosyvoice", "a Kaldi folder: wav.scp with text and utt2spk"
    if manifest.suffix == ".parquet":
        return "parquet", "a Parquet file"
    if manifest.suffix == ".gz":
        return "lhotse", "gzipped JSON lines"
    lines = [data for _, data, _ in _first(manifest)]
    objects = [value for value in map(_object, lines) if value is not None]
    if objects:
        return _json_format(manifest, objects, reading)
    if lines and JSON.match(lines[0]):
        raise _broken(manifest, lines)
    return _line_format(manifest, first_texts(manifest, lists.LOOKED_AT), lines, reading)


def _broken(manifest: Path, lines: Sequence[bytes]) -> ManifestError:
    """Why a file that begins like JSON is none, or has no rows: of its first line, or of all of it where that is one document."""
    is_lines = all(line.lstrip().startswith(b"{") for line in lines if line.strip())
    try:
        jsonl.parse(lines[0]) if is_lines else json.loads(manifest.read_bytes())
        return ManifestError(
            f"{manifest} is JSON, but holds no rows {{...}} with audio. Write an object with audio and text for each clip, in one list or on a line each. "
            f"It begins: {jsonl.excerpt(lines[0])}"
        )
    except jsonl.LineProblem as problem:
        told = problem.detail
    except (ValueError, RecursionError) as problem:
        told = (
            jsonl.why_not_json(problem)
            if isinstance(problem, ValueError)
            else "brackets are nested too deeply"
        )
    return ManifestError(
        f"{manifest} begins like JSON and is none: {told}. It begins: {jsonl.excerpt(lines[0])}"
    )


def _line_format(
    manifest: Path, held: list[str], lines: Sequence[bytes], reading: Mapping[str, str]
) -> tuple[SourceName, str]:
    columns = lists.layout(held, reading)
    if columns is not None and not columns.is_ljspeech:
        return "list", columns.sentence
    is_two_or_three = all(text.count("|") in (1, 2) for text in held[:LOOKED_AT])
    if held and (columns is not None or (is_two_or_three and not lists.has_paths(held))):
        return "ljspeech", "no header, `id|text` or `id|text|text` on each line"
    if held and re.search(r"\b(audio|file_name)\b", held[0]) and "," in held[0] and ";" not in held[0]:
        return "csv", f"a header: {held[0][:60]}"
    if held and (header := delimited.header(held[0], reading)) is not None:
        names = ", ".join(header[1])[:60]
        return ("common-voice" if delimited.is_common_voice(header[1]) else "table"), f"a header: {names}"
    if (columns := lists.separated(held)) is not None:
        return "list", columns.sentence
    if lines and lines[0].startswith((b"RIFF", b"fLaC", b"OggS", b"ID3")):
        raise ManifestError(
            f"{manifest} is audio, not a manifest. Name the list of its texts; a long recording is cut first: voicelathe cut propose {manifest}"
        )
    if lines and lines[0].startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ManifestError(
            f"{manifest} is an Excel workbook or an archive. Save the table as CSV, or unpack the archive, and name the manifest in it."
        )
    raise ManifestError(
        f"{manifest} is neither JSON lines with the key audio, nor LJSpeech's id|text, nor a CSV with commas whose header "
        f"names audio. "
        f"Its first line: {jsonl.excerpt(lines[0]) if lines else '(empty file)'}\n"
        "If it is a table with a header, say which columns are read: --map THEIRS=audio --map THEIRS=text. If it is one of the others: --format FORMAT"
    )


def _json_format(
    manifest: Path, objects: list[dict[str, object]], reading: Mapping[str, str]
) -> tuple[SourceName, str]:
    keys = [{ALIASES.get(key, key) for key in value} for value in objects]
    every = set.union(*keys)
    if any(lhotse.kind_of(value) for value in objects):
        return "lhotse", "recordings, supervisions or cuts of Lhotse"
    if nemo.AUDIO in every and "audio" not in every and reading.get(nemo.AUDIO) != "audio":
        return "nemo", "JSON lines with audio_filepath"
    if "audio" not in every and "audio" not in reading.values() and nested.audio(objects) is None:
        names = nested.seen(objects)
        offer = naming.offered(names, every, {})
        raise ManifestError(
            f"{manifest}: JSON lines, but no key audio among {names}. Rename the key that holds the "
            "path of the audio file to audio, and the one with the transcript to text"
            + (
                f", or read them so: {naming.options(offer)}"
                if offer
                else ", or say what is read: --map THEIRS=audio"
            )
            + "."
        )
    if every & OURS:
        return "voicelathe", f"JSON lines with {', '.join(sorted(every & OURS))}"
    if all("ref_audio" in one for one in keys):
        return "qwen3-tts", "JSON lines, each with audio, text and ref_audio"
    return "voxcpm", "JSON lines with audio and text"


def first_texts(manifest: Path, most: int) -> list[str]:
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
