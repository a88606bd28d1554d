"""Short recordings for a page: small, playable in every browser, and the same bytes each time."""

import io
import zlib

import numpy as np

from voicelathe.data.audio.waveform import Samples, resample

RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)  # that Opus knows
LEVEL = 0.93  # libsndfile maps 0..1 to 256..6 kbit/s a channel: some 24 kbit/s


def encode(samples: Samples, rate_hz: int, serial: int) -> bytes:
    """Mono samples [frames] as Ogg Opus; what is no number becomes silence."""
    import soundfile

    to_hz = next((rate for rate in RATES_HZ if rate >= rate_hz), RATES_HZ[-1])
    sound = np.clip(np.nan_to_num(resample(np.nan_to_num(samples), rate_hz, to_hz)), -1.0, 1.0)
    content = io.BytesIO()
    soundfile.write(content, sound, to_hz, format="OGG", subtype="OPUS", compression_level=LEVEL)
    return with_serial(content.getvalue(), serial)


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The same Ogg stream under a given number: libsndfile draws one from the clock (RFC 3533, section 6)."""
    pages, start = bytearray(ogg), 0
    while start < len(pages):
        assert pages[start : start + 4] == b"OggS", "not an Ogg page"
        count = pages[start + 26]
        end = start + 27 + count + sum(pages[start + 27 : start + 27 + count])
        pages[start + 14 : start + 18] = serial.to_bytes(4, "little")
        pages[start + 22 : start + 26] = bytes(4)
        pages[start + 22 : start + 26] = _ogg_checksum(bytes(pages[start:end])).to_bytes(4, "little")
        start = end
    return bytes(pages)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 as Ogg wants it: zlib's polynomial read from the other end, starting from zero."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
