"""Was a text of one 8-bit encoding read as another? Polish of cp1250, read as cp1252, is "za¿ó³æ": all of it decodes, and the letters are wrong.

Told by the letters of the language: read again, every letter is one of them, and strange ones were there before. One strange letter may
be of a foreign name, so it takes two, or a sign inside a word; for shorter texts, other rows of the language tell.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from voicelathe.data.text import charsets, orthography

Pair = tuple[str, str]  # the encoding that a text was read as, and its own
READ_AS = ("cp1252", "cp1250", "mac-roman", "cp850", "cp437", "cp1251", "koi8-u", "cp866")
# Beside words by right; what else stands there and is no letter is strange.
USUAL_SIGNS = frozenset(
    "'\u2019\u2018\u201a\u201b\u201c\u201d\u201e«»\u2039\u203a\u2010\u2011\u2012\u2013\u2014\u2026·•¿¡ªº°§€£¥©®™\u00a0"
)
INSIDE = frozenset("'\u2019\u2018\u2010\u2011\u2013\u2014\u2026·")  # a word, by right
QUOTES = frozenset("\u201a\u201c\u201d\u201e")  # inside one where a space was forgotten, too
INITIAL = re.compile(r"\b\w")
QUOTE_INSIDE = re.compile("[^\\W\\d_][\u201a\u201c\u201d\u201e][^\\W\\d_]")
MIXED = re.compile("[a-zA-Z][^\\W\\d_a-zA-Z]|[^\\W\\d_a-zA-Z][a-zA-Z]")  # no word of Cyrillic or Greek
SURE = 2  # different strange letters, or one sign inside a word
LEAST_WORDS = 3  # different ones with a strange letter, where no row is long enough to be sure


@dataclass(frozen=True)
class Misread:
    """How a text becomes one of its language again."""

    read_as: str
    written_in: str
    meant: str
    strange: int  # how much speaks for it

    @property
    def pair(self) -> Pair:
        return self.read_as, self.written_in


def readings(text: str, language: str) -> list[Misread]:
    """Every pair of encodings that makes all of a text letters of its language, where some of it was none."""
    letters = orthography.letters(language)
    if text.isascii() or not letters or not _is_odd(text, letters):
        return []
    found = []
    for read_as in READ_AS:
        for written_in in orthography.encodings(language):
            meant = charsets.read_again(text, read_as, written_in) if read_as != written_in else None
            points = _points(text, meant, letters) if meant and _is_good(text, meant, letters) else 0
            if meant and points:
                found.append(Misread(read_as, written_in, meant, points))
    return found


def judge(texts: Sequence[str], language: str) -> dict[int, Misread]:
    """Texts of one language that were misread, by their place."""
    found = {at: some for at, text in enumerate(texts) if (some := readings(text, language))}
    believed = {one.pair for some in found.values() for one in some if one.strange >= SURE}
    words: defaultdict[Pair, set[str]] = defaultdict(set)
    for at, some in found.items():
        for one in some:
            words[one.pair] |= set(texts[at].split()) - set(one.meant.split())
    letters = orthography.letters(language)
    for pair, some_words in words.items():
        if len(some_words) >= LEAST_WORDS and not any(_has_own(text, pair, letters) for text in texts):
            believed.add(pair)
    named = {
        at: next((one for one in some if one.strange >= SURE or one.pair in believed), None)
        for at, some in found.items()
    }
    return {at: one for at, one in named.items() if one is not None}


def _is_odd(text: str, letters: frozenset[str]) -> bool:
    if {one for one in text if not one.isascii()} - letters - USUAL_SIGNS or QUOTE_INSIDE.search(text):
        return True
    behind = INITIAL.sub("", text)
    return behind != behind.lower() and _num_inner(text) > 0


def _is_good(text: str, meant: str, letters: frozenset[str]) -> bool:
    """Whether only letters of the language and usual signs came out, and no capital inside a word."""
    came = {new for old, new in zip(text, meant, strict=True) if old != new}
    held = {one for one in meant if one.isalpha() and not one.isascii()}
    is_foreign = MIXED.search(meant) and not any(one.isascii() for one in map(_base, letters))
    return held <= letters and came <= letters | USUAL_SIGNS and not _num_inner(meant) and not is_foreign


def _points(text: str, meant: str, letters: frozenset[str]) -> int:
    """Different strange letters and signs at the edge of a word; a sign or a capital inside of one is as sure as two."""
    strange: set[str] = set()
    points = SURE * (_num_inner(text) > 0 and _num_capitals(meant) < _num_capitals(text))
    for at, (old, new) in enumerate(zip(text, meant, strict=True)):
        if old == new or not new.isalpha():
            continue
        sides = [side.isalpha() for side in (text[at - 1 : at] if at else "", text[at + 1 : at + 2])]
        if old.isalpha():
            strange |= {old.lower()} - letters
        elif all(sides) and old not in INSIDE | QUOTES:
            points += SURE
        elif (
            (all(sides) and old in QUOTES)
            or (any(sides) and old not in USUAL_SIGNS | INSIDE)
            or (old == "¿" and sides[1])
        ):
            strange.add(old)
    return points + len(strange)


@cache
def _base(letter: str) -> str:
    return unicodedata.normalize("NFD", letter)[0]


def _num_inner(text: str) -> int:
    """Capitals behind a small letter, at least one of the two beyond ASCII."""
    return sum(
        one.islower() and other.isupper() and not (one + other).isascii() for one, other in pairwise(text)
    )


def _num_capitals(text: str) -> int:
    return sum(map(str.isupper, text))


def _has_own(text: str, pair: Pair, letters: frozenset[str]) -> bool:
    """Whether a text has letters of its language that would be others, or none, if it had been misread so."""
    own = "".join({one for one in text if one in letters})
    return bool(own) and charsets.read_again(own, *pair) != own
