"""Where the streams of a file lie: `cat a.mp3 b.mp3 > c.mp3` is one file of two, and libsndfile decodes the first only.

MP3 has no length of its own. libsndfile estimates one from the first frames and stops there, which cuts off a third of a clip with a
variable bit rate; so frames are counted here, and where no Info frame says their number, one is put before them. FLAC is given to
libsndfile without the length in its header, so that it decodes to the end.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from voicelathe.data.audio.files import AudioProblem

BLOCK_BYTES = 1 << 20
# --- MPEG audio (ISO 11172-3, 13818-3) ---
BIT_RATES = {  # kbit/s by (version is 1, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
OFF_BY = 1  # some encoders count the Info frame itself
MAX_GARBAGE_BYTES = 1 << 16  # between two frames
FLAC_START = b"fLaC\x00\x00\x00\x22"  # the marker, and the head of STREAMINFO, which is always first
TAG_BYTES = 128  # of ID3's first version, which is always last
OGG_FIRST_PAGE, OGG_LAST_PAGE = 0x02, 0x04  # RFC 3533, header type flags


@dataclass(frozen=True)
class Stream:
    """Some bytes of a file that are a whole file of their own, with `head` before them."""

    start: int
    end: int
    head: bytes = b""
    num_frames: int | None = None  # that its own header promises, where libsndfile is not to believe it


class Bytes:
    """An open file by place, a block at a time."""

    def __init__(self, file: int, num_bytes: int) -> None:
        self._file, self.num = file, num_bytes
        self._at, self._block = 0, b""

    def get(self, at: int, num: int) -> bytes:
        if not self._at <= at <= at + num <= self._at + len(self._block):
            self._at, self._block = at, os.pread(self._file, max(num, BLOCK_BYTES), at)
        return self._block[at - self._at : at - self._at + num]

    def find(self, wanted: bytes, at: int, end: int) -> int:
        """The next place of some bytes before `end`, or -1."""
        while at < end:
            block = self.get(at, min(BLOCK_BYTES, end - at))
            if (found := block.find(wanted)) >= 0:
                return at + found
            if len(block) < len(wanted) or at + len(block) >= end:
                return -1
            at += len(block) - len(wanted) + 1
        return -1


def split(file: int, container: str, num_bytes: int) -> list[Stream]:
    """The streams of an open file, in order; WAV is cut by `containers`. Raises AudioProblem for one that was cut off."""
    data = Bytes(file, num_bytes)
    if container == "mp3":
        return list(_mp3(data)) or [Stream(0, num_bytes)]
    if container == "ogg":
        return _ogg(data)
    if container == "flac":
        return _flac(data)
    return [Stream(0, num_bytes)]


# --- MP3 -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """One frame of MPEG audio."""

    head: bytes
    num_bytes: int
    num_samples: int
    kind: tuple[int, int, int]  # version, layer, rate: the same for all frames of a stream
    tag_at: int  # where an Info frame says so


def _frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, bit_rate, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    is_one, rate_hz, padding = version == 3, RATES_HZ[version][rate], head[2] >> 1 & 1
    bits = 1000 * BIT_RATES[is_one, layer][bit_rate]
    num_samples = 384 if layer == 1 else 1152 if layer == 2 or is_one else 576
    length = (
        (12 * bits // rate_hz + padding) * 4 if layer == 1 else num_samples // 8 * bits // rate_hz + padding
    )
    is_mono = head[3] >> 6 == 3
    tag_at = 4 + ((17 if is_mono else 32) if is_one else (9 if is_mono else 17))
    return _Frame(head[:4], length, num_samples, (version, layer, rate), tag_at)


def _mp3(data: Bytes) -> Iterator[Stream]:
    """Frame by frame; a tag at its beginning or an Info frame begins the next stream."""
    at = 0
    while at < data.num:
        at = _behind_tags(data, at)
        first = _next_frame(data, at, None)
        if first is None:
            return
        begin, (start, info, num, end, frame) = first, _count(data, first)
        if num:
            yield _mp3_stream(begin, start, end, frame, info, num)
        at = end


def _count(data: Bytes, at: int) -> tuple[int, int | None, int, int, _Frame]:
    """Start of the audio, frames that an Info frame claims, frames there are, end of the stream, and a frame of it."""
    frame = _frame(data.get(at, 4))
    assert frame is not None, "the stream begins with a frame"
    info = _info(data, at, frame)
    claimed = None if info is None else info[0]
    at += 0 if info is None else frame.num_bytes
    start, num = at, 0
    while at < data.num:
        here = _frame(data.get(at, 4))
        if here is None or here.kind != frame.kind:
            if _is_tag(data.get(at, 8)):
                break
            found = _next_frame(data, at, frame.kind)
            if found is None:
                break
            at = found
            continue
        if num and _info(data, at, here) is not None:
            break
        if at + here.num_bytes > data.num:  # the last frame was cut
            at = data.num
            break
        at, num = at + here.num_bytes, num + 1
    return start, claimed, num, at, frame


def _info(data: Bytes, at: int, frame: _Frame) -> tuple[int | None] | None:
    """The number of frames in an Info frame, which may be unknown; None for a frame of audio."""
    body = data.get(at, 64)
    name = body[frame.tag_at : frame.tag_at + 4]
    if name in (b"Xing", b"Info"):
        flags = int.from_bytes(body[frame.tag_at + 4 : frame.tag_at + 8], "big")
        counted = int.from_bytes(body[frame.tag_at + 8 : frame.tag_at + 12], "big")
        return (counted if flags & 1 else None,)
    if body[36:40] == b"VBRI":
        return (int.from_bytes(body[50:54], "big"),)
    return None


def _mp3_stream(begin: int, start: int, end: int, frame: _Frame, claimed: int | None, num: int) -> Stream:
    if claimed is not None and abs(claimed - num) <= OFF_BY:
        return Stream(begin, end)
    if claimed is not None and claimed > num:
        raise AudioProblem("truncated", f"the Info frame says {claimed} frames, and the file holds {num}")
    return Stream(start, end, _info_frame(frame, num))


def _info_frame(frame: _Frame, num: int) -> bytes:
    """A frame without sound that says how many follow it; large enough for that, and without a checksum."""
    for bit_rate in range(1, 15):
        head = bytes((frame.head[0], frame.head[1] | 1, bit_rate << 4 | frame.head[2] & 0x0D, frame.head[3]))
        made = _frame(head)
        if made is not None and made.num_bytes >= frame.tag_at + 12:
            body = bytearray(made.num_bytes)
            body[:4] = head
            struct.pack_into(">4sII", body, frame.tag_at, b"Xing", 1, num)
            return bytes(body)
    raise AudioProblem("bad_header", "an MPEG frame that cannot be")


def _next_frame(data: Bytes, at: int, kind: tuple[int, int, int] | None) -> int | None:
    """The next place from which two frames of one kind follow each other, or the last one of a file."""
    end = min(data.num, at + MAX_GARBAGE_BYTES)
    while (at := data.find(b"\xff", at, end)) >= 0:
        here = _frame(data.get(at, 4))
        if here is not None and kind in (None, here.kind):
            behind = at + here.num_bytes
            after = _frame(data.get(behind, 4))
            if (
                behind == data.num
                or (after is not None and after.kind == here.kind)
                or _is_tag(data.get(behind, 8))
            ):
                return at
        at += 1
    return None


def _is_tag(start: bytes) -> bool:
    return start[:3] in (b"ID3", b"TAG") or start == b"APETAGEX"


def behind_tags(file: int, num_bytes: int, at: int = 0) -> int:
    """Where the audio begins of a file that may have tags there."""
    return _behind_tags(Bytes(file, num_bytes), at)


def _before_tags(data: Bytes, start: int, end: int) -> int:
    """Where audio that begins at `start` ends before tags or a run of zeros; a few zeros may be its own. Tags may lie about their size."""
    while start < (before := _before_tag(data, start, end)) < end:
        end = before
    return end


def _before_tag(data: Bytes, start: int, end: int) -> int:
    if end <= TAG_BYTES:
        return end
    tail = data.get(end - TAG_BYTES, TAG_BYTES)
    if tail[:3] == b"TAG":
        return end - TAG_BYTES
    if tail[-32:-24] == b"APETAGEX":
        return end - int.from_bytes(tail[-20:-16], "little") - (32 if tail[-9] & 0x80 else 0)
    tagged = data.find(b"ID3\x04", max(start, end - BLOCK_BYTES), end)
    if tagged >= 0 and _behind_tags(data, tagged) == end:
        return tagged
    return end if tail.strip(b"\0") else _before_zeros(data, end)


def _before_zeros(data: Bytes, end: int) -> int:
    while end > TAG_BYTES and not (block := data.get(end - TAG_BYTES, TAG_BYTES)).strip(b"\0"):
        end -= TAG_BYTES
    return end - (len(block) - len(block.rstrip(b"\0")) if end > TAG_BYTES else 0)


def _behind_tags(data: Bytes, at: int) -> int:
    while True:
        head = data.get(at, 32)
        if head[:3] == b"ID3" and len(head) >= 10:
            size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            at += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG":
            at += 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            at += 32 + int.from_bytes(head[12:16], "little")
        else:
            return at


# --- Ogg and FLAC ----------------------------------------------------------------------------------------------------


def _ogg(data: Bytes) -> list[Stream]:
    """A first page behind other pages begins the next stream (RFC 3533, "chained"). Tags before the first page are no part of it."""
    starts, at, flags, is_open = [first := _behind_tags(data, 0)], first, 0, False
    while at < data.num:
        head = data.get(at, 27)
        if head[:4] != b"OggS" or len(head) < 27:
            at = data.find(b"OggS", at + 1, data.num)
            if at < 0:
                break
            continue
        if head[5] & OGG_FIRST_PAGE and is_open:
            _require_end(flags, at)
            starts.append(at)
        is_open = not head[5] & OGG_FIRST_PAGE
        flags = head[5]
        at += 27 + head[26] + sum(data.get(at + 27, head[26]))
    _require_end(flags, data.num)
    return [Stream(*bounds) for bounds in zip(starts, [*starts[1:], data.num], strict=True)]


def _require_end(flags: int, at: int) -> None:
    if not flags & OGG_LAST_PAGE:
        raise AudioProblem("truncated", f"the last page of the stream is missing before byte {at}")


def _flac(data: Bytes) -> list[Stream]:
    """Every STREAMINFO begins a stream; its length is kept aside."""
    starts, at = [], 0
    while (at := data.find(FLAC_START[:4], at, data.num)) >= 0:
        if data.get(at + 4, 4) in (FLAC_START[4:], b"\x80" + FLAC_START[5:]):
            starts.append(at)
        at += 4
    if not starts or starts[0] != _behind_tags(data, 0):
        return [Stream(0, data.num)]
    ends = [_before_tags(data, *bounds) for bounds in zip(starts, (*starts[1:], data.num), strict=True)]
    return [_flac_stream(data, start, end) for start, end in zip(starts, ends, strict=True)]


def _flac_stream(data: Bytes, start: int, end: int) -> Stream:
    head = bytearray(data.get(start, 26))
    if len(head) < 26:
        return Stream(start, end)
    num = (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")
    head[21], head[22:26] = head[21] & 0xF0, bytes(4)
    return Stream(start + 26, end, bytes(head), num)
