"""Input that somebody made to do harm: mutated audio, manifests with known faults, and corpora in which both lie among good rows."""

import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe.config import schema

WORDS = (
    "The rain has stopped.",
    "Größe zählt nicht.",
    "声が聞こえる。",
    "نص قصير",
    "a\u2028b",
    "\u00e9\u0301",
)


def audio_seeds(folder: Path) -> dict[str, bytes]:
    """A short clip in each container and coding that we read, by file name."""
    clip = sounds.speech(0.4)
    made = {
        "pcm16.wav": sounds.write(folder / "pcm16.wav", clip),
        "pcm24.wav": sounds.write(folder / "pcm24.wav", clip, subtype="PCM_24"),
        "float.wav": sounds.write(folder / "float.wav", clip, subtype="FLOAT"),
        "ima.wav": sounds.write(folder / "ima.wav", clip, subtype="IMA_ADPCM"),
        "a.flac": sounds.write(folder / "a.flac", clip),
        "a.ogg": sounds.write(folder / "a.ogg", clip),
        "a.opus": sounds.write(folder / "a.opus", clip),
        "a.mp3": sounds.write(folder / "a.mp3", clip),
    }
    return {name: path.read_bytes() for name, path in made.items()} | {"rf64.wav": rf64()}


def rf64() -> bytes:
    """A WAV of 64-bit lengths that claims 2^62 bytes."""
    form = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    lengths = b"ds64" + struct.pack("<IQQQI", 28, 1 << 62, 1 << 62, 1 << 61, 0)
    chunks = lengths + b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 0xFFFFFFFF)
    return b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + chunks + bytes(3200)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One to sixteen changes: a byte, four bytes at the start, a cut, an insertion; most of them where headers are."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 2, 4, 16))):
        kind, size = chance.randrange(4), len(found)
        if kind == 0 and size:
            found[chance.randrange(min(size, 200 if chance.random() < 0.7 else size))] = chance.randrange(256)
        elif kind == 1:
            at = chance.randrange(max(1, min(size - 4, 120)))
            found[at : at + 4] = struct.pack("<I", chance.choice((0xFFFFFFFF, 0, 0x7FFFFFFF, 0x80000000)))
        elif kind == 2:
            del found[chance.randrange(size + 1) :]
        else:
            at = chance.randrange(size + 1)
            found[at:at] = chance.randbytes(chance.randrange(1, 64))
    return bytes(found)


# Lines that are no rows, with the code that each must be reported under.
FAULTS: dict[str, tuple[str, bytes]] = {
    "duplicate key": ("duplicate_key", b'{"audio":"a.wav","text":"a","text":""}'),
    "NaN": ("nonfinite_number", b'{"audio":"a.wav","text":"a","end_s":NaN}'),
    "infinity": ("nonfinite_number", b'{"audio":"a.wav","end_s":-Infinity}'),
    "1e999": ("nonfinite_number", b'{"audio":"a.wav","end_s":1e999}'),
    "5,000 digits": ("not_json", b'{"audio":"a.wav","end_s":' + b"9" * 5000 + b"}"),
    "lone surrogate": ("lone_surrogate", b'{"audio":"a.wav","text":"\\ud800"}'),
    "100,000 brackets": ("too_deep", b"[" * 100_000 + b"]" * 100_000),
    "40 objects deep": ("too_deep", b'{"audio":"a.wav","x":' + b'{"a":' * 40 + b"1" + b"}" * 41),
    "latin-1": ("not_utf8", b'{"audio":"a.wav","text":"caf\xe9"}'),
    "list": ("not_an_object", b"[1]"),
    "null": ("not_an_object", b"null"),
    "blank": ("blank_line", b"  "),
    "trailing comma": ("not_json", b'{"audio":"a.wav",}'),
    "two objects": ("not_json", b'{"audio":"a.wav"}{"audio":"b.wav"}'),
    "raw control character": ("not_json", b'{"audio":"a.wav","text":"a\x01b"}'),
    "UTF-16 in the middle": ("not_utf8", '{"audio":"ä.wav"}'.encode("utf-16")),
    "a second byte order mark": ("not_json", b'\xef\xbb\xbf{"audio":"a.wav"}'),
    "over a megabyte": ("too_long", b'{"audio":"a.wav","text":"' + b"x" * (1 << 20) + b'"}'),
    "no audio": ("missing_field", b'{"text":"a"}'),
    "audio is a number": ("wrong_type", b'{"audio":5,"text":"a"}'),
    "text is a list": ("wrong_type", b'{"audio":"a.wav","text":["a"]}'),
    "rate is a half": ("wrong_type", b'{"audio":"a.wav","text":"a","sample_rate_hz":0.5}'),
    "start is a text": ("wrong_type", b'{"audio":"a.wav","text":"a","start_s":"soon"}'),
}
RARE = ("over a megabyte", "100,000 brackets")  # slow to write ten thousand times


@dataclass(frozen=True)
class Manifest:
    """A file with faults, and what a reader must make of it."""

    content: bytes
    good: dict[int, dict[str, Any]]  # line -> the row as it was written
    bad: dict[int, str]  # line -> the code of its fault
    free: list[int]  # lines that were mutated: a row or rejected, either is right


def manifest(chance: random.Random) -> Manifest:
    """Up to 30 lines in random order, with the ends of lines and the first bytes that editors leave."""
    good: dict[int, dict[str, Any]] = {}
    bad: dict[int, str] = {}
    free: list[int] = []
    lines: list[bytes] = []
    for number in range(1, chance.randrange(2, 30)):
        drawn = chance.random()
        if drawn < 0.5 or number == 1:
            good[number] = row = rows.raw(number, text=chance.choice(WORDS), extra_field=chance.random())
            lines.append(json.dumps(row, ensure_ascii=chance.random() < 0.5).encode())
        elif drawn < 0.85:
            name = chance.choice(list(FAULTS))
            if name in RARE and chance.random() < 0.95:
                name = "blank"
            bad[number], line = FAULTS[name]
            lines.append(line)
        else:
            free.append(number)
            line = mutated(json.dumps(rows.raw(number)).encode(), chance)
            lines.append(line.replace(b"\n", b"").replace(b"\r", b"") + b" ")
    end = chance.choice((b"\n", b"\n", b"\r\n"))
    content = chance.choice((b"", b"", b"\xef\xbb\xbf")) + end.join(lines) + chance.choice((b"", end))
    return Manifest(content, good, bad, free)


def reading(path: Path, root: Path) -> schema.Ingest:
    """Settings under which every good row of `manifest` is a row."""
    return rows.ingest(path, root, recording_from="(.+)", speaker_id="awb", language="en")
