"""Samples out of an open file, whatever its container, without ever holding more than a clip or a small file.

16-bit WAV is read without libsndfile. Everything else is decoded stream by stream to its end (`streams`), and what a header promised is
compared with what came. Of long FLAC and other WAV only the frames asked for are decoded, where nobody has to know the length.
"""

import os
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voicelathe.data.audio import libsndfile
from voicelathe.data.audio.containers import Pcm16
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.streams import Stream

Stored = NDArray[np.float32] | NDArray[np.int16]  # [frames, channels], full scale 1.0 or 32768
BLOCK_FRAMES = libsndfile.BLOCK_FRAMES
SMALL_BYTES = (
    32 << 20
)  # of float32; a file up to this size is decoded once, so that its clips cost nothing more
EXACT_SEEK = ("wav", "flac")
FLOATS = ("FLOAT", "DOUBLE")  # kinds of samples, of WAV alone
UNKNOWN_FRAMES = 1 << 62  # libsndfile says 2^63 - 1


@dataclass(frozen=True)
class Header:
    """What a file says about itself; `num_frames` is None where it does not say it."""

    rate_hz: int
    num_channels: int
    num_frames: int | None
    is_float: bool = False  # a WAV of floating point numbers, which may be in any scale


@dataclass(frozen=True)
class Stop:
    """Where the audio ended before enough was read: at its end, or at what is wrong there."""

    at: int
    problem: AudioProblem | None


Part = tuple[Stored, Stop | None]  # fewer frames than asked for, and then where and why


class Reader(Protocol):
    """Gives `num` frames from `start`."""

    def read(self, start: int, num: int) -> Part: ...

    def close(self) -> None: ...


def header(file: int, container: str, plain: Pcm16 | None, streams: list[Stream]) -> Header:
    """What the headers claim; nothing is decoded. Raises AudioProblem, also where two streams of a file do not fit."""
    if plain is not None:
        return Header(plain.rate_hz, plain.num_channels, plain.num_frames)
    heads = [_header_of(file, one, container == "mp3") for one in streams]
    first = heads[0]
    for head, stream in zip(heads, streams, strict=True):
        if (head.rate_hz, head.num_channels) != (first.rate_hz, first.num_channels):
            raise AudioProblem(
                "another_stream",
                f"a second stream of {head.rate_hz} Hz and {head.num_channels} channels begins at byte {stream.start}, behind one "
                f"of {first.rate_hz} Hz and {first.num_channels}: cut the file there",
            )
    known = [head.num_frames for head in heads if head.num_frames is not None]
    return replace(first, num_frames=sum(known) if len(known) == len(heads) else None)


def _header_of(file: int, stream: Stream, is_noisy: bool) -> Header:
    with libsndfile.quiet(is_noisy), libsndfile.no_library_errors():
        sound = libsndfile.open_stream(file, stream)
        try:
            num = sound.frames if stream.num_frames is None else stream.num_frames or None
            known = None if (num or 0) >= UNKNOWN_FRAMES else num
            return Header(sound.samplerate, sound.channels, known, sound.subtype in FLOATS)
        finally:
            sound.close()


def reader(
    file: int,
    container: str,
    plain: Pcm16 | None,
    streams: list[Stream],
    head: Header,
    *,
    may_seek: bool,
    max_frames: float,
) -> Reader:
    """The way to read this file. `may_seek` trusts the length in the header of a long one. Raises AudioProblem."""
    if plain is not None:
        return _Plain(file, plain)
    is_noisy = container == "mp3"
    if head.num_frames is not None and head.num_frames * head.num_channels * 4 <= SMALL_BYTES:
        return _Small(_Chain(file, streams, head, is_noisy, max_frames), head)
    is_exact = container in EXACT_SEEK and len(streams) == 1 and head.num_frames is not None
    is_exact = is_exact and (
        streams[0].start == 0 or container == "flac"
    )  # libsndfile skips tags of FLAC only
    if is_exact and (may_seek or container == "wav"):
        return _Seeking(file, head)
    return _Forward(_Chain(file, streams, head, is_noisy, max_frames), head)


@dataclass(frozen=True)
class _Plain:
    """16-bit PCM: the bytes of the file are the samples."""

    file: int
    layout: Pcm16

    def read(self, start: int, num: int) -> Part:
        frame, wanted = 2 * self.layout.num_channels, max(0, min(num, self.layout.num_frames - start))
        try:
            data = os.pread(self.file, wanted * frame, self.layout.start + start * frame)
        except OSError as problem:
            raise AudioProblem("unreadable", problem.strerror or str(problem)) from None
        done = len(data) // frame
        samples = np.frombuffer(data, "<i2", done * self.layout.num_channels).reshape(
            -1, self.layout.num_channels
        )
        if done < wanted:
            return samples, Stop(
                start + done, AudioProblem("truncated", _compared(done, wanted, "the file ends there"))
            )
        return samples, None if done == num else Stop(self.layout.num_frames, None)

    def close(self) -> None:
        pass


