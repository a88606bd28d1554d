"""Which words were said, and does the expected text fit the audio? PocketSphinx, US English.

Its floor is high: on clean synthetic speech it gets 5 to 15 % of the characters wrong, depending on the voice. So its error rates are
compared with those of real clips of the same speaker, never with an absolute limit. Forced alignment answers a sharper
question: is all of the text there? It fails when the end is missing, even a tenth of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.errors import MetricUnavailable

Samples = NDArray[np.float32]

LANGUAGE = "en"
NOT_WORDS = re.compile(r"[^a-z' ]")
FILLERS = ("<s>", "</s>", "<sil>", "(NULL)")
FRAME_S = 0.01
FAST = {
    "maxhmmpf": 3000,
    "maxwpf": 5,
    "ds": 2,
    "topn": 2,
    "pl_window": 5,
    "fwdflat": False,
    "bestpath": False,
}


@dataclass(frozen=True)
class WordErrors:
    """Word and character errors per word and character of the reference; more than 1 when more is said than should be."""

    wer: float
    cer: float


@dataclass(frozen=True)
class AlignedWord:
    """A word of the text and where it lies in the clip."""

    word: str
    start_s: float
    end_s: float


def normalise(text: str) -> str:
    """Lower case, letters and apostrophes only; the form in which texts are compared."""
    return " ".join(NOT_WORDS.sub(" ", text.lower().replace("’", "'")).split())


def recognise(samples: Samples, *, fast: bool = False) -> str:
    """The words heard, normalised; empty when none were. About 7 times faster than real time on one core.

    `fast` prunes harder and is three times quicker, with a fifth more errors: enough to tell speech from garble.
    """
    heard = _decode(_recogniser(fast), samples)
    return normalise(heard) if heard else ""


def errors(text: str, heard: str) -> WordErrors | None:
    """Errors of what was heard against the text; nothing heard is an error of 1. None when the text has no word to compare."""
    try:
        import jiwer
    except ImportError as problem:
        raise MetricUnavailable.of("jiwer", problem) from None
    expected = normalise(text)
    if not expected:
        return None
    if not heard:
        return WordErrors(1.0, 1.0)
    return WordErrors(float(jiwer.wer(expected, heard)), float(jiwer.cer(expected, heard)))


def share_that_fits(heard: str, text: str, others: Sequence[str]) -> float:
    """The share of other texts that fit what was heard as well as `text` does, or better; all of them normalised.

    For the right text it is next to nothing, however badly it was heard; for a wrong one it is any share, each as likely. Texts
    fit by their edits for each character of the longer one.
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as problem:
        raise MetricUnavailable.of("rapidfuzz", problem) from None
    own = Levenshtein.normalized_distance(text, heard)
    return sum(Levenshtein.normalized_distance(other, heard) <= own for other in others) / len(others)


def unknown_words(text: str) -> list[str]:
    """Words that the pronouncing dictionary lacks; a text with one of them cannot be aligned."""
    return [word for word in normalise(text).split() if _aligner().lookup_word(word) is None]


def align(samples: Samples, text: str) -> list[AlignedWord] | None:
    """The words of the text with their places, or None when the audio does not hold all of the text.

    Call `unknown_words` first; a text that has some, or no word at all, is a ValueError.
    """
    if not normalise(text) or (missing := unknown_words(text)):
        raise ValueError(f"cannot be aligned: {missing if normalise(text) else 'no words'}")
    decoder = _aligner()
    decoder.set_align_text(normalise(text))
    try:
        if _decode(decoder, samples) is None:
            return None
    except RuntimeError:  # "alignment failed": the final word was not reached
        return None
    return [
        AlignedWord(
            re.sub(r"\(\d+\)$", "", one.word), one.start_frame * FRAME_S, (one.end_frame + 1) * FRAME_S
        )
        for one in decoder.seg()
        if one.word not in FILLERS
    ]


def _decode(decoder: Any, samples: Samples) -> str | None:
    pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16).tobytes()
    decoder.reinit_feat()  # else the feature means of the clip before change what is heard in this one
    decoder.start_utt()
    try:
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()
    found = decoder.hyp()
    return None if found is None else str(found.hypstr)


@cache
def _recogniser(fast: bool) -> Any:
    return _sphinx().Decoder(loglevel="FATAL", **(FAST if fast else {}))


@cache
def _aligner() -> Any:
    return _sphinx().Decoder(loglevel="FATAL", lm=None)


def _sphinx() -> Any:
    try:
        import pocketsphinx
    except ImportError as problem:
        raise MetricUnavailable.of("pocketsphinx", problem) from None
    return pocketsphinx
