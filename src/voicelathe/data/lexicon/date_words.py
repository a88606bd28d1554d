"""Dates and times as words."""

import re

from voicelathe.data.lexicon.number_forms import APART, EDGE, SPACE, NumberWords, cardinal, mended
from voicelathe.speech import numerals


def dates(text: str, language: str, words: NumberWords) -> str:
    months = "|".join(words.months)

    def date(found: re.Match[str]) -> str:
        parts = found.groupdict()
        day = int(parts["day"])
        month = words.months[int(parts["month"]) - 1] if parts["month"].isdigit() else parts["month"]
        year = int(parts["year"]) if parts.get("year") else None
        if parts.get("of"):  # English, the day first
            the = parts["the"] or "the "
            of = f"{the}{numerals.written_out(f'{day}th', 'en').strip()} of {month}"
            return of if year is None else f"{of}, {year_said(year, language)}"
        return _date(day, month, year, language, text[: found.start()])

    day, numbered = r"(?P<day>[12]\d|3[01]|0?[1-9])", r"(?P<month>1[0-2]|0?[1-9])"
    year = r"(?P<year>1\d{3}|20\d\d)"
    text = re.sub(rf"{APART}{year}-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01]){EDGE}", date, text)
    if language == "en":
        text = re.sub(
            rf"\b(?P<month>{months}){SPACE}{day}(?:st|nd|rd|th)?(?:,?{SPACE}{year})?{EDGE}", date, text
        )
        first = rf"{APART}(?P<the>[Tt]he{SPACE})?{day}(?:st|nd|rd|th)?(?P<of>{SPACE})(?P<month>{months})(?:,?{SPACE}{year})?{EDGE}"
        return re.sub(first, date, text)
    dot = r"\." if language == "de" else "/"
    text = re.sub(rf"{APART}{day}{dot}{numbered}{dot}{year}{EDGE}", date, text)
    if language == "de":
        return re.sub(rf"{APART}{day}\.{SPACE}?(?P<month>{months})(?:{SPACE}{year})?{EDGE}", date, text)
    of = f"de{SPACE}" if language == "es" else ""
    named = rf"{APART}{day}(?:er|º|°)?{SPACE}{of}(?P<month>{months})(?:{SPACE}(?:del?{SPACE})?{year})?{EDGE}"
    return re.sub(named, date, text)


def _date(day: int, month: str, year: int | None, language: str, before: str) -> str:
    said = cardinal(day, language)
    if language == "en":
        said = f"{month} {numerals.written_out(f'{day}th', 'en').strip()}"
        return said if year is None else f"{said}, {year_said(year, language)}"
    if language == "de":
        said = f"{_german_ordinal(day)}{_german_ending(before)}"
    elif day == 1 and language in ("fr", "it"):
        said = "uno" if before[-1:] in ("'", "\u2019") else {"fr": "premier", "it": "primo"}[language]
    of = "de " if language == "es" else ""
    behind = "" if year is None else f" {of}{year_said(year, language)}"
    return f"{said} {of}{month}{behind}"


def _german_ordinal(day: int) -> str:
    odd = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
    return odd.get(day) or cardinal(day, "de") + ("t" if day < 20 else "st")


def _german_ending(before: str) -> str:
    word = (before.split() or [""])[-1].lower()
    if word in (
        "am",
        "vom",
        "zum",
        "dem",
        "den",
        "des",
        "bis",
        "beim",
        "seit",
        "ab",
        "jeden",
        "jedem",
        "diesen",
        "diesem",
        "nächsten",
        "letzten",
    ):
        return "en"
    return "e" if word in ("der", "dieser", "jeder") else "er"


def year_said(year: int, language: str) -> str:
    way = numerals.YEAR if 1100 <= year < 2000 or (language == "en" and year >= 2010) else numerals.CARDINAL
    return mended(" ".join(numerals.written_out(str(year), language, way).split()), language)


def times(text: str, language: str, words: NumberWords) -> str:
    colon = "[:h]" if language == "fr" else ":"
    behind = {"de": r"(?:\s?(?:Uhr|h)\b)?", "es": r"(?:\s?h\b)?", "it": r"(?:\s?h\b)?"}.get(language, "")
    half = r"(?P<half>\s?[apAP]\.?[mM]\b\.?)?" if language == "en" else "(?P<half>)"
    if language == "de":
        text = re.sub(rf"{APART}1(?=\s?Uhr\b)", "ein", text)

    def time(found: re.Match[str]) -> str:
        hours, minutes, half_day = int(found[1]), int(found[2]), (found["half"] or "").strip()
        if language == "en" and not minutes and not 1 <= hours <= 12:
            return found[0]  # hundred hours, midnight: who knows
        parts = [cardinal(hours, language)]
        if language in ("es", "it"):
            parts[0] = re.sub(r"\buno$", "una", re.sub("veintiuno$", "veintiuna", parts[0]))
        if language == "fr":
            parts[0] = re.sub("un$", "une", parts[0])
        if language == "de" and hours in (1, 21):
            parts[0] = re.sub("eins$", "ein", parts[0])
        between = "heure" if language == "fr" and hours < 2 else words.time
        if minutes:
            oh = "oh" if language == "en" and minutes < 10 else ""
            said = cardinal(minutes, language)
            parts += [between, oh, re.sub("un$", "une", said) if language == "fr" else said]
        elif not half_day:
            parts.append("heure" if language == "fr" and hours < 2 else words.hour)
        return " ".join(part for part in [*parts, half_day] if part)

    return re.sub(rf"{APART}([01]?\d|2[0-3]){colon}([0-5]\d){behind}{half}{EDGE}", time, text)
