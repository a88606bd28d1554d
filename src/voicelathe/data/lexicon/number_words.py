"""Numbers, sums of money, shares, times and dates as words, for a model to read: English, German, French, Spanish and Italian.

Cardinals are those of `speech.numerals`, by which the recogniser's texts are compared; here they must be right to read, too, so spelling
and gender that are heard are mended. What can be meant in several ways is left as it is written: 3/4/2024 in English, 1.2.3, B2B, 2e.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voicelathe.speech import numerals

LANGUAGES = ("de", "en", "es", "fr", "it")
APART = r"(?<![\w.,:/+-])"  # a number begins here, and is no part of a code, a path or another number
EDGE = r"(?![\w/]|[.,:-]\d)"
SIGNED = rf"(?:(?<![^\s(])([-\u2212])|{APART})"
ORDINAL = re.compile(r"\.\s*\S")  # a German 3. may be the third, or end a sentence
CODES = {"EUR": "€", "USD": "$", "GBP": "£"}


@dataclass(frozen=True)
class _Words:
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


_SPACE = "[ \u00a0\u202f]"
_EN = "January February March April May June July August September October November December"
_DE = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
_FR = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
_ES = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
_IT = "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"
_WORDS = {
    "en": _Words(_number(",", r"\."), ",", ".", "minus", "percent", numerals.MONEY["en"], "and", tuple(_EN.split()), "", "o'clock"),
    "de": _Words(_number(r"\.", ","), ".", ",", "minus", "Prozent", {"$": ("Dollar", "Dollar"), "€": ("Euro", "Euro"), "£": ("Pfund", "Pfund")}, "", tuple(_DE.split()), "Uhr", "Uhr"),
    "fr": _Words(_number(_SPACE, ","), " ", ",", "moins", "pour cent", numerals.MONEY["fr"], "", tuple(_FR.split()), "heures", "heures"),
    "es": _Words(_number(r"\.", ","), ".", ",", "menos", "por ciento", numerals.MONEY["es"], "con", tuple(_ES.split()), "y", "en punto"),
    "it": _Words(_number(r"\.", ","), ".", ",", "meno", "per cento", numerals.MONEY["it"], "e", tuple(_IT.split()), "e", "in punto"),
}  # fmt: skip
CENTS = {"en": " cents", "es": "", "de": "", "fr": "", "it": ""}
FEMALE = ("livre", "libra", "sterlina")  # money that the word for one agrees with


def written_out(text: str, language: str) -> str:
    """The text with its numbers as words; unchanged in a language that is not known here, and where nothing is sure."""
    words = _WORDS.get(language)
    if words is None or not any(one.isdigit() for one in text):
        return text
    for step in (_dates, _times, _money, _shares, _plain):
        text = step(text, language, words)
    return text


def _dates(text: str, language: str, words: _Words) -> str:
    months = "|".join(words.months)

    def date(found: re.Match[str]) -> str:
        parts = found.groupdict()
        day = int(parts["day"])
        month = words.months[int(parts["month"]) - 1] if parts["month"].isdigit() else parts["month"]
        year = int(parts["year"]) if parts.get("year") else None
        return _date(day, month, year, language, text[: found.start()])

    day, numbered = r"(?P<day>[12]\d|3[01]|0?[1-9])", r"(?P<month>1[0-2]|0?[1-9])"
    year = r"(?P<year>1\d{3}|20\d\d)"
    text = re.sub(rf"{APART}{year}-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01]){EDGE}", date, text)
    if language == "en":
        text = re.sub(rf"\b(?P<month>{months}) {day}(?:st|nd|rd|th)?(?:,? {year})?{EDGE}", date, text)
        return re.sub(rf"{APART}{day}(?:st|nd|rd|th)? (?P<month>{months})(?:,? {year})?{EDGE}", date, text)
    dot = r"\." if language == "de" else "/"
    text = re.sub(rf"{APART}{day}{dot}{numbered}{dot}{year}{EDGE}", date, text)
    if language == "de":
        return re.sub(rf"{APART}{day}\. ?(?P<month>{months})(?: {year})?{EDGE}", date, text)
    of = "de " if language == "es" else ""
    return re.sub(rf"{APART}{day}(?:er|º|°)? {of}(?P<month>{months})(?: (?:del? )?{year})?{EDGE}", date, text)


def _date(day: int, month: str, year: int | None, language: str, before: str) -> str:
    said = _cardinal(day, language)
    if language == "en":
        said = f"{month} {numerals.written_out(f'{day}th', 'en').strip()}"
        return said if year is None else f"{said}, {_year(year, language)}"
    if language == "de":
        said = f"{_german_ordinal(day)}{_german_ending(before)}"
    elif day == 1 and language in ("fr", "it"):
        said = {"fr": "premier", "it": "primo"}[language]
    of = "de " if language == "es" else ""
    behind = "" if year is None else f" {of}{_year(year, language)}"
    return f"{said} {of}{month}{behind}"


def _german_ordinal(day: int) -> str:
    odd = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
    return odd.get(day) or _cardinal(day, "de") + ("t" if day < 20 else "st")


def _german_ending(before: str) -> str:
    word = (before.split() or [""])[-1].lower()
    if word in ("am", "vom", "zum", "dem", "den", "bis", "beim", "seit", "ab"):
        return "en"
    return "e" if word == "der" else "er"


def _year(year: int, language: str) -> str:
    way = numerals.YEAR if year < 2000 or (language == "en" and year >= 2010) else numerals.CARDINAL
    return _mended(" ".join(numerals.written_out(str(year), language, way).split()), language)


def _times(text: str, language: str, words: _Words) -> str:
    colon = "[:h]" if language == "fr" else ":"
    behind = {"de": r"(?: ?Uhr)?", "fr": ""}.get(language, "")
    half = r"(?P<half> ?[ap]\.?m\b\.?)?" if language == "en" else "(?P<half>)"

    def time(found: re.Match[str]) -> str:
        hours, minutes, half_day = int(found[1]), int(found[2]), (found["half"] or "").strip()
        parts = [_cardinal(hours, language)]
        if language == "fr":
            parts[0] = re.sub("un$", "une", parts[0])
        if language == "de" and hours in (1, 21):
            parts[0] = re.sub("eins$", "ein", parts[0])
        between = "heure" if language == "fr" and hours < 2 else words.time
        if minutes:
            oh = "oh" if language == "en" and minutes < 10 else ""
            parts += [between, oh, _cardinal(minutes, language)]
        elif not half_day:
            parts.append("heure" if language == "fr" and hours < 2 else words.hour)
        return " ".join(part for part in [*parts, half_day] if part)

    return re.sub(rf"{APART}([01]?\d|2[0-3]){colon}([0-5]\d){behind}{half}{EDGE}", time, text)


def _money(text: str, language: str, words: _Words) -> str:
    def paid(found: re.Match[str]) -> str:
        amount, sign = (found[2], found[1]) if found[1] else (found[3], found[4])
        one, several = words.money[CODES.get(sign, sign)]
        whole, _, part = _plainly(amount, words).partition(".")
        number = int(whole)
        said = _counted(number, language, one)
        name = one if number == 1 or (language == "fr" and number == 0) else several
        if len(part) == 2 and int(part):
            hundredths = f"{words.cents} {_cardinal(int(part), language)}{CENTS[language]}".strip()
            if language == "en" and int(part) == 1:
                hundredths = "and one cent"
            return f"{said} {name} {hundredths}"
        if part and int(part):
            return f"{_said(amount, language, words)} {several}"
        return f"{said} {name}"

    signs = "|".join(map(re.escape, [*words.money, *CODES]))
    return re.sub(
        rf"(?<!\w)({signs})\s?({words.number}){EDGE}|{APART}({words.number})\s?({signs})(?!\w)", paid, text
    )


def _counted(number: int, language: str, noun: str) -> str:
    """A number right before what it counts."""
    said = _cardinal(number, language)
    female = noun in FEMALE
    if language == "de":
        return re.sub("eins$", "ein", said)
    if language == "es":
        said = re.sub("veintiuno$", "veintiuna" if female else "veintiún", said)
        return re.sub(r"\buno$", "una" if female else "un", said)
    if number == 1 and language in ("fr", "it"):
        return {"fr": "une" if female else "un", "it": "una" if female else "un"}[language]
    return said


def _shares(text: str, language: str, words: _Words) -> str:
    return re.sub(
        rf"{APART}({words.number}){_SPACE}?%(?!\w)",
        lambda found: f"{_said(found[1], language, words)} {words.percent}",
        text,
    )


def _plain(text: str, language: str, words: _Words) -> str:
    suffix = "(st|nd|rd|th)?" if language == "en" else "()"

    def number(found: re.Match[str]) -> str:
        if language == "de" and len(found[2]) < 3 and ORDINAL.match(text, found.end()):
            return found[0]
        minus = f"{words.minus} " if found[1] else ""
        if found[3]:
            return numerals.written_out(f"{_plainly(found[2], words)}{found[3]}", "en").strip()
        return minus + _said(found[2], language, words)

    return re.sub(rf"{SIGNED}({words.number}){suffix}{EDGE}", number, text)


def _said(written: str, language: str, words: _Words) -> str:
    """A number as it stands: a bare one of four digits is a year where that is how it would be read."""
    way = numerals.CARDINAL
    if re.fullmatch(r"1[1-9]\d\d", written) or (language == "en" and re.fullmatch(r"20[1-9]\d", written)):
        way = numerals.YEAR
    plain = _plainly(written, words).replace(".", words.point)
    return _mended(" ".join(numerals.written_out(plain, language, way).split()), language)


def _plainly(written: str, words: _Words) -> str:
    """Without marks between thousands, with a point."""
    group = _SPACE if words.group == " " else re.escape(words.group)
    return re.sub(group, "", written).replace(words.point, ".")


def _cardinal(number: int, language: str) -> str:
    return _mended(" ".join(numerals.written_out(str(number), language).split()), language)


_MENDS: Mapping[str, Callable[[str], str]] = {
    "de": lambda said: (
        said.replace("dreissig", "dreißig").replace("million", "Million").replace("komma", "Komma")
    ),
    "es": lambda said: re.sub(r"veintiuno (?=mil)", "veintiún ", re.sub(r"\buno (?=mil)", "un ", said)),
    "it": lambda said: re.sub(r"(?<=\w)tre\b", "tré", said),
}


def _mended(said: str, language: str) -> str:
    return _MENDS.get(language, str)(said)
