"""What every family asks of a base directory: that it is there, and that its files are the ones that were pinned. Without torch."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest, records
from voicelathe.errors import BaseModelError, RecordError, listing
from voicelathe.families.base import FamilySpec
from voicelathe.records import BaseFacts

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
BOOKKEEPING = (".cache", ".git")  # of the download tools, dated: not part of the model


class PinnedDirectory(ABC):
    """`describe`, `pinned` and `verify` of the family protocol; a family adds `facts`."""

    spec: FamilySpec

    @abstractmethod
    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        """What a directory with these hashed files is. Raises BaseModelError listing everything missing or wrong."""

    def complete(self, base: Path) -> list[str]:
        """Most families ship whole directories."""
        return []

    def describe(self, base: Path, licence: str, trained: bool) -> BaseFacts:
        """Read what a base directory is. Raises BaseModelError listing everything missing or wrong, by file."""
        return self.facts(base, licence, trained, self._files(base))

    def verify(self, base: Path, expected: BaseFacts | str) -> None:
        """Hash every file again, about a second a GB. Raises BaseModelError naming what changed.

        Given a digest alone it can do so only beside the record that `voicelathe base add` left: DIR.json of that digest.
        """
        _compare(base, self._files(base), expected)

    def pinned(self, base: Path, licence: str, trained: bool, expected: BaseFacts | str) -> BaseFacts:
        """`verify`, then `describe`, in one reading: a changed file is named before what the change broke."""
        files = self._files(base)
        _compare(base, files, expected)
        return self.facts(base, licence, trained, files)

    def _files(self, base: Path) -> dict[str, str]:
        if not base.is_dir():
            raise BaseModelError(
                f"{base} is missing or not a directory. Restore it, or download it: {self.spec.download}"
            )
        return digest.of_tree(base)


def read_config(path: Path, download: str) -> dict[str, Any]:
    """A JSON object. Raises BaseModelError when the file is missing or holds anything else."""
    if not path.is_file():
        raise BaseModelError(f"{path} is missing: this is no whole model directory. Download it: {download}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BaseModelError(f"{path} is not JSON ({problem}). Download it again: {download}") from None
    if not isinstance(config, dict):
        raise BaseModelError(f"{path} holds {str(config)[:40]}, not an object. Download again: {download}")
    return config


def peek_config(base: Path) -> dict[str, Any]:
    """config.json of a directory, to tell families apart; {} when there is none that can be read."""
    try:
        config = json.loads((base / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def file_problems(
    base: Path, files: Mapping[str, str], needed: tuple[str, ...], pickles: tuple[str, ...] = ()
) -> Iterator[str]:
    """Files that are missing or must not be there; `pickles` names the ones that are read with `weights_only`."""
    for folder in sorted({name.split("/")[0] for name in files} & set(BOOKKEEPING)):
        yield f"{folder}/: notes of the download, not part of the model; delete them: rm -r {base / folder}"
    for name in needed:
        if name not in files:
            yield f"{name}: missing"
    for name in files:
        if Path(name).suffix.lower() in PICKLES and name not in pickles:
            is_weights = name == "pytorch_model.bin"
            remedy = f"use {WEIGHTS} of the same model" if is_weights else "move it out of the directory"
            yield f"{name}: a pickle can run code when it is opened; {remedy}"


def name_problems(file: str, what: str, names: set[str], shown: int = 3) -> Iterator[str]:
    """One line about tensors that are missing or not expected."""
    if names:
        rest = f" and {len(names) - shown} more" if len(names) > shown else ""
        yield f"{file}: {what}: {', '.join(sorted(names)[:shown])}{rest}"


def _compare(base: Path, files: Mapping[str, str], expected: BaseFacts | str) -> None:
    wanted = expected if isinstance(expected, str) else expected.digest
    seen = digest.of_value(files)
    if seen == wanted:
        return
    record = _record_beside(base, wanted) if isinstance(expected, str) else expected
    changes = list(_changes(files, record.files)) if record else []
    raise BaseModelError(
        f"{base} is not the base that was pinned: digest {seen[:16]}, pinned {wanted[:16]}.\n"
        + (listing(changes) + "\n" if changes else "")
        + "Restore the files, or accept them: voicelathe base add DIR --name NAME --replace "
        "(everything made from it is then made again)."
    )


def _record_beside(base: Path, wanted: str) -> BaseFacts | None:
    path = base.with_name(f"{base.name}.json")
    if not path.is_file():
        return None
    try:
        record = records.read_one(path, BaseFacts)
    except RecordError:
        return None  # somebody's own file of that name
    return record if record.digest == wanted else None


def _changes(files: Mapping[str, str], pinned_files: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*files, *pinned_files}):
        if name not in files:
            yield f"{name}: missing"
        elif name not in pinned_files:
            yield f"{name}: was not there when the base was added"
        elif files[name] != pinned_files[name]:
            yield f"{name}: changed (sha256 {files[name][:16]}, pinned {pinned_files[name][:16]})"
