"""Single words and numbers in 38 languages: short texts are read in their own time, and a digit in the time of what it is read as.

A syllable takes 0.11 s where it is said fast, a word alone 0.16 s, and 0.4 s for each with 0.4 s for the word where it is dictated (five
speakers of prompts, benchmarks/real_speech.py: 0.16 s for "tre", 0.84 s for "siete", 0.58 s for a letter). No row may be dropped between the two; a text far outside of them must be.
"""

import pytest

from tests.factories import rows
from voicelathe.data.audit import clean

FAST_S, FASTEST_S, SLOW_S, ALONE_S = 0.11, 0.16, 0.4, 0.4

# language: a word and its syllables; a number as it is written there, and the syllables that it is read with
SAID: dict[str, tuple[str, int, str, int]] = {
    "af": ("sewe", 2, "27", 5),
    "am": ("ሰባት", 3, "27", 5),
    "ar": ("سبعة", 2, "٢٧", 6),
    "bg": ("седем", 2, "27", 5),
    "bn": ("সাত", 1, "২৭", 3),
    "ca": ("set", 1, "27", 4),
    "cs": ("sedm", 2, "27", 5),
    "cy": ("saith", 1, "27", 4),
    "da": ("syv", 1, "27", 4),
    "de": ("sieben", 2, "27", 6),
    "el": ("επτά", 2, "27", 5),
    "en": ("seven", 2, "27", 4),
    "es": ("siete", 2, "27", 5),
    "et": ("seitse", 2, "27", 6),
    "fa": ("هفت", 1, "۲۷", 4),
    "fi": ("seitsemän", 3, "27", 8),
    "fr": ("sept", 1, "27", 2),
    "he": ("שבע", 2, "27", 5),
    "hi": ("सात", 1, "२७", 3),
    "hu": ("hét", 1, "27", 4),
    "id": ("tujuh", 2, "27", 7),
    "is": ("sjö", 1, "27", 5),
    "it": ("sette", 2, "27", 5),
    "ja": ("七", 2, "27", 5),
    "ka": ("შვიდი", 2, "27", 5),
    "ko": ("일곱", 2, "27", 3),
    "lt": ("septyni", 3, "27", 7),
    "nl": ("zeven", 2, "27", 6),
    "pl": ("siedem", 2, "27", 5),
    "pt": ("sete", 2, "27", 5),
    "ru": ("семь", 1, "27", 3),
    "sv": ("sju", 1, "27", 3),
    "sw": ("saba", 2, "27", 7),
    "ta": ("ஏழு", 2, "27", 6),
    "th": ("เจ็ด", 1, "๒๗", 3),
    "tr": ("yedi", 2, "27", 4),
    "vi": ("bảy", 1, "27", 3),
    "zh": ("七", 1, "27", 3),
}
NUMBERS: list[tuple[str, str, int]] = [  # beyond two digits: as written, and the syllables of a usual reading
    ("en", "2026", 6),  # two thousand twenty-six, or six syllables in pairs
    ("en", "1,984.50", 16),
    ("en", "555 0199", 10),
    ("en", "$4.99", 8),
    ("de", "1999", 8),
    ("de", "12,5 %", 8),
    ("fr", "1997", 9),
    ("ru", "2026", 8),
    ("ja", "2026年", 8),
    ("zh", "2026年", 5),
    ("hi", "१९४७", 6),
    ("ar", "١٩٩٩", 14),
    ("en", "9:45", 4),
    ("en", "12/05/1964", 9),
]


def dropped(language: str, text: str, seconds: float) -> list[str]:
    """The rules that the whole audit drops a clip by; its edges are 0.1 s of silence each."""
    clip = rows.clip(row={"text": text, "language": language}, duration_s=max(seconds + 0.2, 0.3))
    found = clean.audit([clip.row], [], [clip.measure], rows.AUDIT, rows.PHRASES)
    return [one.rule for one in found.findings if one.action == "drop"]


def both(syllables: int) -> tuple[float, float]:
    """The shortest and the longest time that a text of some syllables takes."""
    return max(FASTEST_S, FAST_S * syllables), ALONE_S + SLOW_S * syllables


def test_there_are_thirty_eight_languages() -> None:
    assert len(SAID) == 38


@pytest.mark.parametrize("language", SAID)
def test_a_word_and_a_number_may_be_read_fast_and_slowly_in_any_language(language: str) -> None:
    word, of_word, number, of_number = SAID[language]
    for text, syllables in ((word, of_word), (number, of_number)):
        for seconds in both(syllables):
            assert dropped(language, text, seconds) == [], (text, seconds)


@pytest.mark.parametrize("language", SAID)
def test_a_word_that_takes_ten_seconds_is_not_that_word(language: str) -> None:
    word, _, number, _ = SAID[language]
    assert dropped(language, word, 10.0) == ["too_slow"]
    assert dropped(language, number, 10.0) == ["too_slow"]


@pytest.mark.parametrize(("language", "text", "syllables"), NUMBERS)
def test_long_numbers_take_the_time_of_what_they_are_read_as(
    language: str, text: str, syllables: int
) -> None:
    for seconds in both(syllables):
        assert dropped(language, text, seconds) == [], seconds
    assert dropped(language, text, 60.0) == ["too_long", "too_slow"]
    assert dropped(language, f"{text} {text} {text} {text}", 0.25) == ["too_fast"]
