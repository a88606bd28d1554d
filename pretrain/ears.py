"""What does Whisper tiny.en write down, and how many characters are wrong? The ears with which the base is measured.

It is the recogniser that params.yaml pins. On clean
speech of a person it misses 1 % of the characters, of flite's rms 2 %, of its awb 11 %; PocketSphinx three to ten times as many.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe.config import params
from voicelathe.records import RecogniserRef
from voicelathe.speech import recogniser, recogniser_files, words

NUMBERS = {
    "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine", "10": "ten", "11": "eleven",
    "12": "twelve", "15": "fifteen", "20": "twenty", "30": "thirty", "50": "fifty",
}  # fmt: skip


def hear(samples: Any) -> str:
    """The words heard in mono audio at 16 kHz, with numbers as the demo's grammar writes them."""
    return spelled(recogniser.of(_pinned()).hear(np.asarray(samples, np.float32), "en").text)


def spelled(heard: str) -> str:
    heard = re.sub(r"\$(\d+)", r"\1 dollars", heard)
    return words.normalise(re.sub(r"\d+", lambda found: NUMBERS.get(found[0], found[0]), heard))


def cer(text: str, samples: Any) -> float:
    """The share of characters of the text that are wrong in what is heard, at most 1."""
    found = words.errors(text, hear(samples))
    assert found is not None, f"no word in {text!r}"
    return min(1.0, found.cer)


@cache
def _pinned() -> RecogniserRef:
    """The recogniser of the demo's params.yaml, whose files are checked."""
    chosen = params.load(Path(__file__).parents[1] / "params.yaml")
    found = recogniser_files.reference(chosen.speech, chosen.machine)
    assert found is not None, "speech.recogniser is null"
    return found
