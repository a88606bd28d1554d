"""Watermarks of a third party: a package with real entry point metadata in a folder of its own.

`bits` writes into the lowest bit of the samples; the others are what a plug-in must not do.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from voicelathe.data import watermark

MAGIC = 0xA5C3960F
MODULE = '''
import numpy as np

MAGIC = 0xA5C3960F

class Bits:
    """32 known bits and the payload, over and over, in the lowest bit of each sample."""

    def mark(self, samples, rate_hz, payload):
        word = np.array([int(bit) for bit in f"{MAGIC:032b}{int.from_bytes(payload, 'big'):016b}"], np.int16)
        bits = np.resize(word, len(samples))
        return (samples & ~np.int16(1)) | bits

    def found(self, samples, rate_hz):
        text = "".join(map(str, samples & 1))
        at = text.find(f"{MAGIC:032b}")
        word = text[at + 32 : at + 48]
        return int(word, 2).to_bytes(2, "big") if at >= 0 and len(word) == 16 else None

class Forgetful(Bits):
    def mark(self, samples, rate_hz, payload): return samples
class Wrong(Bits):
    def mark(self, samples, rate_hz, payload): return super().mark(samples, rate_hz, b"zz")
class Shorter(Bits):
    def mark(self, samples, rate_hz, payload): return super().mark(samples, rate_hz, payload)[:-1]
class Floating(Bits):
    def mark(self, samples, rate_hz, payload): return samples.astype(np.float32)
class Silent(Bits):
    def mark(self, samples, rate_hz, payload): return None
class Broken(Bits):
    def mark(self, samples, rate_hz, payload): raise ZeroDivisionError("by zero")
class Deaf(Bits):
    def found(self, samples, rate_hz): raise OSError("no model")
class InPlace(Bits):
    def mark(self, samples, rate_hz, payload):
        samples &= ~np.int16(1)
        return samples
class Two:
    def __init__(self, needed): pass
class Half:
    def mark(self, samples, rate_hz, payload): return samples
'''
NAMES = (
    "Bits",
    "Forgetful",
    "Wrong",
    "Shorter",
    "Floating",
    "Silent",
    "Broken",
    "Deaf",
    "InPlace",
    "Two",
    "Half",
)


def install(site: Path, package: str = "odd_marks", more: str = "") -> Path:
    """The package as pip would leave it in a folder of packages."""
    about = site / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (site / f"{package}.py").write_text(MODULE)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    points = "".join(f"{name.lower()} = {package}:{name}\n" for name in NAMES)
    (about / "entry_points.txt").write_text(f"[{watermark.GROUP}]\n{points}{more}")
    return site


def on_path(patch: pytest.MonkeyPatch, site: Path) -> None:
    """Until the test is over."""
    patch.syspath_prepend(str(site))
    for name in [one for one in sys.modules if one.startswith("odd_marks")]:
        patch.delitem(sys.modules, name)


def read(samples: np.ndarray) -> list[bytes]:
    """Every payload in a sound, by a reader of its own."""
    text, found, at = "".join(map(str, samples & 1)), [], -1
    magic = f"{MAGIC:032b}"
    while (at := text.find(magic, at + 1)) >= 0 and at + 48 <= len(text):
        found.append(int(text[at + 32 : at + 48], 2).to_bytes(2, "big"))
    return found
