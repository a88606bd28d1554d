"""The one door between written text and a model: entries of the lexicon take the place of words, then numbers are written out.

Everybody else (the audit, the recogniser, pages, records) keeps the written text. Both sides use it: the worker for clips and lines,
the parent to show and to check. Nothing is read twice: what an entry says is not looked up again.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from voicelathe.data.lexicon import number_words
from voicelathe.data.text import languages
from voicelathe.records.lines import Lexicon, ReadText, Respelling

APOSTROPHES = "'\u2019\u02bc"
JOINERS = "\u200c\u200d"  # inside words of Persian, Hindi and others
RUNNING = frozenset(
    ["CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"]
)
BESIDE_OTHERS = RUNNING | {
    "HANGUL"
}  # whose letters may stand right behind a word of another script, as particles do
PLACEHOLDERS = "\ua66e\ua668\ua66a\ua66c"  # letters of a few old manuscripts; a text has at most some of them
ELIDED = {  # what stands before an apostrophe and is a word of its own
    "fr": frozenset(["c", "d", "j", "l", "m", "n", "s", "t", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu"]),
    "it": frozenset(["d", "l", "un", "all", "coll", "dall", "dell", "nell", "quell", "quest", "sull"]),
    "ca": frozenset(["d", "l", "m", "n", "s", "t"]),
}


def as_read(lexicon: Lexicon | None, text: str, language: str, control: str | None = None) -> ReadText:
    """The text as a model gets it; without a lexicon, as it is written. A control stands in front as it is written: no lexicon reads it."""
    read = text if lexicon is None else _reader(lexicon, language).read(text)
    return ReadText(f"{in_front(control)}{read}")


def in_front(control: str | None) -> str:
    """How upstream writes a control: in brackets, without a space behind them (voxcpm 2.0.3, cli.py)."""
    return f"({control})" if control else ""


def changed(lexicon: Lexicon, text: str, language: str) -> list[Respelling]:
    """The entries that change this text, in the order in which they stand in it."""
    return [part for part in _reader(lexicon, language).parts(text) if not isinstance(part, str)]


def entries_of(lexicon: Lexicon, language: str) -> list[Respelling]:
    """The entries for a language; those for its region take the place of those for all of it."""
    tag = languages.canonical(language)
    wanted = [tag[:end] for end in range(1, len(tag) + 1) if end == len(tag) or tag[end] == "-"]
    found: dict[str, Respelling] = {}
    for part in wanted:
        found |= {folded(one.written): one for one in lexicon.respellings if one.language == part}
    return list(found.values())


def folded(word: str) -> str:
    """By which two entries are the same one: without case, Unicode form, width of spaces and shape of apostrophes."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())
    return " ".join(re.sub(f"[{APOSTROPHES}]", "'", plain).split())


@dataclass(frozen=True)
class _Entry:
    pattern: re.Pattern[str]
    respelling: Respelling


@dataclass(frozen=True)
class _Reader:
    """The entries of one language, by the first letter, the longest first."""

    language: str  # without its region
    by_first: Mapping[str, list[_Entry]]
    write_out: Callable[[str], str]

    def read(self, text: str) -> str:
        return "".join(part if isinstance(part, str) else part.said for part in self.parts(text))

    def parts(self, text: str) -> list[str | Respelling]:
        """The text as it is read, with an entry wherever one stands for something.

        Numbers are written out with a letter in the place of each entry, so that what stands behind or before one is read as it would be
        without: `COVID-19` is a code, whether or not COVID has an entry. Entries are then looked up in the words that came of numbers.
        """
        first = self._split(text)
        mark = next((letter for letter in PLACEHOLDERS if letter not in text), None)
        if mark is None:
            return first
        masked = "".join(part if isinstance(part, str) else mark for part in first)
        if (written := self.write_out(masked)) == masked:
            return first
        entries, parts = iter([part for part in first if not isinstance(part, str)]), list[str | Respelling]()
        for part in self._split(written):
            if not isinstance(part, str):
                parts.append(part)
                continue
            for number, piece in enumerate(part.split(mark)):
                parts += [next(entries), piece] if number else [piece]
        return parts

    def _split(self, text: str) -> list[str | Respelling]:
        parts, at = list[str | Respelling](), 0
        for start, end, entry in self.found(text):
            parts += [text[at:start], entry]
            at = end
        return [*parts, text[at:]]

    def found(self, text: str) -> Iterator[tuple[int, int, Respelling]]:
        """From left to right, at each place the longest."""
        at = 0
        while at < len(text):
            end, entry = self._at(text, at)
            if entry is not None:
                yield at, end, entry
            at = end

    def _at(self, text: str, at: int) -> tuple[int, Respelling | None]:
        candidates = self.by_first.get(_first(text[at]), ())
        if candidates and _begins(text, at, self.language):
            for entry in candidates:
                match = entry.pattern.match(text, at)
                if match and _ends(text, match.end()):
                    return match.end(), entry.respelling
        return at + 1, None


