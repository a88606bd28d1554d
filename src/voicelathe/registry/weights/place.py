"""A folder or a bucket in which every file lies under its own sha256: reached through fsspec, its password never shown."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import CheckpointError
from voicelathe.redaction import public, redacted


@dataclass(frozen=True)
class Place:
    """A directory behind a URL."""

    system: Any
    path: str
    shown: str

    def of(self, sha256: str) -> str:
        return f"{self.path}/{sha256[:2]}/{sha256}"

    def holds(self, sha256: str, size: int) -> bool:
        """Whether a file of that name and size is there; what is in it is not read."""
        with self.reached():
            return (
                bool(self.system.exists(self.of(sha256))) and int(self.system.size(self.of(sha256))) == size
            )

    def is_sound(self, sha256: str) -> bool:
        """Whether it is there, every byte read."""
        with self.reached():
            if not self.system.exists(self.of(sha256)):
                return False
            found = hashlib.sha256()
            with self.system.open(self.of(sha256), "rb") as file:
                while block := file.read(digest.BLOCK_BYTES):
                    found.update(block)
        return found.hexdigest() == sha256

    def put(self, source: Path, sha256: str) -> None:
        """Under another name first, so that a kill leaves no half file under the right one where the place can rename."""
        name = self.of(sha256)
        with self.reached():
            self.system.makedirs(name.rpartition("/")[0], exist_ok=True)
            self.system.put_file(str(source), partial := _partial(name))
            self.system.mv(partial, name)

    def fetch(self, target: Path, sha256: str) -> bool:
        """Bring a file, hashed before it gets its name. Returns whether the place held it whole."""
        with self.reached():
            if not self.system.exists(self.of(sha256)):
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            self.system.get_file(self.of(sha256), str(partial))
        if digest.of_file(partial) != sha256:
            partial.unlink()
            return False
        partial.replace(target)
        digest.sync_directory(target.parent)
        return True

    def read(self, name: str) -> bytes | None:
        """A file of another name, below this place; None where there is none."""
        with self.reached():
            if not self.system.exists(f"{self.path}/{name}"):
                return None
            with self.system.open(f"{self.path}/{name}", "rb") as file:
                return bytes(file.read())

    def write(self, name: str, content: bytes) -> None:
        """See `put`."""
        full = f"{self.path}/{name}"
        with self.reached():
            self.system.makedirs(full.rpartition("/")[0], exist_ok=True)
            with self.system.open(partial := _partial(full), "wb") as file:
                file.write(content)
            self.system.mv(partial, full)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn what a file system raises into one error that names the place without its password."""
        try:
            yield
        except Exception as problem:  # each kind of file system has its own
            raise CheckpointError(
                f"{self.shown} cannot be used: {type(problem).__name__}: {redacted(str(problem))[:300]}. Correct it, then run the same "
                "command again: it goes on where it stopped."
            ) from None


def open_(url: str) -> Place:
    """Raises CheckpointError for a URL of an unknown kind."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except (ValueError, ImportError) as problem:
        raise CheckpointError(
            f"{public(url)} cannot be used: {problem}. Give a folder, or a URL such as s3://bucket/folder or "
            "sftp://host/folder with the package that fsspec needs for it."
        ) from None
    return Place(system, str(path).rstrip("/"), public(url))


def _partial(name: str) -> str:
    return f"{name}.{os.getpid()}.partial"
