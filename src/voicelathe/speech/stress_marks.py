"""Marks that only say where the stress is: a text with them is said like the same text without.

Dictionaries and textbooks put them over vowels: Russian, Ukrainian, Belarusian and Bulgarian "за́мок", Serbian and Croatian with their tones,
Lithuanian "lietùs". A mark that belongs to the spelling is none of them: й, ё, ї, Macedonian ќ and ѝ, Vietnamese, Greek, Spanish.
"""

import re
import unicodedata

# Behind a vowel of Cyrillic no language has them as a letter (Montenegrin с́ and з́ are consonants), or Unicode has the letter whole.
CYRILLIC = re.compile("(?<=[аеёиоуыэюяіїєѣъѐѝАЕЁИОУЫЭЮЯІЇЄѢЪЍЀ])[\u0300\u0301\u030f\u0311]")
ACCENTED = frozenset({"lt", "sl", "hr", "bs", "sr"})  # in Latin letters
LATIN = re.compile("([aeiourlmny][\u0304\u0307\u0328]*)[\u0300\u0301\u0303\u030f\u0311]", re.IGNORECASE)


def without(text: str, language: str = "") -> str:
    """The text without marks of stress over Cyrillic, in NFC; of an accented language without those over Latin letters, too."""
    if text.isascii():
        return text
    text = CYRILLIC.sub("", unicodedata.normalize("NFC", text))
    if language not in ACCENTED:
        return text
    return unicodedata.normalize("NFC", LATIN.sub(r"\1", unicodedata.normalize("NFD", text)))
