"""Directories that are either committed and verifiable or absent, whatever kills the writer.

Commit: write every file into a temporary directory, fsync each, write MANIFEST.json (sha256 and size of every file) last, fsync
the directory, rename it to its final name, fsync the parent. The rename is the one moment at which it comes into being.
Only safetensors and JSON are written; nothing is ever pickled.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import CheckpointError, DiskFull

MANIFEST = "MANIFEST.json"
TEMPORARY = ".tmp-"
KEPT = "kept.json"  # beside checkpoints: names of those that stay while their run is trained again, because they were promoted
RESERVE_BYTES = 64 << 20  # left free for journals and logs
BLOCK_BYTES = 8 << 20
DTYPES = {  # torch's name -> safetensors' name, in the order in which safetensors sorts tensors
    "int64": "I64", "float32": "F32", "int32": "I32", "bfloat16": "BF16", "float16": "F16", "int16": "I16", "int8": "I8",
    "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


@dataclass
class Draft:
    """A directory in the making."""

    final: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory = self.final.parent / f"{TEMPORARY}{self.final.name}-{os.getpid()}"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def tensors(self, name: str, tensors: Mapping[str, Any]) -> None:
        """A safetensors file, the same bytes as the library's `save_file`.

        Written block by block and hashed on the way: the library holds the interpreter until the last byte is written, and a
        training loop beside it would stand still. Raises DiskFull before the first byte when it would not fit, or when it did not.
        """
        need = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        free = shutil.disk_usage(self.directory).free
        if free < need * 1.1 + RESERVE_BYTES:
            self.discard()
            raise DiskFull(
                f"{self.final}: {name} needs {need:,} bytes and {free:,} are free. The previous checkpoint is intact. "
                "Free space, then run the same command again: training goes on from there."
            )
        sha, size = hashlib.sha256(), 0
        try:
            with (self.directory / name).open("xb") as file:
                for block in _blocks(tensors):
                    file.write(block)
                    sha.update(block)
                    size += len(block)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            self.discard()
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFull(
                f"{self.final}: the disk was full after {size:,} bytes of {name}. The previous checkpoint is intact. "
                "Free space, then run the same command again: training goes on from there."
            ) from problem
        self.files[name] = {"sha256": sha.hexdigest(), "bytes": size}

    def json(self, name: str, value: object) -> None:
        digest.write_json(self.directory / name, value)
        self._seal(name)

    def link(self, name: str, source: Path, known: dict[str, Any] | None = None) -> None:
        """A hard link to an unchanging file, a copy where links cannot reach; it is read again unless its sha256 and size are known."""
        (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, self.directory / name)
        except OSError:
            shutil.copyfile(source, self.directory / name)
            with (self.directory / name).open("rb") as file:
                os.fsync(file.fileno())
        if known is None:
            self._seal(name)
        else:
            self.files[name] = known

    def commit(self, about: Mapping[str, Any]) -> Path:
        """Make the directory real. An equal one that is already there stays; a different one is moved to quarantine.

        Raises CheckpointError instead where the one that is there is kept and sound: production speaks with it.
        """
        digest.write_json(self.directory / MANIFEST, {**about, "files": self.files})
        for below in sorted({(self.directory / name).parent for name in self.files} | {self.directory}):
            digest.sync_directory(below)
        if self.final.exists():
            if (self.final / MANIFEST).is_file() and identity(self.final) == identity(self.directory):
                self.discard()
                return self.final
            if _is_kept(self.final):
                self.discard()
                raise CheckpointError(
                    f"{self.final} is or was in production and comes out differently (another CPU, card or library?). It stays as it "
                    "is, and this training ends. For the new weights, train the recipe under another name."
                )
            quarantine(self.final)
        self.directory.rename(self.final)
        digest.sync_directory(self.final.parent)
        return self.final

    def discard(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _seal(self, name: str) -> None:
        path = self.directory / name
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self.files[name] = {"sha256": digest.of_file(path), "bytes": path.stat().st_size}


def kept(root: Path) -> list[str]:
    """Names of the checkpoints that stay in this directory of a run."""
    return list(digest.read_json(root / KEPT)) if (root / KEPT).is_file() else []


def _is_kept(directory: Path) -> bool:
    """Whether a directory stays whatever comes out: named as kept, and not damaged."""
    if directory.name not in kept(directory.parent):
        return False
    try:
        verify(directory)
    except CheckpointError:
        return False
    return True


def _blocks(tensors: Mapping[str, Any]) -> "Iterator[memoryview | bytes]":
    """The bytes of a safetensors file (huggingface/safetensors, README: header length, JSON header, data), never copied as a whole."""
    import torch

    names = sorted(tensors, key=lambda name: (list(DTYPES).index(str(tensors[name].dtype)[6:]), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[str(tensor.dtype)[6:]], "shape": list(tensor.shape), "data_offsets": [start, end]
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        flat = tensors[name].detach().contiguous().view(-1).view(torch.uint8).numpy()
        for start in range(0, len(flat), BLOCK_BYTES):
            yield memoryview(flat[start : start + BLOCK_BYTES])


def identity(directory: Path) -> str:
    """sha256 of the manifest, which names the sha256 of everything else."""
    return digest.of_file(directory / MANIFEST)


def verify(directory: Path, sha256: str | None = None) -> dict[str, Any]:
    """Read every byte and compare. Returns the manifest.

    Raises CheckpointError naming the first file that is missing, extra or changed, or a manifest that is not the expected one.
    """
    if not (directory / MANIFEST).is_file():
        raise CheckpointError(f"{directory} is gone or was never finished. {_remedy(directory)}")
    if sha256 is not None and identity(directory) != sha256:
        raise CheckpointError(
            f"{directory}/{MANIFEST}: sha256 is {identity(directory)}, expected {sha256}. These are other weights. {_remedy(directory)}"
        )
    try:
        manifest: dict[str, Any] = digest.read_json(directory / MANIFEST)
    except ValueError:
        raise CheckpointError(
            f"{directory}/{MANIFEST} is damaged: it is no JSON. {_remedy(directory)}"
        ) from None
    here = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()} - {
        MANIFEST
    }
    if wrong := sorted(here - set(manifest["files"])):
        raise CheckpointError(f"{directory}: {wrong[0]} is not in the manifest. Move it elsewhere")
    if wrong := sorted(set(manifest["files"]) - here):
        raise CheckpointError(f"{directory}: {wrong[0]} is missing. {_remedy(directory)}")
    for name, expected in sorted(manifest["files"].items()):
        if (found := digest.of_file(directory / name)) != expected["sha256"]:
            raise CheckpointError(
                f"{directory}/{name}: sha256 is {found}, expected {expected['sha256']}. It was changed or damaged. {_remedy(directory)}"
            )
    return manifest


def _remedy(directory: Path) -> str:
    """What brings weights back; the recipe stands in their path: checkpoints/RECIPE/RUN/step_0000100."""
    *_, folder, recipe, _run = ("", "", "", *directory.parts[:-1])
    named = recipe if folder == "checkpoints" else "RECIPE"
    return f"Bring it from an archive: voicelathe restore URL; or train it again: voicelathe retrain {named}"


def way_back(path: str) -> str:
    """What brings a file back that a record names: weights, speech below checkpoints/, or an output of a stage."""
    parts = Path(path).parts
    if parts[0] != "checkpoints":
        return "Bring it back: dvc checkout, or from git; or make it again: dvc repro"
    if not {"speech", "speech_long"} & {*parts}:
        return _remedy(Path(path).parent)
    named = "RECIPE" if parts[1].startswith("_") else parts[1]  # what bases said belongs to no recipe
    return (
        f"Bring it from an archive: voicelathe restore URL; or speak it again: dvc repro -f -s listen@{named}"
    )


def size_bytes(directory: Path) -> int:
    """Bytes of the files the manifest lists, linked ones included."""
    return sum(entry["bytes"] for entry in digest.read_json(directory / MANIFEST)["files"].values())


def sweep(root: Path) -> None:
    """Remove what a killed writer left half-made. Only under the run lock."""
    for left in root.glob(f"{TEMPORARY}*"):
        shutil.rmtree(left, ignore_errors=True)


def remove(directory: Path) -> None:
    """Delete a directory that is not needed any more: who dies in the middle leaves something for `sweep`, never half a checkpoint."""
    doomed = directory.with_name(f"{TEMPORARY}old-{directory.name}")
    directory.rename(doomed)
    shutil.rmtree(doomed)


def newest_verified(root: Path, prefix: str, broken: list[str] | None = None) -> Path | None:
    """The newest directory of that prefix whose every byte verifies; broken ones are moved to quarantine, never deleted.

    `broken` gets what was wrong with them.
    """
    for directory in sorted(root.glob(f"{prefix}*"), reverse=True):
        try:
            verify(directory)
        except CheckpointError as problem:
            if broken is not None:
                broken.append(str(problem))
            quarantine(directory)
        else:
            return directory
    return None


def quarantine(directory: Path) -> None:
    """Move a directory out of the way, beside the others that were found broken."""
    shelf = directory.parent / "quarantine"
    shelf.mkdir(exist_ok=True)
    number = sum(1 for _ in shelf.glob(f"{directory.name}.*"))
    directory.rename(shelf / f"{directory.name}.{number}")
