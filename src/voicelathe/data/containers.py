"""What the bytes around the audio claim, read by ourselves: libsndfile quietly repairs a header that lies about its length.

A WAV whose data chunk claims more than the file holds, or less than lies behind it, plays as something else than was recorded;
an Ogg stream without its last page was cut off. libsndfile 1.2.2 reports neither.
"""

import os
import struct
from dataclasses import dataclass

from voicelathe.data.audio_files import AudioProblem

# What a header says when its length was not known while it was written (ffmpeg and sox writing to a pipe).
UNKNOWN_BYTES = 0xFFFFFFFF
MAX_CHUNKS, MAX_PADDING_BYTES = 1000, 4096
OGG_TAIL_BYTES = 1 << 17  # more than the largest page, 65,307 bytes
OGG_LAST_PAGE = 0x04  # RFC 3533, header type flag
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True)
class Pcm16:
    """Where the samples of a 16-bit WAV lie: little-endian integers, one after the other."""

    rate_hz: int
    num_channels: int
    start: int  # byte of the first sample
    num_frames: int


def kind(start: bytes) -> str | None:
    """The container that these first bytes open: wav, flac, ogg, mp3, or None."""
    if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
        return "wav"
    if start[:4] == b"fLaC":
        return "flac"
    if start[:4] == b"OggS":
        return "ogg"
    is_frame = (
        len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 in (0xE2, 0xE4, 0xE6)
    )  # MPEG audio layers III, II, I
    return "mp3" if start[:3] == b"ID3" or is_frame else None


def check(file: int, container: str, num_bytes: int) -> Pcm16 | None:
    """Raise AudioProblem when the container of an open file lies; the layout where it is a plain 16-bit WAV."""
    if container == "wav":
        return _wav(file, num_bytes)
    if container == "ogg":
        _require_last_page(file, num_bytes)
    return None


def _wav(file: int, num_bytes: int) -> Pcm16 | None:
    at, is_rf64, long_bytes, plain = 12, os.pread(file, 4, 0) == b"RF64", None, None
    for _ in range(MAX_CHUNKS):
        head = os.pread(file, 8, at)
        if len(head) < 8:
            raise AudioProblem("truncated", "the file ends before its data chunk")
        name, size = head[:4], struct.unpack("<I", head[4:])[0]
        if name != b"data" and at + 8 + size > num_bytes:
            raise AudioProblem("truncated", "the file ends inside a chunk before its data chunk")
        if name == b"ds64":
            long_bytes = struct.unpack("<Q", os.pread(file, 16, at + 8)[8:].ljust(8, b"\0"))[0]
        elif name == b"fmt ":
            plain = _format(os.pread(file, min(size, 40), at + 8))
        elif name == b"data":
            claimed = long_bytes if is_rf64 and long_bytes is not None and size == UNKNOWN_BYTES else size
            _require_honest(file, at + 8, claimed, num_bytes)
            return _layout(plain, at + 8, min(claimed, num_bytes - at - 8))
        at += 8 + size + size % 2
    raise AudioProblem("bad_header", f"no data chunk among the first {MAX_CHUNKS} chunks")


def _layout(rate_and_channels: tuple[int, int] | None, start: int, num_bytes: int) -> Pcm16 | None:
    if rate_and_channels is None:
        return None
    rate_hz, num_channels = rate_and_channels
    return Pcm16(rate_hz, num_channels, start, num_bytes // (2 * num_channels))


def _format(body: bytes) -> tuple[int, int] | None:
    """Rate and channels of plain 16-bit samples, None for any other kind. Raises AudioProblem for what cannot be."""
    if len(body) < 16:
        raise AudioProblem("bad_header", "the fmt chunk is too short")
    tag, channels, rate_hz, _, block, bits = struct.unpack("<HHIIHH", body[:16])
    if tag in (PCM, FLOAT, EXTENSIBLE) and (
        bits not in (8, 16, 24, 32, 64) or channels == 0 or block != channels * bits // 8
    ):
        raise AudioProblem(
            "bad_header", f"{bits} bits in {channels} channels cannot be {block} bytes a frame"
        )
    return (rate_hz, channels) if (tag, bits) == (PCM, 16) else None


def _require_honest(file: int, start: int, claimed: int, num_bytes: int) -> None:
    there = num_bytes - start
    if claimed == UNKNOWN_BYTES:
        return
    if claimed > there:
        raise AudioProblem("truncated", f"the header claims {claimed} bytes of audio, the file holds {there}")
    if not _are_chunks(file, start + claimed + claimed % 2, num_bytes):
        detail = f"the header claims {claimed} bytes of audio, but {there - claimed} more follow"
        raise AudioProblem("bad_header", detail)


def _are_chunks(file: int, at: int, num_bytes: int) -> bool:
    """Whether what follows the audio is chunks (tags, markers), or a little padding, up to the end of the file."""
    for _ in range(MAX_CHUNKS):
        if at >= num_bytes:
            return at <= num_bytes + 1
        head = os.pread(file, 8, at)
        if not head.strip(b"\0"):
            return num_bytes - at <= MAX_PADDING_BYTES
        if len(head) < 8 or not all(0x20 <= byte < 0x7F for byte in head[:4]):
            return False
        size = struct.unpack("<I", head[4:])[0]
        at += 8 + size + size % 2
    return False


def _require_last_page(file: int, num_bytes: int) -> None:
    tail = os.pread(file, OGG_TAIL_BYTES, max(0, num_bytes - OGG_TAIL_BYTES))
    last = tail.rfind(b"OggS")
    if last < 0 or last + 6 > len(tail) or not tail[last + 5] & OGG_LAST_PAGE:
        raise AudioProblem("truncated", "the last page of the stream is missing")
