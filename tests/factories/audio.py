"""Synthetic audio: tones, noise, silence, what passes for speech, and files of it, some of them damaged on purpose."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
RATE_HZ = 16_000


def silence(seconds: float, rate_hz: int = RATE_HZ) -> Samples:
    return np.zeros(round(seconds * rate_hz), np.float32)


def tone(seconds: float, hz: float = 220.0, level: float = 0.5, rate_hz: int = RATE_HZ) -> Samples:
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def noise(seconds: float, seed: int = 0, level: float = 0.1, rate_hz: int = RATE_HZ) -> Samples:
    made = np.random.default_rng(seed).standard_normal(round(seconds * rate_hz)) * level
    return made.astype(np.float32)


def speech(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ) -> Samples:
    """A voice for our purposes: a tone of many overtones in syllables of a quarter of a second, with pauses."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch = 100 + 10 * (seed % 9)
    voice = sum(np.sin(2 * np.pi * pitch * n * at + seed) / n for n in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 4 * at), 0, None)
    return (0.15 * voice * syllables + noise(seconds, seed, 1e-4, rate_hz)).astype(np.float32)


def write(
    path: Path, samples: NDArray[np.floating], rate_hz: int = RATE_HZ, subtype: str | None = None
) -> Path:
    """A file in the format of its extension."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".opus": ("OGG", "OPUS"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", None)}.get(path.suffix)
    container, default = kind or (path.suffix[1:].upper(), "PCM_16")
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(
        path, "w", rate_hz, channels, format=container, subtype=subtype or default
    ) as file:
        for start in range(
            0, len(samples), 1 << 16
        ):  # the Vorbis encoder overflows its stack on minutes at once
            file.write(samples[start : start + (1 << 16)])
    return path


def wav_bytes(
    data: bytes = b"\0" * 3200,
    claimed: int | None = None,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    bits: int = 16,
    block: int | None = None,
    kind: int = 1,
    before: bytes = b"",
) -> bytes:
    """A WAV file whose header may say anything."""
    block = channels * bits // 8 if block is None else block
    head = struct.pack(
        "<HHIIHH", kind, channels, rate_hz, (rate_hz * block) & 0xFFFFFFFF, block & 0xFFFF, bits
    )
    body = b"fmt " + struct.pack("<I", len(head)) + head + before
    body += b"data" + struct.pack("<I", len(data) if claimed is None else claimed) + data
    return b"RIFF" + struct.pack("<I", (4 + len(body)) & 0xFFFFFFFF) + b"WAVE" + body
