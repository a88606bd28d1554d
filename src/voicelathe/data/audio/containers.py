"""What the bytes around the audio claim, read by ourselves: libsndfile quietly repairs a header that lies about its length.

A WAV whose data chunk claims more than the file holds, or less than lies behind it, plays as something else than was recorded;
libsndfile 1.2.2 does not report it.
"""

import os
import struct
from dataclasses import dataclass

from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.streams import Stream, behind_tags

UNKNOWN_BYTES = 0xFFFFFFFF  # of a RIFF whose length stands in its ds64 chunk
# What a header says when its length was not known while it was written: ffmpeg, sox and streaming servers writing to a pipe. Some
# take the size of the header off.
PLACEHOLDERS, PLACEHOLDER_LESS = (
    (0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1),
    64,
)
MAX_CHUNKS, MAX_PADDING_BYTES, MAX_HEAD_BYTES = 1000, 4096, 1 << 16
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


def wav(file: int, num_bytes: int) -> tuple[Pcm16 | None, list[Stream]]:
    """Layout of a plain 16-bit WAV, and the WAV files that lie one behind the other, behind tags. Raises AudioProblem when a header lies."""
    plain, first = _wav(file, behind_tags(file, num_bytes), num_bytes)
    streams = [first]
    while streams[-1].end < num_bytes:
        plain = None
        streams.append(_wav(file, streams[-1].end, num_bytes)[1])
    return plain, streams


def _wav(file: int, start: int, num_bytes: int) -> tuple[Pcm16 | None, Stream]:
    """Layout of the WAV that begins there, and its bytes, with its length in the header where it was left open."""
    at, is_rf64, long_bytes, plain = start + 12, os.pread(file, 4, start) == b"RF64", None, None
    layout, is_unpadded = b"", False
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
            layout = os.pread(file, 8 + min(size, MAX_HEAD_BYTES), at)
        elif name == b"data":
            claimed = long_bytes if is_rf64 and long_bytes is not None and size == UNKNOWN_BYTES else size
            end = _end(file, at + 8, claimed, num_bytes)
            is_open = _is_unknown(claimed)
            known = min(end - at - 8 if is_open else claimed, num_bytes - at - 8)
            stream = Stream(start, end)
            if is_open and known < UNKNOWN_BYTES and at - start < MAX_HEAD_BYTES and not is_rf64:
                head = os.pread(file, at + 4 - start, start) + struct.pack("<I", known)
                stream = Stream(at + 8, end, head)
            elif is_unpadded and not is_rf64:
                sizes = (struct.pack("<I", num) for num in (12 + len(layout) + known, known))
                stream = Stream(at + 8, end, b"RIFF%bWAVE%bdata%b" % (next(sizes), layout, next(sizes)))
            return _layout(plain, at + 8, known), stream
        at += 8 + size
        if size % 2 and os.pread(file, 4, at) in (b"data", b"fmt "):  # some writers leave the padding out
            is_unpadded = True
        else:
            at += size % 2
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


def _end(file: int, start: int, claimed: int, num_bytes: int) -> int:
    """Where a WAV ends whose audio begins at `start`: at the end of the file, or where the next WAV begins."""
    there = num_bytes - start
    if _is_unknown(claimed) and (claimed or not _chunks_end(file, start, num_bytes)):
        return num_bytes
    if claimed > there:
        raise AudioProblem("truncated", f"the header claims {claimed} bytes of audio, the file holds {there}")
    end = _chunks_end(file, start + claimed + claimed % 2, num_bytes)
    if end is None:
        detail = f"the header claims {claimed} bytes of audio, but {there - claimed} more follow"
        raise AudioProblem("bad_header", detail)
    return end


def _is_unknown(claimed: int) -> bool:
    """What stands in a header that was written before the length was known, and never corrected (0: a recorder that was killed)."""
    return claimed == 0 or any(0 <= most - claimed <= PLACEHOLDER_LESS for most in PLACEHOLDERS)


def _chunks_end(file: int, at: int, num_bytes: int) -> int | None:
    """Where chunks (tags, markers), or a little padding, end that follow the audio; None for anything else."""
    for _ in range(MAX_CHUNKS):
        if at >= num_bytes:
            return num_bytes if at <= num_bytes + 1 else None
        head = os.pread(file, 8, at)
        if head[:4] in (b"RIFF", b"RF64") and os.pread(file, 4, at + 8) == b"WAVE":
            return at
        if head[:3] in (b"ID3", b"TAG") or head == b"APETAGEX":
            behind = behind_tags(file, num_bytes, at)
            return behind if kind(os.pread(file, 12, behind)) == "wav" else num_bytes
        if not head.strip(b"\0"):
            return num_bytes if num_bytes - at <= MAX_PADDING_BYTES else None
        if len(head) < 8 or not all(0x20 <= byte < 0x7F for byte in head[:4]):
            return None
        size = struct.unpack("<I", head[4:])[0]
        at += 8 + size + size % 2
    return None
