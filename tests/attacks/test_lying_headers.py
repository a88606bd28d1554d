"""Headers that claim another length, rate or kind than the file has: libsndfile repairs or believes most of them."""

import struct

import pytest

from tests.attacks.conftest import Lab
from tests.factories import audio as sounds
from tests.factories import hostile

LYING = {
    "claims 2 GiB": ("truncated", sounds.wav_bytes(claimed=0x7FFF0000)),
    "claims one byte too many": ("truncated", sounds.wav_bytes(claimed=3201)),
    "claims too little": ("bad_header", sounds.wav_bytes(data=b"\1\0" * 16000, claimed=100)),
    "claims 2^62 bytes": ("truncated", hostile.rf64()),
    "ends in its header": ("truncated", sounds.wav_bytes()[:30]),
    "is empty behind its header": ("no_samples", sounds.wav_bytes(data=b"")),
    "has frames of no bytes": ("bad_header", sounds.wav_bytes(block=0)),
    "has 7 bits": ("bad_header", sounds.wav_bytes(bits=7, block=1)),
    "has no bits": ("bad_header", sounds.wav_bytes(bits=0, block=2)),
    "has a chunk longer than itself": (
        "truncated",
        sounds.wav_bytes(before=b"JUNK" + struct.pack("<I", 0x7FFFFFFF)),
    ),
    "has a million empty chunks": ("bad_header", sounds.wav_bytes(before=(b"JUNK" + bytes(4)) * 1_000_000)),
    "is sampled once a second": ("over_limit", sounds.wav_bytes(rate_hz=1)),
    "is sampled too fast": ("over_limit", sounds.wav_bytes(rate_hz=2_000_000_000)),
    "is never sampled": ("over_limit", sounds.wav_bytes(rate_hz=0)),
    "is empty": ("unsupported_type", b""),
    "is text": ("unsupported_type", b"hello, not audio\n" * 10),
    "is a FLAC by content": ("unsupported_type", b"fLaC" + bytes(100)),
}
UNUSUAL = {
    "length unknown, as ffmpeg writes to a pipe": sounds.wav_bytes(claimed=0xFFFFFFFF),
    "tags behind": sounds.wav_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO",
    "padding": sounds.wav_bytes() + bytes(16),
    "odd length": sounds.wav_bytes(data=bytes(3201), bits=8) + bytes(1),
    "tags before": sounds.wav_bytes(before=b"LIST" + struct.pack("<I", 3) + b"abc\0"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", LYING)
def test_a_wav_that_lies_is_refused(lab: Lab, case: str) -> None:
    code, content = LYING[case]
    assert lab.problem("rec_02.wav", content) == code


@pytest.mark.parametrize("case", UNUSUAL)
def test_a_wav_that_is_only_unusual_is_read(lab: Lab, case: str) -> None:
    assert lab.problem("rec_02.wav", UNUSUAL[case]) is None


def test_a_flac_that_claims_68_billion_frames_is_refused_without_the_memory(lab: Lab) -> None:
    content = bytearray(sounds.write(lab.root / "a.flac", sounds.speech(1.0)).read_bytes())
    content[21], content[22:26] = content[21] | 0x0F, b"\xff" * 4
    assert lab.problem("rec_02.flac", bytes(content)) == "over_limit"


@pytest.mark.parametrize("name", ["a.flac", "a.opus", "a.ogg", "a.mp3", "a.wav"])
def test_a_file_that_was_cut_off_is_refused(lab: Lab, name: str) -> None:
    content = sounds.write(lab.root / name, sounds.speech(4.0)).read_bytes()
    assert lab.problem(name, content[: len(content) * 6 // 10]) == "truncated"


def test_a_lie_costs_its_row_only(lab: Lab) -> None:
    assert lab.audio("rec_02.wav", LYING["claims 2 GiB"][1]) == "truncated"
