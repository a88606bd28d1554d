"""From pieces of speech to the bytes a client asked for, each piece as soon as it is there: wav, pcm, mp3, opus, flac.

A WAV whose length is not known yet says so in its header, as players of streams expect; one of a single piece is whole and carries the tag
at its end, as `say` writes it. FLAC cannot say that, so it is sent when it is whole; so is a WAV that is signed, because the signature is over all of it.
"""

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from voicelathe import __version__
from voicelathe.data.audio import opus
from voicelathe.data.audio.waveform import resample
from voicelathe.registry.speaking import sentences

MEDIA = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
}
CODED = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS"), "flac": ("FLAC", "PCM_16")}
UNKNOWN = 0xFFFFFFFF  # bytes of a chunk that goes on as long as the stream does


@dataclass(frozen=True)
class Sound:
    """One piece: 16-bit little-endian frames of one channel."""

    frames: bytes
    rate_hz: int


def encoded(
    pieces: Iterable[Sound],
    num_pieces: int,
    form: str,
    about: str,
    sealed: Callable[[bytes], bytes] | None = None,
) -> Iterator[bytes]:
    """What is sent, with a pause between pieces. `about` is the tag of the file; pcm has no place for one. `sealed` signs a whole WAV."""
    with_pauses = _with_pauses(pieces)
    if form == "pcm":
        yield from (sound.frames for sound in with_pauses)
    elif form == "wav" and sealed is not None:
        sounds = list(with_pauses)
        yield sealed(_tagged(b"".join(sound.frames for sound in sounds), sounds[0].rate_hz, about))
    elif form == "wav":
        yield from _wav(with_pauses, num_pieces, about)
    else:
        yield from _coded(with_pauses, form, about)


def _with_pauses(pieces: Iterable[Sound]) -> Iterator[Sound]:
    for number, sound in enumerate(pieces):
        pause = b"\0\0" * round(sentences.PAUSE_S * sound.rate_hz) if number else b""
        yield Sound(pause + sound.frames, sound.rate_hz)


def _wav(sounds: Iterator[Sound], num_pieces: int, about: str) -> Iterator[bytes]:
    first = next(sounds)
    if num_pieces == 1:
        yield _tagged(first.frames, first.rate_hz, about)
        return
    info = sentences.info_chunk(about)
    shape = struct.pack("<HHIIHH", 1, 1, first.rate_hz, 2 * first.rate_hz, 2, 16)
    yield b"RIFF" + struct.pack("<I", UNKNOWN) + b"WAVE" + b"fmt " + struct.pack("<I", len(shape)) + shape
    yield info + b"data" + struct.pack("<I", UNKNOWN) + first.frames
    yield from (sound.frames for sound in sounds)


def _tagged(frames: bytes, rate_hz: int, about: str) -> bytes:
    return sentences.tagged(sentences.wav_of(frames, rate_hz), about)


def _coded(sounds: Iterator[Sound], form: str, about: str) -> Iterator[bytes]:
    import soundfile

    container, coding = CODED[form]
    first = next(sounds)
    to_hz = _rate_of(form, first.rate_hz)
    sink = _Sink()
    constant = (
        {"bitrate_mode": "CONSTANT", "compression_level": 0.6} if form == "mp3" else {}
    )  # by which a reader knows the length without a count
    with soundfile.SoundFile(sink, "w", to_hz, 1, subtype=coding, format=container, **constant) as file:
        file.software, file.comment = f"voicelathe {__version__}", about
        for sound in _all(first, sounds):
            samples = np.frombuffer(sound.frames, "<i2").astype(np.float32) / np.float32(2**15)
            file.write(resample(samples, sound.rate_hz, to_hz))
            file.flush()
            if form != "flac" and (ready := sink.take(form == "mp3")):
                yield ready
    if rest := sink.take(form == "mp3"):
        yield rest


def _all(first: Sound, rest: Iterator[Sound]) -> Iterator[Sound]:
    yield first
    yield from rest


def _rate_of(form: str, rate_hz: int) -> int:
    """The nearest rate that the format knows, not below that of the voice where there is one."""
    known = {"opus": opus.RATES_HZ, "mp3": (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)}.get(form)
    return next((rate for rate in known if rate >= rate_hz), known[-1]) if known else rate_hz


class _Sink(io.RawIOBase):
    """A file in memory that gives out what was written since it was asked last; what is rewritten afterwards is not sent again."""

    def __init__(self) -> None:
        self._held, self._at, self._sent = bytearray(), 0, 0

    def take(self, is_mp3: bool) -> bytes:
        """The new bytes. Of MP3, without the frame in front that counts the frames: it would name those of the first piece."""
        ready = bytes(self._held[self._sent :])
        if is_mp3 and not self._sent:
            ready = _without_count(ready)
        self._sent = len(self._held)
        return ready

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (0, self._at, len(self._held))[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        content = bytes(data)
        self._held[self._at : self._at + len(content)] = content
        self._at += len(content)
        return len(content)

    def readinto(self, target: bytearray, /) -> int:  # type: ignore[override]
        content = self._held[self._at : self._at + len(target)]
        target[: len(content)] = content
        self._at += len(content)
        return len(content)


RATES_MP3 = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
KBITS_MP3 = {  # ISO/IEC 11172-3 and 13818-3, Layer III
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _without_count(stream: bytes) -> bytes:
    start = 0
    if stream[:3] == b"ID3":  # its size has seven bits a byte
        a, b, c, d = stream[6:10]
        start = 10 + (a << 21 | b << 14 | c << 7 | d)
    header = int.from_bytes(stream[start : start + 4], "big")
    if header >> 21 != 0x7FF:
        return stream
    version, is_first = header >> 19 & 3, header >> 19 & 3 == 3
    kbits = KBITS_MP3[is_first][header >> 12 & 15]
    length = (144_000 if is_first else 72_000) * kbits // RATES_MP3[version][header >> 10 & 3] + (
        header >> 9 & 1
    )
    frame = stream[start : start + length]
    is_count = b"Info" in frame[:64] or b"Xing" in frame[:64]
    return stream[:start] + stream[start + length :] if is_count else stream
