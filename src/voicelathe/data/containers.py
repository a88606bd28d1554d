"""What the bytes around the audio claim, read by ourselves: libsndfile quietly repairs a header that lies about its length.

A WAV whose data chunk claims more than the file holds, or less than lies behind it, plays as something else than was recorded;
an Ogg stream without its last page was cut off. libsndfile 1.2.2 reports neither.
"""

import os
import struct

# What a header says when its length was not known while it was written (ffmpeg and sox writing to a pipe).
UNKNOWN_BYTES = 0xFFFFFFFF
MAX_CHUNKS, MAX_PADDING_BYTES = 1000, 4096
OGG_TAIL_BYTES = 1 << 17  # more than the largest page, 65,307 bytes
OGG_LAST_PAGE = 0x04  # RFC 3533, header type flag
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


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


def fault(file: int, container: str, num_bytes: int) -> tuple[str, str] | None:
    """What is wrong with the container of an open file: a problem code and what was seen, or None."""
    if container == "wav":
        return _wav_fault(file, num_bytes)
    if container == "ogg":
        return _ogg_fault(file, num_bytes)
    return None


def _wav_fault(file: int, num_bytes: int) -> tuple[str, str] | None:
    at, is_rf64, long_bytes = 12, os.pread(file, 4, 0) == b"RF64", None
    for _ in range(MAX_CHUNKS):
        head = os.pread(file, 8, at)
        if len(head) < 8:
            return ("truncated", "the file ends before its data chunk")
        name, size = head[:4], struct.unpack("<I", head[4:])[0]
        if name != b"data" and at + 8 + size > num_bytes:
            return ("truncated", "the file ends inside a chunk before its data chunk")
        if name == b"ds64":
            long_bytes = struct.unpack("<Q", os.pread(file, 16, at + 8)[8:].ljust(8, b"\0"))[0]
        elif name == b"fmt " and (lie := _format_lie(os.pread(file, min(size, 40), at + 8))):
            return ("bad_header", lie)
        elif name == b"data":
            claimed = long_bytes if is_rf64 and long_bytes is not None and size == UNKNOWN_BYTES else size
            return _data_fault(file, at + 8, claimed, num_bytes)
        at += 8 + size + size % 2
    return ("bad_header", f"no data chunk among the first {MAX_CHUNKS} chunks")


def _format_lie(body: bytes) -> str | None:
    if len(body) < 16:
        return "the fmt chunk is too short"
    tag, channels, _, _, block, bits = struct.unpack("<HHIIHH", body[:16])
    if tag in (PCM, FLOAT, EXTENSIBLE) and (bits not in (8, 16, 24, 32, 64) or block != channels * bits // 8):
        return f"{bits} bits in {channels} channels cannot be {block} bytes a frame"
    return None


def _data_fault(file: int, start: int, claimed: int, num_bytes: int) -> tuple[str, str] | None:
    there = num_bytes - start
    if claimed == UNKNOWN_BYTES:
        return None
    if claimed > there:
        return ("truncated", f"the header claims {claimed} bytes of audio, the file holds {there}")
    if not _are_chunks(file, start + claimed + claimed % 2, num_bytes):
        return (
            "bad_header",
            f"the header claims {claimed} bytes of audio, but {there - claimed} more follow",
        )
    return None


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


def _ogg_fault(file: int, num_bytes: int) -> tuple[str, str] | None:
    tail = os.pread(file, OGG_TAIL_BYTES, max(0, num_bytes - OGG_TAIL_BYTES))
    last = tail.rfind(b"OggS")
    if last < 0 or last + 6 > len(tail) or not tail[last + 5] & OGG_LAST_PAGE:
        return ("truncated", "the last page of the stream is missing")
    return None
