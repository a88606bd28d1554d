"""Opening users' audio files safely, and their sha256; nothing is decoded here.

A path never leads out of the audio root and never through a symbolic link, and what was checked is what is read: everything
below works on one descriptor.
"""

import hashlib
import os
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path

from voicelathe import digest
from voicelathe.errors import ManifestError

CONTAINERS = {  # by extension
    **{".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".oga": "ogg", ".opus": "ogg", ".mp3": "mp3"},
}
MAX_PATH_BYTES = 1024


class AudioProblem(Exception):
    """Audio that cannot be used: a code of ManifestRow.audio_problem or ClipMeasure.problem, and what was seen."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


def check_path(audio: str) -> None:
    """Raise AudioProblem for what the text of a path alone forbids."""
    if any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in audio):
        raise AudioProblem(
            "invalid_path",
            "control characters, which a backslash before a letter may have become: write folders with /",
        )
    if len(audio.encode(errors="replace")) > MAX_PATH_BYTES:
        raise AudioProblem("invalid_path", f"more than {MAX_PATH_BYTES} bytes")
    if "\\" in audio:
        raise AudioProblem("invalid_path", "a backslash: write folders with /")
    if audio.startswith(("/", "~")) or "://" in audio or audio[1:2] == ":":
        raise AudioProblem("absolute_path", "audio is named relative to ingest.audio_root")
    if ".." in audio.split("/"):
        raise AudioProblem("outside_root", "the path leaves ingest.audio_root")
    if audio.rstrip().endswith("|"):
        raise AudioProblem(
            "unsupported_type", "a command, and none is run here: run it, and name the file that it made"
        )
    if Path(audio).suffix.lower() not in CONTAINERS:
        raise AudioProblem("unsupported_type", f"the extension is none of {' '.join(CONTAINERS)}")


def strange(start: bytes) -> str | None:
    """What a file is that is no audio, by its first bytes, with what to do; None where they do not tell."""
    if not start:
        return "empty"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of git-lfs and not the file: git lfs pull"
    if start.lstrip()[:14].lower().startswith((b"<!doctype", b"<html")):
        return "a web page, as a failed download leaves: get the file again"
    return None


def how_to_convert(ending: str) -> str:
    """One line for files of a kind that is not read, such as m4a and webm."""
    return (
        f".{ending} is not read here. Convert such files once, and name the new ones in the manifest: "
        f'for f in *.{ending}; do ffmpeg -i "$f" "${{f%.*}}.flac"; done'
    )


def open_file(root: Path, audio: str) -> int:
    """A descriptor of a regular file below the root, reached without following any link. Raises AudioProblem.

    Opening does not block on a FIFO, and no device is read: O_NONBLOCK, then fstat of what was opened.
    """
    check_path(audio)
    *folders, name = [part for part in audio.split("/") if part not in ("", ".")]
    here = _step(_open_root(root), folders, os.O_DIRECTORY)
    file = _step(here, [name], os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise AudioProblem("not_regular", "a directory, FIFO, socket or device")
    return file


def _open_root(root: Path) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as problem:
        raise ManifestError(
            f"ingest.audio_root = {str(root)!r} cannot be opened ({problem.strerror}). Set it in params.yaml."
        ) from None


def _step(here: int, parts: list[str], flags: int) -> int:
    """Go from an open directory to what lies below it, one name at a time; closes what it leaves behind."""
    for part in parts:
        try:
            below = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=here)
        except FileNotFoundError:
            raise AudioProblem("missing", _nearly(part, here)) from None
        except OSError as problem:
            raise _refused(problem, part, here) from None
        finally:
            os.close(here)
        here = below
    return here


def _nearly(part: str, folder: int) -> str:
    """What is to be said of a name that is not there: macOS writes umlauts in two parts, and both look the same."""
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, part)
        with suppress(OSError):
            if other != part and os.stat(other, dir_fd=folder):
                return f"the folder has this name in another Unicode form, {form}: rename it, or write {form} in the manifest"
    return "there is no such file below ingest.audio_root"


def _refused(problem: OSError, part: str, folder: int) -> AudioProblem:
    with suppress(OSError):
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            return AudioProblem(
                "symlink", "links below ingest.audio_root are not followed; copy the file there"
            )
    return AudioProblem("unreadable", problem.strerror or str(problem))


def hash_file(root: Path, audio: str) -> str:
    """sha256 of a file's bytes; nothing is decoded. Raises AudioProblem."""
    file = open_file(root, audio)
    try:
        return of_descriptor(file)
    finally:
        os.close(file)


def of_descriptor(file: int) -> str:
    """sha256 of an open file."""
    sha, at = hashlib.sha256(), 0
    try:
        while block := os.pread(file, digest.BLOCK_BYTES, at):
            sha.update(block)
            at += len(block)
    except OSError as problem:
        raise AudioProblem("unreadable", problem.strerror or str(problem)) from None
    return sha.hexdigest()


def verify(file: int, path: Path, sha256: str) -> None:
    """Raise ManifestError when an open file is not the one that ingest saw."""
    if (now := of_descriptor(file)) != sha256:
        raise ManifestError(
            f"audio changed since ingest: {path} has sha256 {now}, the manifest says {sha256}.\n"
            f"Restore the file, or, if the change is meant, accept it: voicelathe pin, then dvc repro."
        )
