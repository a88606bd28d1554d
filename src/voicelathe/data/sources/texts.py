"""One text file for each clip: a.wav with a.txt or a.lab beside it or in a folder of its own, and the trees of LibriTTS and VCTK.

LibriTTS: SPLIT/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav with .normalized.txt; a chapter is a recording.
VCTK: wav48*/SPEAKER/SPEAKER_NUMBER[_mic].flac with txt/SPEAKER/SPEAKER_NUMBER.txt; a sentence is a recording, whatever heard it.
"""

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from voicelathe.data.audio.files import CONTAINERS
from voicelathe.data.manifest import jsonl
from voicelathe.data.sources.rows import Line
from voicelathe.data.text import charsets
from voicelathe.errors import ManifestError

TEXTS = (".normalized.txt", ".txt", ".lab", ".original.txt")  # the first that is there
NOT_READ = frozenset(
    {".m4a", ".aac", ".webm", ".wma", ".mp4", ".aiff", ".aif"}
)  # audio all the same: named, not passed over
LIBRITTS = re.compile(r"(?:^|/)(?:([^/]+)/)?(\d+)/(\d+)/\2_\3_[^/]+$")
VCTK = re.compile(r"(?:^|/)wav48[^/]*/([^/]+)/(\1_\d+)(?:_mic\d)?\.\w+$")
MAX_TEXT_BYTES = 1 << 16


Kind = Literal["texts", "libritts", "vctk"]


def kind_of(folder: Path) -> Kind | None:
    """libritts, vctk or texts; None for a folder whose audio has no texts beside it."""
    audio, texts = _files(folder)
    paired = [path for path in audio if _text_of(path, texts) is not None]
    if not paired:
        return None
    if 2 * sum(bool(LIBRITTS.search(path)) for path in paired) > len(paired):
        return "libritts"
    return "vctk" if 2 * sum(bool(VCTK.search(path)) for path in paired) > len(paired) else "texts"


def rows(folder: Path, kind: str, encoding: str | None = None) -> Iterator[Line]:
    """A row for each audio file, with the text that is there, and one for each text without audio.

    Raises ManifestError for texts that are neither UTF-8 nor in the encoding.
    """
    audio, texts = _files(folder)
    chosen = {path: _text_of(path, texts) for path in audio}
    used = {one for path in audio for one in _all_texts_of(path, texts)}
    stems = {_stem(path) for path in audio}
    folders = {path.rpartition("/")[0] for path in used}  # a licence in another folder is nobody's text
    rest = sorted({path for some in texts.values() for path in some} - used)
    alone = [path for path in rest if _stem(path) not in stems and path.rpartition("/")[0] in folders]
    said = _read_all(folder, dict.fromkeys(one for one in (*chosen.values(), *alone) if one), encoding)
    for path, text in chosen.items():
        yield {"id": Path(path).stem, "audio": path, "text": said.get(text or ""), **_named(path, kind)}
    for path in alone:
        yield {"id": _stem(path), "text": said[path], "text_file": path}


def _named(path: str, kind: str) -> dict[str, object]:
    found = {"libritts": LIBRITTS, "vctk": VCTK}[kind].search(path) if kind != "texts" else None
    if found is None:
        return {}
    if kind == "vctk":
        return {"speaker_id": found[1], "recording_id": found[2], "language": "en"}
    part = {"split": found[1]} if found[1] else {}
    return {**part, "speaker_id": found[2], "recording_id": f"{found[2]}_{found[3]}", "language": "en"}


def _files(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Paths of the audio below a folder, and of the texts by the stem they belong to."""
    audio: list[str] = []
    texts: dict[str, list[str]] = {}
    for name in _names(folder):
        if Path(name).suffix.lower() in (*CONTAINERS, *NOT_READ):
            audio.append(name)
        elif name.lower().endswith(TEXTS):
            texts.setdefault(_stem(name), []).append(name)
    return audio, texts


def _names(folder: Path) -> list[str]:
    """Paths of the visible files below a folder; links to folders are followed, each folder once."""
    found: list[str] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [one for one in folders if not one.startswith(".")]
        if real not in seen:
            inner = Path(place).relative_to(folder)
            found += [(inner / one).as_posix() for one in files if not one.startswith(".")]
        seen.add(real)
    return sorted(found)


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    for ending in sorted(TEXTS, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return re.sub(r"_mic\d$", "", Path(name).stem)


def _all_texts_of(audio: str, texts: dict[str, list[str]]) -> list[str]:
    held = texts.get(_stem(audio), []) or texts.get(Path(audio).stem, [])
    beside = [path for path in held if path.rpartition("/")[0] == audio.rpartition("/")[0]]
    speakers = audio.split("/")[-2:-1]
    return beside or [path for path in held if path.split("/")[-2:-1] == speakers] or _sole(held)


def _sole(held: Sequence[str]) -> list[str]:
    """The texts of a stem where they are of one folder; one of several folders could be another clip's."""
    return list(held) if len({path.rpartition("/")[0] for path in held}) == 1 else []


def _text_of(audio: str, texts: dict[str, list[str]]) -> str | None:
    held = _all_texts_of(audio, texts)
    ranked = sorted(
        held, key=lambda path: next(at for at, end in enumerate(TEXTS) if path.lower().endswith(end))
    )
    return ranked[0] if ranked else None


def _read_all(folder: Path, paths: Iterable[str], encoding: str | None) -> dict[str, str]:
    """Each text in what its mark says, as UTF-8, or in the given encoding, in this order. Raises ManifestError for those in none."""
    found: dict[str, str] = {}
    strange: list[str] = []
    for path in paths:
        data = (folder / path).read_bytes()[:MAX_TEXT_BYTES]
        text = _decoded(data, encoding)
        if text is None:
            strange.append(path)
        else:
            found[path] = " ".join(text.split())
    if strange:
        advice = charsets.offer((folder / strange[0]).read_bytes()[:MAX_TEXT_BYTES], None)
        read_as = f"neither UTF-8 nor {encoding}" if encoding else "not UTF-8"
        raise ManifestError(
            f"{len(strange)} of {len(strange) + len(found)} texts are {read_as}, the first {folder / strange[0]}. {advice}"
        )
    return found


def _decoded(data: bytes, encoding: str | None) -> str | None:
    is_whole = len(data) < MAX_TEXT_BYTES
    names = ("utf-16",) if data.startswith(jsonl.UTF16_BOMS) else ("utf-8-sig", encoding)
    for name in filter(None, names):
        try:
            return codecs.getincrementaldecoder(name)().decode(data, is_whole)
        except LookupError:
            raise ManifestError(f"--encoding {name!r}: there is no such encoding.") from None
        except UnicodeDecodeError:
            continue
    return None
