"""Identity of things: sha256 of bytes, files, directories and values, and files that are either whole or absent.

Every record that names what it used names it by these digests; they are the integrity chain of the project.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from voicelathe.errors import DamagedJson, DiskFull, RequestError

BLOCK_BYTES = 1 << 20


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_json(value: object) -> str:
    """One spelling of a JSON value: sorted keys, UTF-8, no spaces, no NaN."""
    return _CANONICAL.encode(value)


def half_character(text: str) -> str:
    """The first half of a surrogate pair in a text, escaped: no file and no pipe can hold it. Empty when there is none."""
    return next((f"\\u{ord(one):04x}" for one in text if "\ud800" <= one <= "\udfff"), "")


def of_value(value: object) -> str:
    """sha256 of the canonical JSON of a value."""
    return of_bytes(canonical_json(value).encode())


def of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """sha256 of a file. As fast as the processor hashes: read unbuffered into one reused buffer."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_files(paths: Mapping[str, Path]) -> dict[str, str]:
    """sha256 of several files under the names they are known by: the `inputs` of a record."""
    return {name: of_file(path) for name, path in sorted(paths.items())}


def of_tree(root: Path) -> dict[str, str]:
    """sha256 of every regular file below a directory, by POSIX path; hidden files count, too."""
    return {
        path.relative_to(root).as_posix(): of_file(path) for path in sorted(root.rglob("*")) if path.is_file()
    }


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a kill or a power cut leaves the old content or the new, never a part.

    Raises DiskFull when the file system has no room; the old file is then untouched.
    """
    write_parts(path, (data,))


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """As `write_bytes`, for content that is made while it is written and is never in memory as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb", buffering=BLOCK_BYTES) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"{path}: no room on this file system. Free space (voicelathe prune plan shows what may go), then run the same command again."
            ) from problem
        raise


def write_text(path: Path, text: str) -> None:
    """Atomic UTF-8 text; see `write_bytes`."""
    write_bytes(path, text.encode())


def deliver(path: Path, data: bytes) -> None:
    """Write where a user said, `--out FILE`: a device or a pipe is written into, a link is followed, a file is replaced whole.

    Raises RequestError for a place that cannot be written, DiskFull for one without room.
    """
    target = path.resolve() if path.is_symlink() else path
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory; give a file in it")
        if target.exists() and not target.is_file():
            with target.open("wb", buffering=0) as stream:
                stream.write(data)
            return
        write_bytes(target, data)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{path}: there is no room. Write to another place: --out FILE") from None
        raise RequestError(
            f"--out {path}: cannot be written ({problem.strerror or problem}). Give another file."
        ) from None


def write_json(path: Path, value: object) -> None:
    """Atomic, sorted, indented JSON for people and `git diff`."""
    write_text(path, json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises DamagedJson for one that is cut off or no JSON at all."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DamagedJson(
            f"{path} is not JSON ({problem}).", "Restore it, or delete it and run its stage again."
        ) from None


def sync_directory(directory: Path) -> None:
    """fsync a directory, so that a rename inside it survives a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
