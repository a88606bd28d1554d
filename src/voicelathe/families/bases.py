"""Which family a base directory belongs to, and whether it still is what was added. Without torch."""

import json
from pathlib import Path

from voicelathe import families, layout, records
from voicelathe.config import schema
from voicelathe.errors import BaseModelError
from voicelathe.families.shared.base_directory import CONFIG
from voicelathe.records import BaseFacts


def recognise(directory: Path) -> str:
    """The family whose format this is. Raises BaseModelError with what was seen and what is supported."""
    family = families.recognise(directory) if directory.is_dir() else None
    if family is None:
        raise BaseModelError(_unknown(directory))
    return family


def _unknown(directory: Path) -> str:
    """Why a directory is of no family."""
    config = directory / CONFIG
    if not config.is_file():
        what = f"has no {CONFIG}, so it is no model directory" if directory.is_dir() else "is not a directory"
        return f"{directory} {what}. Give a whole download of one of these:\n{_supported()}"
    try:
        read = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as problem:
        return f"{config} is not JSON ({problem}). Download it again."
    seen = {key: read.get(key) for key in ("architecture", "model_type")} if isinstance(read, dict) else {}
    said = ", ".join(f"{key} = {value!r}" for key, value in seen.items()) or str(read)[:40]
    return f"{config}: {said} cannot be fine-tuned here. Supported:\n{_supported()}"


def _supported() -> str:
    return "\n".join(f"  {name}: {families.spec(name).download}" for name in sorted(families.TABLE))


def complete(family: str, directory: Path) -> list[str]:
    """Write what a downloaded directory lacks. Raises BaseModelError."""
    return families.find(family).complete(directory)


def describe(family: str, directory: Path, licence: str, trained: bool) -> BaseFacts:
    """What a directory is. Raises BaseModelError that lists its faults."""
    return families.find(family).describe(directory, licence, trained)


def pinned(name: str, base: schema.Base) -> BaseFacts:
    """Facts of a base whose files are those params.yaml pins, every one hashed again.

    Raises BaseModelError; it names the file that changed where the record of `voicelathe base add` is at hand.
    """
    expected = known(name, base.digest) or base.digest
    return families.find(base.family).pinned(Path(base.path), base.licence, base.trained, expected)


def verify(directory: Path, facts: BaseFacts) -> None:
    """Hash every file of a directory and compare with its record. Raises BaseModelError naming what changed."""
    families.find(facts.family).verify(directory, facts)


def known(name: str, digest: str) -> BaseFacts | None:
    """The record of `voicelathe base add`, if there is one and it belongs to this digest."""
    path = layout.base_record(name)
    record = records.read_one(path, BaseFacts) if path.is_file() else None
    return record if record is not None and record.digest == digest else None
