"""What a model gets instead of what is written: respellings of words, one for each language, and whether numbers are written out."""

from dataclasses import dataclass
from typing import NewType

ReadText = NewType(
    "ReadText", str
)  # a text as a model gets it; `data.lexicon.reading.as_read` alone makes one


@dataclass(frozen=True)
class Respelling:
    """One entry of a lexicon."""

    language: str  # a tag: `pt` is for every Portuguese, `pt-BR` for that of Brazil alone
    written: str  # a word or several; all in lower case: however it is written, else exactly so
    said: str


@dataclass(frozen=True)
class Lexicon:
    """Everything that decides how written text is read; `data.lexicon.lexicon_file` makes it, in the order of languages and words."""

    respellings: tuple[Respelling, ...]
    write_out_numbers: bool  # with dates, times and sums of money, in the languages of `speech.numerals`
