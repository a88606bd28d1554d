"""Rows with an audio file of their own: sound ones in three formats, and every fault that is in a file.

Each file belongs to a source recording: it has that recording's room and its name with a letter
(`rec_07_c.flac`), so that the name does not tell what is in it. None instead of bytes means that the row
names a file that is not there.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import soxr
from recordings import VOICE, Row, Take
from speech import GRID, RATE_HZ, Line, Samples, encode, encode_float_wav, in_room, noise, silence, tones

# A kanji has one Unicode spelling; an accented letter has two, and file systems disagree on them.
UNICODE_LETTER = "\u58f0"
SOUND_SUFFIXES = [".opus"] * 13 + [".flac"] * 3 + [".wav"] * 2


@dataclass(frozen=True)
class Extra:
    """A file to make: whose voice says its text, and how samples of that become the file."""

    kind: str
    voice: str
    suffix: str
    make: Callable[[Samples], bytes | None]
    folder: str = ""
    unicode_name: bool = False


@dataclass(frozen=True)
class Placed:
    """An extra with the text it claims to say and the recording it belongs to."""

    extra: Extra
    line: Line
    take: Take
    audio: str


def catalogue() -> list[Extra]:
    """Everything that gets a file of its own. The texts are given out in this order."""
    return [*sound(), *unsound_speech(), *no_speech(), *broken()]


def sound() -> Iterator[Extra]:
    """Clean rows; one of them has a name outside ASCII, which is no fault."""
    for index, suffix in enumerate(SOUND_SUFFIXES):
        yield Extra("clean", VOICE, suffix, partial(encode, suffix=suffix), unicode_name=index == 1)


def unsound_speech() -> Iterator[Extra]:
    """Speech at the wrong level, rate, length or from the wrong speaker."""
    for suffix in [".flac", ".wav"] * 3:
        yield Extra("clipped", VOICE, suffix, partial(overdriven, suffix=suffix))
    # The header is right and the manifest is wrong ...
    for true_hz, suffix in [(8_000, ".wav"), (48_000, ".opus")] * 2:
        yield Extra("wrong_sample_rate", VOICE, suffix, partial(at_rate, true_hz=true_hz))
    # ... and the manifest agrees with a wrong header: the speech is twice as fast, or three times as slow.
    yield Extra("wrong_sample_rate", VOICE, ".wav", partial(at_rate, true_hz=8_000, header_hz=RATE_HZ))
    yield Extra("wrong_sample_rate", VOICE, ".opus", partial(at_rate, true_hz=48_000, header_hz=RATE_HZ))
    for voice in ["rms", "slt"] * 2:
        yield Extra("wrong_speaker", voice, ".opus", partial(encode, suffix=".opus"))
    for before_s, after_s in [(3.0, 0.0), (0.0, 3.0)] * 2:
        make = partial(between_silences, before_s=before_s, after_s=after_s)
        yield Extra("long_silence", VOICE, ".opus", make)


def overdriven(samples: Samples, suffix: str) -> bytes:
    return encode(samples * 12, suffix)


def at_rate(samples: Samples, true_hz: int, header_hz: int | None = None) -> bytes:
    """The samples resampled to `true_hz`, in a file that claims `header_hz`."""
    suffix = ".wav" if true_hz < RATE_HZ else ".opus"
    resampled = np.asarray(soxr.resample(samples, RATE_HZ, true_hz), np.float32)
    return encode(resampled, suffix, header_hz or true_hz)


def between_silences(samples: Samples, before_s: float, after_s: float) -> bytes:
    floor = noise(round((before_s + after_s) * RATE_HZ), f"silence/{len(samples)}", -70.0)
    cut = round(before_s * RATE_HZ)
    return encode(np.concatenate([floor[:cut], samples, floor[cut:]]), ".opus")


def no_speech() -> Iterator[Extra]:
    """Noise, hum, a tone, an empty room, clicks and a chord, each as long as the text would take to say."""
    makers: list[Callable[[float], Samples]] = [
        lambda seconds: noise(len(silence(seconds)), "white", -26.0),
        lambda seconds: tones([(50.0 * n, -14.0 - 6.0 * n) for n in range(1, 9)], seconds),
        lambda seconds: tones([(440.0, -12.0)], seconds),
        lambda seconds: noise(len(silence(seconds)), "room", -60.0),
        clicks,
        lambda seconds: tones([(262.0, -20.0), (330.0, -20.0), (392.0, -20.0)], seconds),
    ]
    for make, suffix in zip(makers, [".opus", ".opus", ".flac", ".opus", ".wav", ".opus"], strict=True):
        yield Extra("non_speech", VOICE, suffix, partial(instead, make=make, suffix=suffix))


def instead(samples: Samples, make: Callable[[float], Samples], suffix: str) -> bytes:
    return encode(make(len(samples) / RATE_HZ), suffix)


def clicks(seconds: float) -> Samples:
    """Four clicks a second over a quiet room."""
    samples = noise(len(silence(seconds)), "clicks", -65.0)
    samples[:: RATE_HZ // 4] += 0.5
    return samples


def broken() -> Iterator[Extra]:
    """One file of every kind that cannot be trained on as it is."""
    yield Extra("stereo", VOICE, ".flac", lambda samples: encode(two_channels(samples), ".flac"))
    yield Extra("non_finite", VOICE, ".wav", lambda samples: encode_float_wav(with_holes(samples)))
    yield Extra("zero_length", VOICE, ".wav", lambda samples: encode(samples[:0], ".wav"))
    yield Extra("missing_file", VOICE, ".opus", lambda samples: None)
    yield Extra("truncated_file", VOICE, ".flac", lambda samples: cut_off(encode(samples, ".flac")))
    yield Extra("path_traversal", VOICE, ".wav", lambda samples: None, folder="../outside/")


def two_channels(samples: Samples) -> Samples:
    """The same speech, later and quieter on the right."""
    return np.stack([samples, 0.7 * np.roll(samples, GRID)], axis=1)


def with_holes(samples: Samples) -> Samples:
    """Ten NaN and an infinity in the middle of the speech."""
    holed = samples.copy()
    middle = len(holed) // 2
    holed[middle : middle + 10] = np.nan
    holed[middle + 400] = np.inf
    return holed


def cut_off(file: bytes) -> bytes:
    return file[: len(file) * 6 // 10]


def place(texts: list[str], takes: list[Take], seed: int) -> list[Placed]:
    """Give each extra its text, a recording and a letter. No recording gets more than two."""
    rng = random.Random(f"{seed}/extras")
    letters = {take.recording.recording_id: iter("bc") for take in takes}
    placed = []
    order = [take for _ in range(2) for take in rng.sample(takes, len(takes))]
    for extra, text, take in zip(catalogue(), texts, order, strict=False):
        recording_id = take.recording.recording_id
        letter = UNICODE_LETTER if extra.unicode_name else next(letters[recording_id])
        line = Line(text, extra.voice, take.recording.room.stretch)
        placed.append(Placed(extra, line, take, f"{extra.folder}{recording_id}_{letter}{extra.suffix}"))
    return placed


def files(placed: list[Placed], spoken: dict[Line, Samples]) -> Iterator[tuple[Row, bytes | None]]:
    """The row of each extra and the bytes of its file; the first one has a copy under another name."""
    for index, one in enumerate(placed):
        room = one.take.recording.room
        samples = in_room(spoken[one.line], room, one.take.factor, one.audio)
        row = Row(one.extra.kind, one.audio, one.line.text, one.take.recording.recording_id)
        file = one.extra.make(samples)
        yield row, file
        if index == 0:
            yield (
                replace(row, kind="exact_copy", audio=f"{row.recording_id}_d{one.extra.suffix}", copy_of=row),
                file,
            )
