"""Real speech of known words, as a voice would give it out: clips of the demo, alone, joined, or with half a sentence of another in them."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe.data.audio import waveform
from voicelathe.records import SampleRecord
from voicelathe.registry.speaking import sentences

AUDIO = Path(__file__).parents[2] / "data/demo/audio"
RATE_HZ = 48_000  # as VoxCPM 2 speaks
HORSE, ISLAND, SNOW, NOBODY = (
    "I think the horse should stay across the attic.",
    "The island is seven miles from the simple church.",
    "The snow began last winter, so we pushed the watch.",
    "Nobody tried the brown scarf, not even the painter.",
)
CLIPS = {
    HORSE: ("rec_23.opus", 7.06, 10.05),
    ISLAND: ("rec_09.opus", 43.94, 47.33),
    SNOW: ("rec_09.opus", 25.92, 29.65),
    NOBODY: ("rec_08.opus", 4.94, 8.78),
}
Sound = Callable[[str, int], bytes]  # (text, seed) -> WAV


@functools.cache
def samples(text: str) -> np.ndarray:
    name, start_s, end_s = CLIPS[text]
    found, rate_hz = waveform.read_clip(AUDIO, name, start_s, end_s, None)
    return waveform.resample(waveform.mono(found), rate_hz, RATE_HZ)


def wav(sound: np.ndarray) -> bytes:
    return sentences.wav_of(waveform.to_16_bit(sound).tobytes(), RATE_HZ)


def said(*texts: str) -> bytes:
    """The clips of these texts, one after the other."""
    return sentences.untagged([wav(samples(one)) for one in texts])


def half_replaced(text: str, other: str) -> bytes:
    """The first half of one sentence and the second half of another: at a usual pace, and wrong."""
    first, second = samples(text), samples(other)
    return wav(np.concatenate([first[: len(first) // 2], second[len(second) // 2 :]]))


def record(text: str, seed: int, content: bytes, path: str = "x.wav") -> SampleRecord:
    """What a worker says of a take."""
    sha256, length_s = hashlib.sha256(content).hexdigest(), sentences.duration_s(content)
    return SampleRecord(
        "base", 0, None, "request", text, seed, {}, path, sha256, length_s, -3.0, -6.0, True, None
    )


class Reader:
    """A speaker that needs no model: every text and seed has its sound."""

    is_alive = True

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self.asked: list[tuple[str, int]] = []

    def speak(self, text: str, seed: int) -> tuple[SampleRecord, bytes]:
        self.asked.append((text, seed))
        content = self.sound(text, seed)
        return record(text, seed, content), content

    def say(self, request: Any, limit_s: float | None) -> SampleRecord:
        found, content = self.speak(request.text, request.seed)
        Path(request.path).write_bytes(content)
        return found

    def ping(self, limit_s: float) -> None:
        pass

    def close(self) -> None:
        pass