_last: dict[str, _Reader] = {}
_of: list[Lexicon] = []  # whose readers these are: at most one


def _reader(lexicon: Lexicon, language: str) -> _Reader:
    """Kept for the lexicon that was asked last: to compare thousands of entries for every text would cost more than to read it."""
    global _of, _last
    if not _of or _of[0] is not lexicon:
        _of, _last = [lexicon], {}
    kept = _last
    if language not in kept:
        kept[language] = _made(lexicon, language)
    return kept[language]


def _made(lexicon: Lexicon, language: str) -> _Reader:
    by_first: dict[str, list[_Entry]] = {}
    for one in sorted(
        entries_of(lexicon, language), key=lambda one: (-len(folded(one.written)), one.written)
    ):
        by_first.setdefault(_first(one.written), []).append(_Entry(_pattern(one.written), one))
    primary = languages.primary(language)

    def written(text: str) -> str:
        return number_words.written_out(text, primary) if lexicon.write_out_numbers else text

    return _Reader(primary, by_first, written)


def _pattern(word: str) -> re.Pattern[str]:
    """A word in both Unicode forms. One that is written in lower case alone is found however it is written."""
    plain = " ".join(unicodedata.normalize("NFC", word).split())
    letters = []
    for one in plain:
        apart = unicodedata.normalize("NFD", one)
        if one == " ":
            letters.append(r"\s+")
        elif one in APOSTROPHES:
            letters.append(f"[{APOSTROPHES}]")
        else:
            letters.append(re.escape(one) if apart == one else f"(?:{re.escape(one)}|{re.escape(apart)})")
    return re.compile("".join(letters), re.IGNORECASE if plain == plain.lower() else 0)


@lru_cache(maxsize=4096)
def _first(letter: str) -> str:
    """Under which letter entries are looked up, whatever its case and form."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", letter[0]).casefold())[0]


def _begins(text: str, at: int, language: str) -> bool:
    """Whether a word may begin here."""
    first = text[at]
    if _is_mark(first):
        return False
    if at == 0 or not _is_word(first):
        return True
    before = text[at - 1]
    if before in APOSTROPHES and at > 1 and _is_word(text[at - 2]):
        return _word_before(text, at - 1).lower() in ELIDED.get(language, ())
    return not _is_word(before) or _is_seam(before, first)


def _ends(text: str, end: int) -> bool:
    """Whether a word may end here: never before a mark of its last letter; an English 's is left where it is."""
    if end == len(text):
        return True
    last, after = text[end - 1], text[end]
    if _is_mark(after):
        return False
    if not _is_word(last):
        return True
    if after in APOSTROPHES and end + 1 < len(text) and _is_word(text[end + 1]):
        return text[end + 1] in "sS" and (end + 2 == len(text) or not _is_word(text[end + 2]))
    return not _is_word(after) or _is_seam(last, after)


def _word_before(text: str, end: int) -> str:
    start = end
    while start and _is_word(text[start - 1]):
        start -= 1
    return text[start:end]


def _is_seam(one: str, other: str) -> bool:
    """Whether words may meet between these letters without a space."""
    scripts = _script(one), _script(other)
    return any(script in RUNNING for script in scripts) or (
        scripts[0] != scripts[1] and any(script in BESIDE_OTHERS for script in scripts)
    )


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return (
        unicodedata.name(letter, "UNKNOWN").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split()[0]
    )


@lru_cache(maxsize=4096)
def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_" or _is_mark(letter)


def _is_mark(letter: str) -> bool:
    return letter in JOINERS or unicodedata.category(letter).startswith("M")
