"""Which family a base directory belongs to, and whether it still is what was added. Without torch."""

import json
from importlib import import_module
from pathlib import Path

from voicelathe import layout, records, settings
from voicelathe.errors import BaseModelError
from voicelathe.families import ARCHITECTURES, FILES
from voicelathe.records import BaseFacts


def recognise(directory: Path) -> str:
    """The family whose format this is. Raises BaseModelError with what was seen and what is supported."""
    config = directory / "config.json"
    if not config.is_file():
        what = (
            "is not a directory"
            if not directory.is_dir()
            else "has no config.json, so it is no model directory"
        )
        raise BaseModelError(
            f"{directory} {what}. Give the directory that holds config.json and model.safetensors."
        )
    try:
        read = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BaseModelError(f"{config} is not JSON ({problem}). Download it again.") from None
    seen = read.get("architecture") if isinstance(read, dict) else None
    if seen not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        hint = " No key at all, or 'voxcpm', is VoxCPM 0.5B or 1.5." if seen in (None, "voxcpm") else ""
        raise BaseModelError(
            f"{config}: architecture = {seen!r} cannot be fine-tuned here; supported: {known}.{hint} "
            "VoxCPM 2: huggingface-cli download openbmb/VoxCPM2 --local-dir DIR"
        )
    return ARCHITECTURES[seen]


def describe(family: str, directory: Path, licence: str, trained: bool) -> BaseFacts:
    """What a directory is. Raises BaseModelError that lists its faults."""
    facts: BaseFacts = import_module(FILES[family]).describe(directory, licence, trained)
    return facts


def pinned(name: str, base: settings.Base) -> BaseFacts:
    """Facts of a base whose files are those params.yaml pins, every one hashed again.

    Raises BaseModelError; it names the file that changed where the record of `voicelathe base add` is at hand.
    """
    facts: BaseFacts = import_module(FILES[base.family]).pinned(
        Path(base.path), base.licence, base.trained, known(name, base.digest) or base.digest
    )
    return facts


def verify(directory: Path, facts: BaseFacts) -> None:
    """Hash every file of a directory and compare with its record. Raises BaseModelError naming what changed."""
    import_module(FILES[facts.family]).verify(directory, facts)


def known(name: str, digest: str) -> BaseFacts | None:
    """The record of `voicelathe base add`, if there is one and it belongs to this digest."""
    path = layout.base_record(name)
    record = records.read_one(path, BaseFacts) if path.is_file() else None
    return record if record is not None and record.digest == digest else None
