"""With which letters beyond ASCII is a language written, and in which encodings of eight bits were its texts kept?

Letters that its texts use every day, with those of usual loan words; not every letter of every name. Languages that are missing here are
not judged by what asks for their letters.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache

from voicelathe.data.text import languages
from voicelathe.speech import stress_marks

MARKS = frozenset("\u0300\u0301\u0303\u030f\u0311")  # of stress
LEAST_WORDS, LEAST_SHARE = 2, 1 / 3  # of Latin letters, which foreign names have with the same marks

# fmt: off
WESTERN, CENTRAL = ("cp1252", "mac-roman", "cp850", "cp437"), ("cp1250", "iso8859-2", "mac-latin2", "cp852")
BALTIC, TURKISH = ("cp1257", "cp775"), ("cp1254", "mac-turkish", "cp857")
CYRILLIC, GREEK = ("cp1251", "koi8-u", "cp866", "mac-cyrillic", "iso8859-5"), ("cp1253", "iso8859-7", "mac-greek", "cp737")
LETTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pl": ("ąćęłńóśźż", CENTRAL),
    "cs": ("áčďéěíňóřšťúůýž", CENTRAL),
    "sk": ("áäčďéíĺľňóôŕšťúýž", CENTRAL),
    "hu": ("áéíóöőúüű", CENTRAL),
    **dict.fromkeys(("sl", "hr", "bs"), ("čćđšž", CENTRAL)),
    "ro": ("ăâîșțşţ", (*CENTRAL, "iso8859-16")),
    "lt": ("ąčęėįšųūž", BALTIC),
    "lv": ("āčēģīķļņšūž", BALTIC),
    "et": ("äõöüšž", (*BALTIC, *WESTERN)),
    "tr": ("çğıöşüâîûİ", TURKISH),
    "sq": ("çë", WESTERN),
    "de": ("äöüß", WESTERN),
    "fr": ("àâæçèéêëîïôœùûüÿ", WESTERN),
    "es": ("áéíñóúü", WESTERN),
    "pt": ("àáâãçéêíóôõúü", WESTERN),
    "it": ("àèéìíîòóùú", WESTERN),
    "ca": ("àçéèíïóòúü", WESTERN),
    "gl": ("áéíñóúüï", WESTERN),
    **dict.fromkeys(("da", "nb", "nn", "no"), ("æøåéèêóòôäöü", WESTERN)),
    **dict.fromkeys(("sv", "fi"), ("åäöéàü", WESTERN)),
    "is": ("áðéíóúýþæö", WESTERN),
    "nl": ("áéèëíïóöúüçê", WESTERN),
    "ga": ("áéíóú", WESTERN),
    "gd": ("àèìòùáéó", WESTERN),
    "ru": ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", CYRILLIC),
    "uk": ("абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", CYRILLIC),
    "be": ("абвгдежзійклмнопрстуўфхцчшыьэюяё", CYRILLIC),
    "bg": ("абвгдежзийклмнопрстуфхцчшщъьюяѝ", CYRILLIC),
    "mk": ("абвгдѓежзѕијклљмнњопрстќуфхцчџшѐѝ", CYRILLIC),
    "el": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ", GREEK),
}
# fmt: on


@cache
def letters(language: str) -> frozenset[str]:
    """Letters beyond ASCII, small and capital; none for a language that is not listed."""
    listed = LETTERS.get(languages.primary(language), ("", ()))[0]
    return frozenset(one for one in (*listed, *listed.upper()) if not one.isascii())


def encodings(language: str) -> tuple[str, ...]:
    """Encodings of eight bits, the likeliest first; none for a language that is not listed."""
    return LETTERS.get(languages.primary(language), ("", ()))[1]


def stressed(text: str, language: str) -> list[str]:
    """Words with a mark of stress; none for a text whose marks are of its spelling, or of a foreign name."""
    if text.isascii():
        return []
    held = unicodedata.normalize("NFC", text).split()
    found = [one for one in held if stress_marks.CYRILLIC.search(one)]
    if found or languages.primary(language) not in stress_marks.ACCENTED:
        return found
    found = [one for one in held if _is_accented(one, language)]
    return found if len(found) >= max(LEAST_WORDS, LEAST_SHARE * len(held)) else []


def example_of_stress(texts: Sequence[str], language: str) -> tuple[int, str] | None:
    """How many texts have such marks, and a word that has one; None where none has."""
    found = [some[0] for text in texts if (some := stressed(text, language))]
    return (len(found), found[0].strip(".,:;!?\"'«»„“”()")) if found else None


def _is_accented(word: str, language: str) -> bool:
    """Whether a letter of a word has such a mark and is none of the language; a word with a capital is a name ("Señor Núñez")."""
    if next(filter(str.isalpha, word), "a").isupper():
        return False
    own = letters(language) or letters("hr")  # Serbian in Latin letters has those of Croatian
    foreign = [one for one in word if one not in own]
    return any(MARKS & set(unicodedata.normalize("NFD", one)) for one in foreign)
