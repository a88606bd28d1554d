"""How the demo corpus sounds: flite speaks, each recording gets its own room, each run writes the same bytes.

Arrays are mono float32 at RATE_HZ, full scale 1.0. Lengths are whole numbers of GRID samples (10 ms), so that
the starts and ends in the manifest are exact with two decimals.
"""

import io
import math
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE_HZ = 16_000
GRID = RATE_HZ // 100
LEAD_S = 0.1  # silence kept before the first phone; flite itself leaves about as much after the last one
FLOOR_DBFS = -70.0
OPUS_LEVEL = 0.95  # libsndfile's scale; about 18 kb/s here
# Virtual speakers: a voice of flite that speaks slower by a factor and is played faster by it, so that pitch and formants rise and the
# pace stays; and that pace.
VIRTUAL = {"lark": ("rms", 1.3, 0.95)}


@dataclass(frozen=True)
class Room:
    """What all sentences of one source recording share, so that a recording can be told from the others."""

    seed: str  # of its noise floor
    stretch: float  # flite's duration_stretch: above 1 is slower
    tilt: float  # of the filter x[n] - tilt * x[n - 1]: above 0 is brighter
    peak_dbfs: float  # of the loudest sample of its speech


@dataclass(frozen=True)
class Line:
    """One sentence to be spoken."""

    text: str
    voice: str
    stretch: float


def require_flite() -> None:
    """Stop with the remedy when flite is not here."""
    if shutil.which("flite") is None:
        raise SystemExit("flite is not installed. Install the Debian package: apt-get install flite")


def speak(lines: Iterable[Line]) -> dict[Line, Samples]:
    """Each sentence spoken by flite, without its leading silence."""
    wanted = list(dict.fromkeys(lines))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(wanted, pool.map(_speak_one, wanted), strict=True))


def _speak_one(line: Line) -> Samples:
    voice, higher, pace = VIRTUAL.get(line.voice, (line.voice, 1.0, 1.0))
    stretch = round(line.stretch * higher * pace, 4)
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "sentence.wav")
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-psdur"]
        command += ["-t", line.text, "-o", str(wav)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        samples, rate_hz = soundfile.read(wav, dtype="float32")
    assert rate_hz == RATE_HZ, f"flite's voice {voice} speaks at {rate_hz} Hz"
    if higher != 1.0:
        samples = np.asarray(soxr.resample(samples, RATE_HZ * higher, RATE_HZ), np.float32)
    phone, _, end_s = done.stdout.split()[0].partition(":")
    assert phone == "pau", f"flite starts with {phone} instead of a pause: {line.text}"
    start = int(max(0.0, float(end_s) / higher - LEAD_S) * RATE_HZ)
    return on_grid(samples[start:])


def on_grid(samples: Samples) -> Samples:
    """Lengthened with zeros to a whole number of GRID samples."""
    return np.pad(samples, (0, -len(samples) % GRID))


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ / GRID) * GRID, np.float32)


def tilted(samples: Samples, room: Room) -> Samples:
    """Brighter or darker, as the room is."""
    return np.asarray(samples - room.tilt * np.concatenate([samples[:1], samples[:-1]]), np.float32)


def gain(speech: Samples, room: Room) -> float:
    """The factor that brings this speech to the room's peak."""
    return float(10 ** (room.peak_dbfs / 20) / np.abs(tilted(speech, room)).max())


def in_room(samples: Samples, room: Room, factor: float, part: str) -> Samples:
    """The samples as recorded in the room, over its noise floor; `part` names the piece and so its noise."""
    floor = noise(len(samples), f"{room.seed}/{part}", FLOOR_DBFS)
    return np.asarray(tilted(samples, room) * factor + floor, np.float32)


def noise(num_samples: int, seed: str, rms_dbfs: float) -> Samples:
    """White noise that depends only on the seed's text."""
    rng = np.random.Generator(np.random.Philox(zlib.crc32(seed.encode())))
    return np.asarray(rng.standard_normal(num_samples) * 10 ** (rms_dbfs / 20), np.float32)


def encode(samples: Samples, suffix: str, rate_hz: int = RATE_HZ) -> bytes:
    """A whole opus, flac or wav file (16 bit). Samples beyond full scale are clamped."""
    samples = np.clip(samples, -1.0, 1.0)
    file = io.BytesIO()
    if suffix == ".opus":
        soundfile.write(file, samples, rate_hz, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
        return with_serial(file.getvalue(), 1)
    soundfile.write(file, samples, rate_hz, format=suffix[1:].upper(), subtype="PCM_16")
    return file.getvalue()


def encode_float_wav(samples: Samples) -> bytes:
    """A wav file of 32-bit floats, by hand: libsndfile stamps the date into its own."""
    data = samples.astype("<f4").tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, RATE_HZ, RATE_HZ * 4, 4, 32)
    body = b"WAVE" + fmt + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The Ogg stream under a fixed serial number; libsndfile draws a new one from the clock every time.

    The number and the checksum stand at bytes 14 and 22 of every page (RFC 3533, section 6).
    """
    pages, at = bytearray(), 0
    while at < len(ogg):
        assert ogg[at : at + 4] == b"OggS"
        num_segments = ogg[at + 26]
        end = at + 27 + num_segments + sum(ogg[at + 27 : at + 27 + num_segments])
        page = bytearray(ogg[at:end])
        page[14:18], page[22:26] = struct.pack("<I", serial), bytes(4)
        page[22:26] = struct.pack("<I", ogg_checksum(bytes(page)))
        pages += page
        at = end
    return bytes(pages)


REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32 by zlib's: the same polynomial, with all bits in reverse order and nothing inverted."""
    reflected = zlib.crc32(page.translate(REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def tones(partials: Iterable[tuple[float, float]], seconds: float) -> Samples:
    """The sum of sines with these frequencies (Hz) and peaks (dBFS)."""
    time_s = np.arange(len(silence(seconds))) / RATE_HZ
    sines = [np.sin(2 * math.pi * hz * time_s) * 10 ** (dbfs / 20) for hz, dbfs in partials]
    return np.asarray(np.sum(sines, axis=0), np.float32)
