"""Numbers, sums of money, shares, times and dates as words, for a model to read: English, German, French, Spanish and Italian.

Cardinals are those of `speech.numerals`, by which the recogniser's texts are compared; here they must be right to read, too, so spelling
and gender that are heard are mended. What can be meant in several ways is left as it is written: 3/4/2024 in English, 1.2.3, B2B, 2e.
"""

import re

from voicelathe.data.lexicon.date_words import dates, times
from voicelathe.data.lexicon.number_forms import (
    EDGE,
    SIGN,
    SIGNED,
    SPACE,
    WORDS,
    NumberWords,
    cardinal,
    counted,
    number_said,
    plainly,
)
from voicelathe.speech import numerals

LANGUAGES = ("de", "en", "es", "fr", "it")
LEFT = "\ua64a"  # a letter of old manuscripts, in the place of what stays as it is written
ORDINAL = re.compile(r"\.\s*\S")  # a German 3. may be the third, or end a sentence
ONE_BEFORE = re.compile(r"\s(?:Million|Milliarde|milione|miliardo|millón|million|milliard)\b")
CODES = {"EUR": "€", "USD": "$", "GBP": "£"}
SCALES = "thousand|million|billion|trillion"
OTHER_SCALES = "Tsd\\.?|Mio\\.?|Mrd\\.?|Million(?:en)?|Milliarden?|millions?|milliards?|mill\u00f3n|millones|mil|milion[ei]|miliard[oi]|mila|bn|[kKmM]"
STAYS = (
    r"\d{31,}",
    rf"\+\d[\d().{SPACE[1:-1]}/-]*\d",  # a telephone number
    rf"\(\d+\){SPACE}?\d[\d{SPACE[1:-1]}-]*",
    rf"[$€£]?\d[\d.,]*%?{SPACE}?[\u2013\u2014]{SPACE}?[$€£]?\d[\d.,]*%?",  # a range
    r"[$€£]?\d[\d.,]*%-\d[\d.,]*%",
)
SPACED = rf"(?<![\w.,:/-])\d+(?:{SPACE}\d+)+(?!\w|[.,:/-]\d)"  # thousands, a telephone number, or two numbers: who knows
CENTS = {"en": " cents", "es": "", "de": "", "fr": "", "it": ""}


def written_out(text: str, language: str) -> str:
    """The text with its numbers as words; unchanged in a language that is not known here, and where nothing is sure."""
    words = WORDS.get(language)
    if words is None or not any(one.isdigit() for one in text):
        return text
    if LEFT in text:
        return text
    kept: list[str] = []

    def keep(found: re.Match[str], said: str | None = None) -> str:
        kept.append(found[0] if said is None else said)
        return LEFT

    stays = list(STAYS)
    if language != "en":
        stays.append(rf"[$€£]{SPACE}?(?:{words.number}){SPACE}?(?:{SCALES}|{OTHER_SCALES})(?!\w)")
    masked = dates(re.sub("|".join(stays), keep, text), language, words)
    if language != "fr":  # where a space stands between thousands
        first, kept[:] = iter(kept[:]), []
        masked = re.sub(
            f"{LEFT}|{SPACED}",
            lambda found: keep(found, next(first) if found[0] == LEFT else found[0]),
            masked,
        )
    for step in (times, _money, _shares, _plain):
        masked = step(masked, language, words)
    again = iter(kept)
    return re.sub(LEFT, lambda _: next(again), masked)


def _money(text: str, language: str, words: NumberWords) -> str:
    def paid(found: re.Match[str]) -> str:
        amount, sign = found["amount"] or found["first"], found["behind"] or found["sign"]
        one, several = words.money[CODES.get(sign, sign)]
        whole, _, part = plainly(amount, words).partition(".")
        minus = f"{words.minus} " if found["minus"] or found["below"] else ""
        if scale := found["scale"]:
            return f"{minus}{number_said(amount, language, words)} {scale} {several}"
        number = int(whole)
        said = minus + counted(number, language, one)
        name = one if number == 1 or (language == "fr" and number == 0) else several
        if number >= 10**6 and number % 10**6 == 0:
            name = {"es": "de ", "it": "di ", "fr": "d'" if name[0] in "ae" else "de "}.get(
                language, ""
            ) + name
        if len(part) == 2 and int(part):
            hundredths = f"{words.cents} {cardinal(int(part), language)}{CENTS[language]}".strip()
            if language == "en":
                small = {"£": ("penny", "pence")}.get(CODES.get(sign, sign), ("cent", "cents"))
                hundredths = f"and {cardinal(int(part), language)} {small[int(part) != 1]}"
            return f"{said} {name} {hundredths}"
        if part and int(part):
            return f"{minus}{number_said(amount, language, words)} {several}"
        return f"{said} {name}"

    signs = "|".join(map(re.escape, [*words.money, *CODES]))
    scale = rf"(?:{SPACE}(?P<scale>{SCALES})(?!\w))?" if language == "en" else "(?P<scale>(?!))?"
    first = rf"(?:{SIGN.replace('minus', 'below')})?(?<!\w)(?P<sign>{signs})\s?(?P<first>{words.number}){scale}{EDGE}"
    return re.sub(rf"{first}|{SIGNED}(?P<amount>{words.number})\s?(?P<behind>{signs})(?!\w)", paid, text)


def _shares(text: str, language: str, words: NumberWords) -> str:
    def share(found: re.Match[str]) -> str:
        said = number_said(found["share"], language, words)
        if language == "de":
            said = re.sub("^eins$", "ein", said)
        return (f"{words.minus} " if found["minus"] else "") + f"{said} {words.percent}"

    return re.sub(rf"{SIGNED}(?P<share>{words.number}){SPACE}?%(?!\w)", share, text)


def _plain(text: str, language: str, words: NumberWords) -> str:
    suffix = "(st|nd|rd|th)?" if language == "en" else "()"

    def number(found: re.Match[str]) -> str:
        if language == "de" and len(found[2]) < 4 and ORDINAL.match(text, found.end()):
            return found[0]
        if found[2] == "1" and (scale := ONE_BEFORE.match(text, found.end())):
            return (
                {"de": "eine", "it": "un", "es": "un", "fr": "un"}.get(language, "one") if scale else found[0]
            )
        minus = f"{words.minus} " if found[1] else ""
        if found[3]:
            return numerals.written_out(f"{plainly(found[2], words)}{found[3]}", "en").strip()
        return minus + number_said(found[2], language, words)

    return re.sub(rf"{SIGNED}({words.number}){suffix}{EDGE}", number, text)
