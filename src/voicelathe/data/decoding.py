"""Samples out of an open file, whatever its container, without ever holding more than a clip or a small file.

16-bit WAV is read without libsndfile. Of FLAC and other WAV only the frames asked for are decoded; Ogg and MP3 have no exact seek
(libsndfile lands elsewhere in MP3, and an Opus decoder needs to settle after a jump), so long ones are decoded from the start on.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voicelathe.data.audio_files import AudioProblem
from voicelathe.data.containers import Pcm16

Stored = NDArray[np.float32] | NDArray[np.int16]  # [frames, channels], full scale 1.0 or 32768
Part = tuple[Stored, AudioProblem | None]  # fewer frames than asked for, and then the reason
BLOCK_FRAMES = 1 << 14
SMALL_BYTES = (
    32 << 20
)  # of float32; a file up to this size is decoded once, so that its clips cost nothing more
EXACT_SEEK = ("wav", "flac")


@dataclass(frozen=True)
class Header:
    """What a file says about itself."""

    rate_hz: int
    num_channels: int
    num_frames: int


class Reader(Protocol):
    """Gives `num` frames from `start`."""

    def read(self, start: int, num: int) -> Part: ...

    def close(self) -> None: ...


def header(file: int, container: str, plain: Pcm16 | None) -> Header:
    """What the header claims; nothing is decoded. Raises AudioProblem."""
    if plain is not None:
        return Header(plain.rate_hz, plain.num_channels, plain.num_frames)
    with _quiet(container == "mp3"), _no_library_errors():
        sound = _open(file)
        try:
            return Header(sound.samplerate, sound.channels, sound.frames)
        finally:
            sound.close()


def reader(file: int, container: str, plain: Pcm16 | None, head: Header) -> Reader:
    """The way to read this file. Raises AudioProblem when libsndfile does not open it."""
    if plain is not None:
        return _Plain(file, plain)
    if head.num_frames * head.num_channels * 4 <= SMALL_BYTES:
        return _Small(file, head, is_noisy=container == "mp3")
    if container in EXACT_SEEK:
        return _Seeking(file, head)
    return _Forward(file, head, is_noisy=container == "mp3")


@dataclass(frozen=True)
class _Plain:
    """16-bit PCM: the bytes of the file are the samples."""

    file: int
    layout: Pcm16

    def read(self, start: int, num: int) -> Part:
        frame = 2 * self.layout.num_channels
        try:
            data = os.pread(self.file, num * frame, self.layout.start + start * frame)
        except OSError as problem:
            raise AudioProblem("unreadable", problem.strerror or str(problem)) from None
        done = len(data) // frame
        samples = np.frombuffer(data, "<i2", done * self.layout.num_channels)
        return samples.reshape(done, -1), _stopped(done, num, "the file ends there")

    def close(self) -> None:
        pass


class _Small:
    """A file that is decoded once and kept."""

    def __init__(self, file: int, head: Header, is_noisy: bool) -> None:
        with _quiet(is_noisy), _no_library_errors():
            sound = _open(file)
            try:
                self._samples, self._why = _decode(sound, head.num_frames, head.num_channels)
            finally:
                sound.close()

    def read(self, start: int, num: int) -> Part:
        samples = self._samples[start : start + num]
        return samples, None if len(samples) == num else self._why

    def close(self) -> None:
        pass


class _Seeking:
    """A long file of which only the frames asked for are decoded."""

    def __init__(self, file: int, head: Header) -> None:
        self._channels = head.num_channels
        with _no_library_errors():
            self._sound = _open(file)

    def read(self, start: int, num: int) -> Part:
        try:
            with _no_library_errors():
                self._sound.seek(start)
        except AudioProblem as problem:
            return np.empty((0, self._channels), np.float32), _stopped(0, num, problem.detail)
        return _decode(self._sound, num, self._channels)

    def close(self) -> None:
        self._sound.close()


class _Forward:
    """A long file that is decoded from its start on; what was read last is kept for a clip that overlaps it."""

    def __init__(self, file: int, head: Header, is_noisy: bool) -> None:
        self._file, self._channels, self._is_noisy = file, head.num_channels, is_noisy
        self._sound: Any = None
        self._rewind()

    def _rewind(self) -> None:
        self.close()
        with _quiet(self._is_noisy), _no_library_errors():
            self._sound = _open(self._file)
        self._held, self._at = np.empty((0, self._channels), np.float32), 0

    def read(self, start: int, num: int) -> Part:
        """Always in the same blocks: libmpg123's last digits depend on where a read begins."""
        if start < self._at - len(self._held):
            self._rewind()
        parts = [self._held[max(0, len(self._held) - (self._at - start)) :]]
        why = None
        with _quiet(self._is_noisy):
            while self._at < start + num and why is None:
                block, why = _decode(self._sound, BLOCK_FRAMES, self._channels)
                self._at += len(block)
                parts.append(block[max(0, len(block) - max(0, self._at - start)) :])
        self._held = np.concatenate(parts)
        samples = self._held[:num]
        return samples, _stopped(len(samples), num, why.args[1] if why else "")

    def close(self) -> None:
        if self._sound is not None:
            self._sound.close()
            self._sound = None


def _open(file: int) -> Any:
    """A soundfile over an open descriptor; the offset of that is where libsndfile believes the file to begin."""
    import soundfile

    os.lseek(file, 0, os.SEEK_SET)
    return soundfile.SoundFile(file, closefd=False)


@contextmanager
def _no_library_errors() -> Iterator[None]:
    import soundfile

    try:
        yield
    except (soundfile.LibsndfileError, ValueError, TypeError) as problem:
        raise AudioProblem("unreadable", str(problem)) from None


def _decode(sound: Any, num: int, channels: int) -> tuple[NDArray[np.float32], AudioProblem | None]:
    """The next `num` frames; fewer, with the reason, where the file cannot be decoded any further."""
    samples, done, why = np.empty((num, channels), np.float32), 0, "the file ends there"
    try:
        with _no_library_errors():
            while done < num:
                block = sound.read(out=samples[done : done + BLOCK_FRAMES])
                if not len(block):
                    break
                done += len(block)
    except AudioProblem as problem:
        why = problem.detail
    return samples[:done], _stopped(done, num, why)


def _stopped(done: int, num: int, why: str) -> AudioProblem | None:
    return None if done == num else AudioProblem("truncated", f"decoded {done} of {num} samples: {why}")


@contextmanager
def _quiet(is_needed: bool) -> Iterator[None]:
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
