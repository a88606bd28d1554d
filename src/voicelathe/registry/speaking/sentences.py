"""From a text of any length to one WAV: cut at sentence ends, each piece tried a bounded number of times, joined, and tagged.

The tag says in every file which version spoke and what its speaker allowed; it survives copying, not conversion.
"""

import io
import re
import struct
import wave
from collections.abc import Callable, Iterator

from voicelathe import __version__
from voicelathe.errors import WorkerError
from voicelathe.records import HARD_FAILURES, SampleRecord

PIECE_CHARS = 240  # about 15 s of speech; longer texts lose words in every family here
ALONE_CHARS = 24  # that a sentence needs to be spoken by itself
PAUSE_S = 0.25  # between pieces
RETRY_SEED = 1_000_003  # a retry is another take: seed + this, so that it repeats as well
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]»”’]*\s+|(?<=[。！？])")
Speak = Callable[[str, int], tuple[SampleRecord, bytes]]  # (piece, seed) -> what was spoken


def pieces(text: str, limit: int = PIECE_CHARS) -> list[str]:
    """Whole sentences, together up to `limit` characters. A longer sentence is cut at commas, then at spaces."""
    return _packed(_sentences(text), limit)


def first_soon(text: str, limit: int = PIECE_CHARS) -> list[str]:
    """As `pieces`, but the first sentence is a piece of its own, so that it can be heard while the rest is made.

    A sentence of a word or two stays with the next one: alone it would be spoken badly.
    """
    sentences, first = _sentences(text), ""
    for sentence in sentences:
        first = f"{first} {sentence}".strip()
        if len(first) >= ALONE_CHARS:
            break
    return [*_packed(iter([first] if first else []), limit), *_packed(sentences, limit)]


def _packed(sentences: Iterator[str], limit: int) -> list[str]:
    joined: list[str] = []
    for sentence in sentences:
        for part in _shortened(sentence, limit):
            if joined and len(joined[-1]) + 1 + len(part) <= limit:
                joined[-1] += f" {part}"
            else:
                joined.append(part)
    return joined


def best_take(piece: str, seed: int, attempts: int, speak: Speak) -> tuple[SampleRecord, bytes]:
    """The first take without a fault, or the last one if it merely did not end by itself.

    Raises WorkerError when every take is empty, silent or not finite.
    """
    for attempt in range(attempts):
        sample, audio = speak(piece, (seed + attempt * RETRY_SEED) % 2**32)
        if sample.problem is None:
            break
    if sample.problem in HARD_FAILURES:  # must never reach a listener
        raise WorkerError(
            f"{piece[:60]!r}: {attempts} takes, and the last is {sample.problem}. Say it in other words, with another seed or a lower "
            "lora_scale; if other texts fail, too, go back: voicelathe rollback"
        )
    return sample, audio


def join(wavs: list[bytes], about: str) -> bytes:
    """One WAV of several of the same rate, with pauses between and the tag at its end."""
    return tagged(untagged(wavs), about)


def untagged(wavs: list[bytes]) -> bytes:
    """The same without the tag."""
    frames, rate_hz = [], 0
    for content in wavs:
        sound, rate_hz = frames_of(content)
        frames.append(sound)
    pause = b"\0\0" * round(PAUSE_S * rate_hz)
    return wav_of(pause.join(frames), rate_hz)


def wav_of(frames: bytes, rate_hz: int) -> bytes:
    """A WAV of 16-bit frames of one channel."""
    whole = io.BytesIO()
    with wave.open(whole, "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(frames)
    return whole.getvalue()


def frames_of(content: bytes) -> tuple[bytes, int]:
    """The frames of a WAV, and their rate."""
    with wave.open(io.BytesIO(content)) as file:
        return file.readframes(file.getnframes()), int(file.getframerate())


def tagged(content: bytes, about: str) -> bytes:
    """A WAV with a LIST-INFO chunk (Microsoft RIFF, 1991): ISFT names the program, ICMT holds the tag."""
    body = content[8:] + info_chunk(about)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def info_chunk(about: str) -> bytes:
    info = _chunk(b"ISFT", f"voicelathe {__version__}".encode()) + _chunk(b"ICMT", about.encode())
    return _chunk(b"LIST", b"INFO" + info)


def duration_s(content: bytes) -> float:
    with wave.open(io.BytesIO(content)) as file:
        return float(file.getnframes() / file.getframerate())


def rate_hz(content: bytes) -> int:
    with wave.open(io.BytesIO(content)) as file:
        return int(file.getframerate())


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in SENTENCE_END.finditer(text):
        if sentence := text[start : end.end()].strip():
            yield sentence
        start = end.end()
    if rest := text[start:].strip():
        yield rest


def _shortened(sentence: str, limit: int) -> Iterator[str]:
    while len(sentence) > limit:
        window = sentence[: limit + 1]
        cut = max(window.rfind(mark) for mark in (", ", "; ", ": ", "，", "、")) + 1 or window.rfind(" ")
        cut = cut if cut > 0 else limit
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