class _Chain:
    """The streams of a file, one after the other, each decoded to its end."""

    def __init__(
        self, file: int, streams: list[Stream], head: Header, is_noisy: bool, max_frames: float
    ) -> None:
        self._file, self._streams, self._channels = file, streams, head.num_channels
        self._is_noisy, self._max_frames = is_noisy, max_frames
        self._sound: Any = None
        self.rewind()

    def rewind(self) -> None:
        self.close()
        self._next, self._in_stream = 0, 0
        self.at = 0
        self.end: Stop | None = None

    def read(self, num: int) -> list[NDArray[np.float32]]:
        """Up to `num` frames more; fewer at `end`."""
        parts: list[NDArray[np.float32]] = []
        with libsndfile.quiet(self._is_noisy):
            while num > 0 and self.end is None:
                part, why = self._some(min(num, BLOCK_FRAMES))
                parts.append(part)
                self.at, self._in_stream, num = (
                    self.at + len(part),
                    self._in_stream + len(part),
                    num - len(part),
                )
                if self.at > self._max_frames:
                    self.end = Stop(self.at, AudioProblem("over_limit", "longer than measure.max_file_s"))
                elif why is not None:
                    self._finish(why)
        return parts

    def _some(self, num: int) -> tuple[NDArray[np.float32], str | None]:
        try:
            if self._sound is None:
                with libsndfile.no_library_errors():
                    self._sound = libsndfile.open_stream(self._file, self._streams[self._next])
        except AudioProblem as problem:
            self._sound = None
            return np.empty((0, self._channels), np.float32), problem.detail
        return libsndfile.decode(self._sound, num, self._channels)

    def _finish(self, why: str) -> None:
        """At the end of a stream: is it as long as it was said to be?"""
        stream = self._streams[self._next]
        claimed = stream.num_frames
        if claimed is None and self._sound is not None and self._sound.frames < UNKNOWN_FRAMES:
            claimed = self._sound.frames
        done = self._in_stream
        if why or (claimed and done < claimed):
            detail = _compared(done, claimed or 0, why or "the file ends there")
            self.end = Stop(self.at, AudioProblem("truncated", detail))
        elif claimed and done > claimed:
            detail = f"the header says {claimed} samples, and {done} were decoded"
            self.end = Stop(self.at, AudioProblem("bad_header", detail))
        self._close_stream()
        self._next, self._in_stream = self._next + 1, 0
        if self.end is None and self._next == len(self._streams):
            self.end = Stop(self.at, None)

    def _close_stream(self) -> None:
        if self._sound is not None:
            self._sound.close()
            self._sound = None

    def close(self) -> None:
        self._close_stream()


class _Small:
    """A file that is decoded once and kept; a header that promised less than there is is found at one frame more."""

    def __init__(self, chain: _Chain, head: Header) -> None:
        assert head.num_frames is not None, "only what says its length is small"
        try:
            parts = chain.read(head.num_frames + BLOCK_FRAMES)
        finally:
            chain.close()
        self._samples = np.concatenate(parts) if parts else np.empty((0, head.num_channels), np.float32)
        detail = f"the header says {head.num_frames} samples, and more follow"
        self._end = chain.end or Stop(len(self._samples), AudioProblem("bad_header", detail))

    def read(self, start: int, num: int) -> Part:
        samples = self._samples[start : start + num]
        return samples, None if len(samples) == num else self._end

    def close(self) -> None:
        pass


class _Seeking:
    """A long file of which only the frames asked for are decoded."""

    def __init__(self, file: int, head: Header) -> None:
        self._channels, self._num_frames = head.num_channels, head.num_frames or 0
        with libsndfile.no_library_errors():
            self._sound = libsndfile.open_stream(file, None)

    def read(self, start: int, num: int) -> Part:
        wanted = max(0, min(num, self._num_frames - start))
        if wanted:
            try:
                with libsndfile.no_library_errors():
                    self._sound.seek(start)
            except AudioProblem as problem:
                return np.empty((0, self._channels), np.float32), Stop(
                    start, AudioProblem("truncated", problem.detail)
                )
        samples, why = libsndfile.decode(self._sound, wanted, self._channels)
        if len(samples) < wanted:
            detail = _compared(len(samples), wanted, why or "the file ends there")
            return samples, Stop(start + len(samples), AudioProblem("truncated", detail))
        return samples, None if wanted == num else Stop(self._num_frames, None)

    def close(self) -> None:
        self._sound.close()


class _Forward:
    """A long file that is decoded from its start on; what was read last is kept for a clip that overlaps it."""

    def __init__(self, chain: _Chain, head: Header) -> None:
        self._chain = chain
        self._held = np.empty((0, head.num_channels), np.float32)

    def read(self, start: int, num: int) -> Part:
        chain = self._chain
        if start < chain.at - len(self._held):
            chain.rewind()
            self._held = self._held[:0]
        parts = [self._held[max(0, len(self._held) - (chain.at - start)) :]]
        while chain.at < start + num and chain.end is None:
            block = np.concatenate(chain.read(BLOCK_FRAMES))
            parts.append(block[max(0, len(block) - max(0, chain.at - start)) :])
        self._held = np.concatenate(parts)
        samples = self._held[:num]
        return samples, None if len(samples) == num else chain.end

    def close(self) -> None:
        self._chain.close()


def _compared(done: int, claimed: int, why: str) -> str:
    return f"decoded {done} of {claimed} samples: {why}"
