"""How is a number said? Cardinals below a milliard in English, German, French, Spanish and Italian, years and single digits.

A small table of our own: the usual library is under the LGPL, and two texts are only compared here, so grammar (gender, "und eins")
needs one form, not the right one. Other languages keep their digits, which a recogniser writes, too.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

CARDINAL, YEAR, DIGITS = "cardinal", "year", "digits"
MAX = 10**9 - 1


def _list(words: str) -> list[str]:
    return words.split()


EN = _list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
)
EN_TENS = _list("- - twenty thirty forty fifty sixty seventy eighty ninety")
DE = _list(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn "
    "neunzehn"
)
DE_TENS = _list("- - zwanzig dreissig vierzig fünfzig sechzig siebzig achtzig neunzig")
FR = _list(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf"
)
FR_TENS = _list("- - vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt")
ES = _list(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho "
    "diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
)
ES_TENS = _list("- - veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa")
ES_HUNDREDS = _list(
    "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
)
IT = _list(
    "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette "
    "diciotto diciannove"
)
IT_TENS = _list("- - venti trenta quaranta cinquanta sessanta settanta ottanta novanta")
EN_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"}  # fmt: skip


MONEY = {
    "en": {"$": ("dollar", "dollars"), "€": ("euro", "euros"), "£": ("pound", "pounds")},
    "de": {"$": ("dollar", "dollar"), "€": ("euro", "euro"), "£": ("pfund", "pfund")},
    "fr": {"$": ("dollar", "dollars"), "€": ("euro", "euros"), "£": ("livre", "livres")},
    "es": {"$": ("dólar", "dólares"), "€": ("euro", "euros"), "£": ("libra", "libras")},
    "it": {"$": ("dollaro", "dollari"), "€": ("euro", "euro"), "£": ("sterlina", "sterline")},
}


def _english(number: int) -> str:
    if number < 20:
        return EN[number]
    if number < 100:
        return _joined(EN_TENS[number // 10], _rest(_english, number % 10))
    if number < 1000:
        return _joined(EN[number // 100], "hundred", _rest(_english, number % 100))
    return _by_thousands(_english, number, "thousand", ("million", "million"))


def _german(number: int) -> str:
    if number < 20:
        return DE[number]
    if number < 100:
        unit = number % 10
        before = f"{'ein' if unit == 1 else DE[unit]}und" if unit else ""
        return before + DE_TENS[number // 10]
    if number < 1000:
        return f"{'ein' if number < 200 else DE[number // 100]}hundert{_rest(_german, number % 100)}"
    if number < 10**6:
        thousands = "ein" if number < 2000 else _german(number // 1000)
        return f"{thousands}tausend{_rest(_german, number % 1000)}"
    millions = "eine million" if number < 2 * 10**6 else f"{_german(number // 10**6)} millionen"
    return _joined(millions, _rest(_german, number % 10**6))


def _french(number: int) -> str:
    if number < 20:
        return FR[number]
    if number < 100:
        tens, unit = divmod(number, 10)
        if tens in (7, 9):
            unit += 10
        if unit in (1, 11) and tens < 8:
            return f"{FR_TENS[tens]} et {FR[unit]}"
        return _joined(FR_TENS[tens] + ("s" if number == 80 else ""), FR[unit] if unit else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        plural = "s" if hundreds > 1 and not rest else ""
        return _joined("" if hundreds == 1 else FR[hundreds], f"cent{plural}", _rest(_french, rest))
    if number < 2000:
        return _joined("mille", _rest(_french, number % 1000))
    return _by_thousands(_french, number, "mille", ("million", "millions"))


def _spanish(number: int) -> str:
    if number < 30:
        return ES[number]
    if number < 100:
        return _joined(ES_TENS[number // 10], "y" if number % 10 else "", _rest(_spanish, number % 10))
    if number == 100:
        return "cien"
    if number < 1000:
        return _joined(ES_HUNDREDS[number // 100], _rest(_spanish, number % 100))
    if number < 2000:
        return _joined("mil", _rest(_spanish, number % 1000))
    return _by_thousands(_spanish, number, "mil", ("un millón", "millones"))


def _italian(number: int) -> str:
    if number < 20:
        return IT[number]
    if number < 100:
        tens, unit = IT_TENS[number // 10], number % 10
        return (tens[:-1] if unit in (1, 8) else tens) + _rest(_italian, unit)
    if number < 1000:
        return f"{'' if number < 200 else IT[number // 100]}cento{_rest(_italian, number % 100)}"
    if number < 2000:
        return f"mille{_rest(_italian, number % 1000)}"
    if number < 10**6:
        return f"{_italian(number // 1000)}mila{_rest(_italian, number % 1000)}"
    millions = "un milione" if number < 2 * 10**6 else f"{_italian(number // 10**6)} milioni"
    return _joined(millions, _rest(_italian, number % 10**6))


def _by_thousands(say: Callable[[int], str], number: int, thousand: str, million: tuple[str, str]) -> str:
    millions, rest = divmod(number, 10**6)
    if millions:
        one = million[0] if " " in million[0] else _joined(say(1), million[0])
        said = one if millions == 1 else f"{say(millions)} {million[1]}"
        return _joined(said, _rest(say, rest))
    return _joined(say(number // 1000), thousand, _rest(say, number % 1000))


def _rest(say: Callable[[int], str], number: int) -> str:
    return say(number) if number else ""


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class _Language:
    say: Callable[[int], str]
    digits: Sequence[str]
    point: str  # between whole and part, as it is written
    point_said: str
    grouping: str  # between thousands, as it is written
    hundred: str | None  # of a year that is read in two halves


_LANGUAGES: Mapping[str, _Language] = {
    "en": _Language(_english, EN, ".", "point", ",", ""),
    "de": _Language(_german, DE, ",", "komma", ".", "hundert"),
    "fr": _Language(_french, FR, ",", "virgule", " ", None),
    "es": _Language(_spanish, ES, ",", "coma", ".", None),
    "it": _Language(_italian, IT, ",", "virgola", ".", None),
}


def ways(text: str, language: str) -> list[str]:
    """In which ways the digits of a text may be read: one where it has none, or where the language is not known here."""
    if language not in _LANGUAGES or not re.search(r"\d", text):
        return [CARDINAL]
    found = [CARDINAL, DIGITS]
    if _LANGUAGES[language].hundred is not None and re.search(r"(?<!\d)[12]\d{3}(?!\d)", text):
        found.insert(1, YEAR)
    return found


def written_out(text: str, language: str, way: str = CARDINAL) -> str:
    """The text with its numbers as words; unchanged in a language that is not known here."""
    known = _LANGUAGES.get(language)
    if known is None:
        return text
    group, point = re.escape(known.grouping), re.escape(known.point)
    text = re.sub(rf"(?<=\d){group}(?=\d{{3}}(?!\d))", "", text)
    text = _money(text, language, rf"\d+(?:{point}\d+)?")
    number = rf"(\d+)(?:{point}(\d+))?" + ("(st|nd|rd|th)?" if language == "en" else "()")
    return re.sub(number, lambda found: f" {_said(found, known, way)} ", text)


def _money(text: str, language: str, number: str) -> str:
    """A sign of money, before or after its number, as the word after it."""
    for sign, names in MONEY[language].items():
        there = re.escape(sign)
        text = re.sub(rf"{there}\s?({number})|({number})\s?{there}", partial(_paid, names=names), text)
    return text


def _paid(found: re.Match[str], names: tuple[str, str]) -> str:
    amount = found[1] or found[2]
    return f"{amount} {names[amount != '1']}"


def _said(found: re.Match[str], known: _Language, way: str) -> str:
    whole, part, suffix = found.groups()
    said = _whole(whole, known, way)
    if part:
        said = _joined(said, known.point_said, *(known.digits[int(one)] for one in part))
    return _ordinal(said) if suffix else said


def _whole(whole: str, known: _Language, way: str) -> str:
    number = int(whole)
    if way == DIGITS or number > MAX or (len(whole) > 1 and whole[0] == "0"):
        return " ".join(known.digits[int(one)] for one in whole)
    if way == YEAR and known.hundred is not None and 1000 < number < 3000 and number % 1000:
        return _year(number, known)
    return known.say(number)


def _year(number: int, known: _Language) -> str:
    century, rest = divmod(number, 100)
    if known.hundred:
        return f"{known.say(century)}{known.hundred}{known.say(rest) if rest else ''}"
    if not rest:
        return f"{known.say(century)} hundred"
    return f"{known.say(century)} {'oh ' if rest < 10 else ''}{known.say(rest)}"


def _ordinal(said: str) -> str:
    *before, last = said.split()
    if last in EN_ORDINALS:
        last = EN_ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, last])
