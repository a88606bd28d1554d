"""Built-in metric `words`: is it the text, and all of it? Recognised words and forced alignment, English only.

The recogniser, at its fast setting, gets 10 to 20 % of the characters of real clips wrong, so only the distance to them counts.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from voicelathe.evaluate.metrics.base import Clip, Values
from voicelathe.records import Figure
from voicelathe.speech import activity, words

MIN_SPEECH_S = 0.3  # with less nothing is recognised, and all of the text is an error
GARBLED_CER = 0.15  # above the 95th percentile of the real clips
USABLE_ALIGNMENT = 0.9  # of the real clips must align, else alignment says nothing about this voice


class Words:
    """PocketSphinx with its US English model."""

    name = "words"
    languages = frozenset({"en"})
    needs_real = False
    figures = (
        Figure("cer", "share", "lower", "garbled", "character errors of the recognised text"),
        Figure("wer", "share", "lower", None, "word errors of the recognised text"),
        Figure("aligned", "share", "higher", "truncated", "1 when all of the text is found in the audio"),
    )

    def missing(self) -> str | None:
        absent = [name for name in ("pocketsphinx", "jiwer", "silero_vad") if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed: pip install 'voicelathe[metrics]'" if absent else None

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        return [_measure(clip) for clip in clips]

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        if figure == "cer":
            return None, float(np.percentile(real, 95)) + GARBLED_CER
        return (0.5 if float(np.mean(real)) >= USABLE_ALIGNMENT else None), None


def _measure(clip: Clip) -> Values:
    is_speech = activity.speech_s(activity.segments(clip.samples)) >= MIN_SPEECH_S
    found = words.errors(clip.text, words.recognise(clip.samples, fast=True) if is_speech else "")
    can_align = words.normalise(clip.text) and not words.unknown_words(clip.text)
    return {
        "cer": found.cer if found else None,
        "wer": found.wer if found else None,
        "aligned": float(is_speech and words.align(clip.samples, clip.text) is not None)
        if can_align
        else None,
    }
