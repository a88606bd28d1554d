"""Built-in metric `words`: is it the text, and all of it? Recognised words and forced alignment, English only.

It stands in where no recogniser is pinned, and is weak: at its fast setting it gets 10 to 20 % of the characters of clean clips wrong,
up to 68 % of single ones, so only the distance to real clips counts, and lost words easily pass its limit. Its record says so.
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
    note = (
        "PocketSphinx: gets 10 to 20 % of the characters of clean speech wrong, so lost words may pass unseen; the metric `recogniser` "
        "hears better"
    )
    languages = frozenset({"en"})
    needs_real = False
    figures = (
        Figure("rough_cer", "share", "lower", "garbled", "character errors as PocketSphinx hears them"),
        Figure("rough_wer", "share", "lower", None, "word errors as PocketSphinx hears them"),
        Figure("aligned", "share", "higher", "truncated", "1 when all of the text is found in the audio"),
    )

    def missing(self) -> str | None:
        absent = [name for name in ("pocketsphinx", "jiwer", "silero_vad") if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed: pip install 'voicelathe[metrics]'" if absent else None

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        return [_measure(clip) for clip in clips]

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        if figure == "rough_cer":
            return None, float(np.percentile(real, 95)) + GARBLED_CER
        return (0.5 if float(np.mean(real)) >= USABLE_ALIGNMENT else None), None


def _measure(clip: Clip) -> Values:
    is_speech = activity.speech_s(activity.segments(clip.samples)) >= MIN_SPEECH_S
    found = words.errors(clip.text, words.recognise(clip.samples, fast=True) if is_speech else "")
    can_align = words.normalise(clip.text) and not words.unknown_words(clip.text)
    return {
        "rough_cer": found.cer if found else None,
        "rough_wer": found.wer if found else None,
        "aligned": float(is_speech and words.align(clip.samples, clip.text) is not None)
        if can_align
        else None,
    }
