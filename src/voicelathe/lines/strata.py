"""Which kind of sentence is a text? The kinds that voices fail at one by one, so that a mean hides none of them.

Length decides first, because the shortest and the longest lines fail whatever they say. Number words and names are known for the
languages of the shipped lists; in other languages digits count, and names are not recognised.
"""

import re

from voicelathe.data.text import characters, languages
from voicelathe.data.text.overlap import is_spaceless

SHORT_WORDS, LONG_WORDS = 3, 16  # at most, at least
SHORT_CHARS, LONG_CHARS = 6, 30  # the same for writing without spaces: about two characters a word
QUESTION_MARKS = tuple("?\uff1f\u061f\u037e")
CLOSING = "\"'\u00bb\u201d\u201c\u2019)\u300d\u300f "
CASELESS_NAMES = frozenset({"de", "lb"})  # every noun has a capital letter, so a capital says nothing
NUMBERS = {  # and the names of days and months: a date is read like a number
    "en": """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
        twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million monday tuesday wednesday thursday friday
        saturday sunday january february april june july august september october november december""",
    "de": """zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn
        zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert tausend million millionen montag dienstag mittwoch
        donnerstag freitag samstag sonntag januar februar märz april mai juni juli august september oktober november dezember""",
    "fr": """deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt trente quarante cinquante
        soixante cent cents mille million millions lundi mardi mercredi jeudi vendredi samedi dimanche janvier février mars avril
        mai juin juillet août septembre octobre novembre décembre""",
    "es": """dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve
        veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa cien ciento doscientos trescientos quinientos mil millón
        millones lunes martes miércoles jueves viernes sábado domingo enero febrero marzo abril mayo junio julio agosto septiembre
        octubre noviembre diciembre""",
    "it": """due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette diciotto
        diciannove venti trenta quaranta cinquanta sessanta settanta ottanta novanta cento duecento trecento mille mila milione
        milioni lunedì martedì mercoledì giovedì venerdì sabato domenica gennaio febbraio marzo aprile maggio giugno luglio agosto
        settembre ottobre novembre dicembre""",
}
HAN_NUMBER = re.compile(
    "[\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u5343\u4e07\u842c]+[\u5e74\u6708\u65e5\u53f7\u70b9\u6642\u65f6\u5206\u5186\u5143\u4e2a\u500b\u672c\u4eba\u5c81\u6b73\u697c\u968e]"
)  # a number and what is counted: a single sign such as 一 is part of many words
WORDS = {language: frozenset(said.split()) for language, said in NUMBERS.items()}
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")


def of(text: str, language: str) -> str:
    """One of records.STRATA: short and long by length, then numbers, question, names, and sentence for what is left."""
    length = size(text, language)
    spaceless = is_spaceless(language)
    if length <= (SHORT_CHARS if spaceless else SHORT_WORDS):
        return "short"
    if length >= (LONG_CHARS if spaceless else LONG_WORDS):
        return "long"
    if has_number(text, language):
        return "numbers"
    if text.rstrip(CLOSING).endswith(QUESTION_MARKS):
        return "question"
    return "names" if has_name(text, language) else "sentence"


def size(text: str, language: str) -> int:
    """Words of a text; characters where nobody writes spaces between words."""
    said = characters.words(text).split()
    return sum(map(len, said)) if is_spaceless(language) else len(said)


def has_number(text: str, language: str) -> bool:
    """Digits, number words, days and months."""
    if any(map(str.isdigit, text)):
        return True
    if languages.primary(language) in ("zh", "yue", "ja"):
        return bool(HAN_NUMBER.search(text))
    said = characters.words(text).split()
    return not WORDS.get(languages.primary(language), frozenset()).isdisjoint(said)


def has_name(text: str, language: str) -> bool:
    """A capital letter within a sentence; English `I` is none, and a language that writes every noun so has no way to tell."""
    if languages.primary(language) in CASELESS_NAMES:
        return False
    for found in WORD.finditer(text):
        word, before = found.group(), text[: found.start()].rstrip(" \"'\u00ab\u201c\u2018\u00bf\u00a1(")
        begins = not before or before[-1] in ".!?:\u2026\u2014"
        if word[0].isupper() and not begins and word.split("'")[0].split("\u2019")[0] != "I":
            return True
    return False
