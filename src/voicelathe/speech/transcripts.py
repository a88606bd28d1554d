"""Are two texts the same words? One normaliser for every language, character and word errors, and what is missing at the end.

Case, punctuation, apostrophes and the spelling of numbers are the writer's, not the speaker's, so they are taken away first. A text
with digits has several readings ("1984" is a year or a number); the one nearest to what was heard counts.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from voicelathe.errors import MetricUnavailable
from voicelathe.speech import numerals, stress_marks

UNSPACED = frozenset(
    {"zh", "yue", "ja", "th", "lo", "my", "km", "bo"}
)  # written without spaces: no word errors
UNVOWELLED = frozenset({"ar", "fa", "ur", "he", "yi"})  # their vowel signs are rarely written
TURKIC = frozenset({"tr", "az"})
SPOKEN = {
    "en": {"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay", "&": "and", "%": "percent"},
    "de": {"hr": "herr", "fr": "frau", "dr": "doktor", "&": "und", "%": "prozent"},
    "fr": {"m": "monsieur", "mme": "madame", "mlle": "mademoiselle", "dr": "docteur", "&": "et", "%": "pour cent"},
    "es": {"sr": "señor", "sra": "señora", "dr": "doctor", "&": "y", "%": "por ciento"},
    "it": {"sig": "signor", "dott": "dottor", "&": "e", "%": "per cento"},
}  # fmt: skip
SIGNS = ("&", "%")
APOSTROPHES = dict.fromkeys(map(ord, "'’‘ʼ＇´`"), None)
MIN_TIMES = 3  # a word said less often may be bad luck
STRETCH, UNSPACED_STRETCH = 8, 16  # words, or characters of a language without spaces: about a sentence
HEARD_SHARE = 0.6  # of a word's letters; with fewer it was not heard


@dataclass(frozen=True)
class TranscriptErrors:
    """How what was heard differs from the text. Shares are of the text; more than 1 where more is said than should be."""

    cer: float
    wer: float | None  # None for languages that are written without spaces
    inserted: float  # characters that were heard and are not in the text, as a share of the text's
    missing_end: int  # words, or characters of a language without spaces, of the end that were not said
    has_digits: bool


def normalise(text: str, language: str) -> str:
    """Lower-case words of letters and numbers written out, one space between them; none where the language has none."""
    return readings(text, language)[0]


def readings(text: str, language: str) -> list[str]:
    """Every way in which the digits of a text are usually read; the plain number first. One reading where there are none."""
    language = primary(language)
    text = unicodedata.normalize("NFKC", text)
    read = [numerals.written_out(text, language, way) for way in numerals.ways(text, language)]
    return list(dict.fromkeys(_words(one, language) for one in read))


def errors(text: str, heard: str, language: str) -> TranscriptErrors | None:
    """Errors of `heard` against `text`, in the reading that fits best. None when the text holds no word to compare."""
    expected = [one for one in readings(text, language) if one]
    if not expected:
        return None
    said = readings(heard, language)
    spaced = primary(language) not in UNSPACED
    has_digits = any(letter.isdigit() for letter in text)
    return min(
        (_compared(one, other, spaced, has_digits) for one in expected for other in said),
        key=lambda found: found.cer,
    )


def missed(text: str, heard: str, language: str) -> int | None:
    """Words of `text` that were not heard, in the worst stretch of STRETCH words, so that a lost half sentence is not thinned out by a long text.

    Characters of UNSPACED_STRETCH where a language has no spaces. In the reading that fits best; None when the text holds no word.
    """
    spaced = primary(language) not in UNSPACED
    expected = [units for one in readings(text, language) if (units := _units(one, spaced))]
    said = [one.replace(" ", "") for one in readings(heard, language)]
    length = STRETCH if spaced else UNSPACED_STRETCH
    return min((_worst(_unheard(units, one), length) for units in expected for one in said), default=None)


def edits(text: str, heard: str) -> list[tuple[str, int, int, int, int]]:
    """What makes one text of the other: tag (equal, replace, delete, insert), then first and last place in each."""
    opcodes = _levenshtein().opcodes(text, heard)
    return [(one.tag, one.src_start, one.src_end, one.dest_start, one.dest_end) for one in opcodes]


def never_right(
    pairs: Iterable[tuple[str, str]], language: str, min_times: int = MIN_TIMES
) -> list[tuple[str, int]]:
    """Words of (text, heard) pairs that were to be said at least `min_times` times and were never heard, most often asked first.

    In languages without spaces: characters.
    """
    spaced = primary(language) not in UNSPACED
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for text, heard in pairs:
        words, said = _units(normalise(text, language), spaced), _units(normalise(heard, language), spaced)
        asked.update(words)
        right.update(words[place] for place in _matched(words, said))
    found = [(word, times) for word, times in asked.items() if times >= min_times and not right[word]]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def is_right(word: str, text: str, heard: str, language: str) -> bool:
    """Whether a word, or several, was heard wherever the text has it. False for one that the text does not have."""
    spaced = primary(language) not in UNSPACED
    wanted, words, said = (_units(normalise(one, language), spaced) for one in (word, text, heard))
    right, size = set(_matched(words, said)), len(wanted)
    at = [place for place in range(len(words) - size + 1) if size and words[place : place + size] == wanted]
    return bool(at) and all(right >= set(range(place, place + size)) for place in at)


def instead(word: str, pairs: Iterable[tuple[str, str]], language: str) -> list[tuple[str, int]]:
    """What was heard where (text, heard) pairs have a word, most often first; an empty text where nothing was."""
    spaced, counts = primary(language) not in UNSPACED, Counter[str]()
    for text, heard in pairs:
        words, said = _units(normalise(text, language), spaced), _units(normalise(heard, language), spaced)
        for block in _levenshtein().opcodes(words, said):
            if block.tag in ("replace", "delete") and word in words[block.src_start : block.src_end]:
                counts[" ".join(said[block.dest_start : block.dest_end])] += 1
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def primary(language: str) -> str:
    """The language of a BCP 47 tag without script and region."""
    return language.lower().replace("_", "-").partition("-")[0]


def _compared(expected: str, said: str, spaced: bool, has_digits: bool) -> TranscriptErrors:
    text, heard = expected.replace(" ", ""), said.replace(" ", "")
    edits = _levenshtein().editops(text, heard)
    words, other = expected.split(), said.split()
    return TranscriptErrors(
        cer=len(edits) / len(text),
        wer=_levenshtein().distance(words, other) / len(words) if spaced else None,
        inserted=sum(one.tag == "insert" for one in edits) / len(text),
        missing_end=_missing_end(words if spaced else list(text), heard),
        has_digits=has_digits,
    )


def _missing_end(units: Sequence[str], heard: str) -> int:
    """Units after the beginning of the text that fits what was heard best; the longest one where several do."""
    best, found, text = None, 0, ""
    for number in range(len(units) + 1):
        text = "".join(units[:number])
        distance = _levenshtein().distance(text, heard)
        if best is None or distance <= best:
            best, found = distance, number
    return len(units) - found


def _unheard(units: Sequence[str], heard: str) -> list[bool]:
    """For each unit whether fewer than HEARD_SHARE of its letters are in what was heard, aligned as a whole."""
    text = "".join(units)
    found = [False] * len(text)
    for block in _levenshtein().opcodes(text, heard):
        if block.tag == "equal":
            found[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    unheard, first = [], 0
    for unit in units:
        unheard.append(sum(found[first : first + len(unit)]) < HEARD_SHARE * len(unit))
        first += len(unit)
    return unheard


def _worst(unheard: Sequence[bool], length: int) -> int:
    """The most of them in any stretch of this length."""
    return max(sum(unheard[first : first + length]) for first in range(max(1, len(unheard) - length + 1)))


def _matched(words: Sequence[str], said: Sequence[str]) -> list[int]:
    """Places of the words that an alignment finds in what was said."""
    found: list[int] = []
    for block in _levenshtein().opcodes(words, said):
        if block.tag == "equal":
            found += range(block.src_start, block.src_end)
    return found


def _units(text: str, spaced: bool) -> list[str]:
    return text.split() if spaced else list(text)


def _words(text: str, language: str) -> str:
    text = _lower(text, language).translate(APOSTROPHES)
    spoken = SPOKEN.get(language, {})
    for sign in SIGNS:
        text = text.replace(sign, f" {spoken.get(sign, '')} ")
    if language in UNVOWELLED:
        text = "".join(one for one in unicodedata.normalize("NFD", text) if unicodedata.category(one) != "Mn")
    text = stress_marks.without(text, language)
    kept = "".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in text)
    words = [spoken.get(word, word) for word in kept.split()]
    joined = ("" if language in UNSPACED else " ").join(words)
    return unicodedata.normalize("NFC", joined)  # a mark may have met its letter only now


def _lower(text: str, language: str) -> str:
    if language in TURKIC:
        text = text.replace("İ", "i").replace("I", "ı")
    return re.sub("ß", "ss", text.lower()) if language == "de" else text.lower()


def _levenshtein() -> Any:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as problem:
        raise MetricUnavailable.of("rapidfuzz", problem) from None
    return Levenshtein
