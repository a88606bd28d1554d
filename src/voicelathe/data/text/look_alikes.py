"""Which letters only look like those of their word? A Cyrillic "а" in "cat" reads well, and is another token to every model.

A letter of another script that cannot be told from one of the word's own (after the confusables of Unicode, UTS 39), and letters in
another form: full width, mathematical, in circles. A letter that looks different stands there on purpose: kΩ, TNFα, PRом.
"""

import re
import unicodedata
from functools import cache

from voicelathe.data.text import languages, scripts

CYRILLIC = dict(zip("аеорсухіјѕёѐїкАВЕКМНОРСТУХІЈЅЁЀЇ", "aeopcyxijsëèïkABEKMHOPCTYXIJSËÈÏ", strict=True))
GREEK = dict(zip("οόΑΒΕΖΗΙΚΜΝΟΡΤΥΧΆΈΌΎ", "oóABEZHIKMNOPTYXÁÉÓÝ", strict=True))
ARMENIAN = dict(zip("օսհց", "ouhg", strict=True))
PHONETIC = {"ɡ": "g", "ɑ": "a"}  # of dictionaries; two kinds of them in a text are phonemes
LATIN_FOR = CYRILLIC | GREEK | ARMENIAN | PHONETIC
OTHERS_FOR = {  # Latin letters in a word of these scripts
    "CYRILLIC": {latin: own for own, latin in CYRILLIC.items() if own not in "јѕЈЅк"},
    "GREEK": {latin: own for own, latin in GREEK.items()} | {"v": "ν"},
}
SHARP_S = re.compile("(?<=[a-zäöü]{2})β")  # "Straβe", and not kβ
CIRCLED = "\u24b6-\u24e9\U0001f110-\U0001f189"
LETTERS = rf"(?:[^\W\d_]|[{CIRCLED}])"
OTHER_FORMS = re.compile(  # a letter in a circle by itself is a sign: Ⓒ 2020
    "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]"
    rf"|[{CIRCLED}](?={LETTERS})|(?<={LETTERS})[{CIRCLED}]"
)
ABBREVIATION = re.compile("[A-Z]{2,}[\u0430-\u045f\u0491]+")  # with an ending: "ATMы", "BMXер"
EAST_ASIAN = frozenset(("CJK", "HIRAGANA", "HANGUL"))  # which use letters of full width
MOSTLY = 0.5  # of the letters; else the text is in another language
WORD = re.compile(r"[^\W\d_]+")


def find(text: str, language: str) -> str | None:
    """The first such letter, with what it looks like and its word; None where there is none."""
    if text.isascii():
        return None
    wanted = scripts.expected(language) or ()
    if (form := OTHER_FORMS.search(text)) and not EAST_ASIAN & set(wanted):
        return f"{_named(form[0], unicodedata.normalize('NFKC', form[0]))} in {_around(text, form.start())}"
    if languages.primary(language) == "de" and (sharp := SHARP_S.search(text)):
        return f"{_named('β', 'ß')} in {_around(text, sharp.start())}"
    held = set(text)
    if len({_script(one) for one in held if one.isalpha()}) < 2 and not held & set(PHONETIC):
        return None
    is_latin = wanted == ("LATIN",) and (scripts.share(text, wanted) or 0.0) >= MOSTLY
    return next((found for word in WORD.findall(text) if (found := _in_word(word, wanted, is_latin))), None)


def _in_word(word: str, wanted: tuple[str, ...], is_latin: bool) -> str | None:
    """The first odd letter of a word; in a Latin text, words of look-alikes alone count."""
    if word.isascii() or ABBREVIATION.fullmatch(word):
        return None
    latin = [one for one in word if _is_latin(one) and one not in PHONETIC]
    others = [one for one in word if one.isalpha() and (not _is_latin(one) or one in PHONETIC)]
    if not others or (not latin and not (is_latin and _is_word(word))):
        return None
    script = scripts.names("".join(others))[0]
    can_be_latin = all(one in LATIN_FOR for one in others)
    known = OTHERS_FOR.get(script, {})
    can_be_other = bool(latin) and all(one in known for one in latin)
    if can_be_other and (script in wanted or not can_be_latin) and "LATIN" not in wanted[:1]:
        return f"{_named(latin[0], known[latin[0]])} in {word}"
    return f"{_named(others[0], LATIN_FOR[others[0]])} in {word}" if can_be_latin else None


def _is_word(word: str) -> bool:
    """Whether look-alikes alone would be a Latin word: not a Greek letter by itself, which is said by its name."""
    return len(word) > 1 or word not in GREEK or word in "οόΙΑΟ"


def _is_latin(letter: str) -> bool:
    return letter.isascii() or _script(letter) == "LATIN"


@cache
def _script(letter: str) -> str:
    return next(iter(scripts.names(letter)), "")


def _named(letter: str, other: str) -> str:
    name = unicodedata.name(letter, f"U+{ord(letter):04X}").lower()
    return f"{name} (U+{ord(letter):04X}), which looks like {other} (U+{ord(other[0]):04X}),"


def _around(text: str, at: int) -> str:
    return text[max(0, text.rfind(" ", 0, at) + 1) :].split(" ", 1)[0][:40]
