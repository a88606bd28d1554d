"""What the writing out of numbers rests on: words and marks of five languages, where a number begins and ends, and how one is said."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voicelathe.speech import numerals

# a number begins here, and is no part of a code, a path or another number
APART = r"(?<![\w.,:/+\u2212\u2013-])"
EDGE = r"(?![\w/]|[.,:-]\d)"
SIGN = r"(?<![^\s(])(?P<minus>[-\u2212\u2013])"
SIGNED = rf"(?:{SIGN}|{APART})"


@dataclass(frozen=True)
class NumberWords:
    """What stands beside numbers in a language."""

    number: str  # a whole or broken number, as it is written
    group: str
    point: str
    minus: str
    percent: str
    money: Mapping[str, tuple[str, str]]  # one, several
    cents: str  # between a sum and its hundredths
    months: tuple[str, ...]
    time: str  # between hours and minutes
    hour: str  # behind a full hour


def _number(group: str, point: str) -> str:
    return rf"\d{{1,3}}(?:{group}\d{{3}})+(?:{point}\d+)?|\d+(?:{point}\d+)?"


SPACE = "[ \u00a0\u202f]"
_EN = "January February March April May June July August September October November December"
_DE = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
_FR = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
_ES = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
_IT = "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"
WORDS = {
    "en": NumberWords(_number(",", r"\."), ",", ".", "minus", "percent", numerals.MONEY["en"], "and", tuple(_EN.split()), "", "o'clock"),
    "de": NumberWords(_number(r"\.", ","), ".", ",", "minus", "Prozent", {"$": ("Dollar", "Dollar"), "€": ("Euro", "Euro"), "£": ("Pfund", "Pfund")}, "", tuple(_DE.split()), "Uhr", "Uhr"),
    "fr": NumberWords(_number(SPACE, ","), " ", ",", "moins", "pour cent", numerals.MONEY["fr"], "", tuple(_FR.split()), "heures", "heures"),
    "es": NumberWords(_number(r"\.", ","), ".", ",", "menos", "por ciento", numerals.MONEY["es"], "con", tuple(_ES.split()), "y", "en punto"),
    "it": NumberWords(_number(r"\.", ","), ".", ",", "meno", "per cento", numerals.MONEY["it"], "e", tuple(_IT.split()), "e", "in punto"),
}  # fmt: skip
FEMALE = ("livre", "libra", "sterlina")  # money that the word for one agrees with


def number_said(written: str, language: str, words: NumberWords) -> str:
    """A number as it stands: a bare one of four digits is a year where that is how it would be read."""
    way = numerals.CARDINAL
    if re.fullmatch(r"1[1-9]\d\d", written) or (language == "en" and re.fullmatch(r"20[1-9]\d", written)):
        way = numerals.YEAR
    plain = plainly(written, words).replace(".", words.point)
    return mended(" ".join(numerals.written_out(plain, language, way).split()), language)


def plainly(written: str, words: NumberWords) -> str:
    """Without marks between thousands, with a point."""
    group = SPACE if words.group == " " else re.escape(words.group)
    return re.sub(group, "", written).replace(words.point, ".")


def cardinal(number: int, language: str) -> str:
    return mended(" ".join(numerals.written_out(str(number), language).split()), language)


_MENDS: Mapping[str, Callable[[str], str]] = {
    "de": lambda said: (
        said.replace("dreissig", "dreißig").replace("million", "Million").replace("komma", "Komma")
    ),
    "es": lambda said: re.sub(r"veintiuno (?=mil)", "veintiún ", re.sub(r"\buno (?=mil)", "un ", said)),
    "it": lambda said: re.sub(r"(?<=\w)tre\b", "tré", said),
}


def mended(said: str, language: str) -> str:
    return _MENDS.get(language, str)(said)


def counted(number: int, language: str, noun: str) -> str:
    """A number right before what it counts."""
    said = cardinal(number, language)
    female = noun in FEMALE
    if language == "de":
        return re.sub("eins$", "ein", said)
    if language == "es":
        said = re.sub("veintiuno$", "veintiuna" if female else "veintiún", said)
        said = re.sub("cientos$", "cientas", said) if female else said
        return re.sub(r"\buno$", "una" if female else "un", said)
    if language == "fr" and female:
        return re.sub("un$", "une", said)
    if number == 1 and language in ("fr", "it"):
        return {"fr": "une" if female else "un", "it": "una" if female else "un"}[language]
    return said
