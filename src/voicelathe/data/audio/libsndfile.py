"""libsndfile over an open descriptor, or over one stream of it: opened, read forward, and kept quiet."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.streams import Stream

BLOCK_FRAMES = 1 << 14


class Window(io.RawIOBase):
    """One stream of a file as a file of its own."""

    def __init__(self, file: int, stream: Stream) -> None:
        self._file, self._stream, self._at = file, stream, 0
        self._num = len(stream.head) + stream.end - stream.start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._num}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        head, target = self._stream.head, memoryview(buffer).cast("B")
        size = min(len(target), max(0, self._num - self._at))
        found = head[self._at : self._at + size]
        if len(found) < size:
            place = self._stream.start + max(0, self._at - len(head))
            found += os.pread(self._file, size - len(found), place)
        target[: len(found)] = found
        self._at += len(found)
        return len(found)


def open_stream(file: int, stream: Stream | None) -> Any:
    """A soundfile over an open descriptor, or over one stream of it.

    libsndfile believes a file to begin where the offset of the descriptor is. soundfile seeks to where it is after each read, which
    libsndfile refuses where the length is unknown and which disturbs an MP3 decoder: so it is told that it cannot seek.
    """
    import soundfile

    if stream is None:
        os.lseek(file, 0, os.SEEK_SET)
        return soundfile.SoundFile(file, closefd=False)
    whole = not stream.head and stream.start == 0 and stream.end == os.fstat(file).st_size
    os.lseek(file, 0, os.SEEK_SET)
    found = soundfile.SoundFile(file if whole else Window(file, stream), closefd=False)
    found.seekable = lambda: False
    return found


@contextmanager
def no_library_errors() -> Iterator[None]:
    import soundfile

    try:
        yield
    except soundfile.LibsndfileError as problem:  # whose own text names a descriptor, not the file
        said = problem.error_string.removeprefix("Error : ").rstrip(".")
        if problem.prefix.startswith("Error opening"):
            said = f"libsndfile cannot open it ({said}): convert it again from its source"
        raise AudioProblem("unreadable", said) from None
    except (ValueError, TypeError) as problem:
        raise AudioProblem("unreadable", str(problem)) from None


def decode(sound: Any, num: int, channels: int) -> tuple[NDArray[np.float32], str | None]:
    """The next `num` frames; fewer where the stream ends, with what is wrong there, or nothing."""
    samples, done = np.empty((num, channels), np.float32), 0
    try:
        with no_library_errors():
            while done < num:
                block = sound.read(out=samples[done : done + BLOCK_FRAMES])
                if not len(block):
                    return samples[:done], ""
                done += len(block)
    except AudioProblem as problem:
        return samples[:done], problem.detail or "it cannot be decoded any further"
    return samples, None


@contextmanager
def quiet(is_needed: bool) -> Iterator[None]:
    """Keep libmpg123 from writing thousands of lines to descriptor 2 about one damaged file."""
    if not is_needed:
        yield
        return
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        for one in (saved, nowhere):
            with suppress(OSError):
                os.close(one)
