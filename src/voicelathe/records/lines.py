"""Lines: the sentences that every candidate speaks; and a lexicon: what a model gets instead of what is written."""

from dataclasses import dataclass
from typing import NewType

HELD_OUT = "held-out-"  # in front of the id of a line that the speaker said: a clip of the validation split
LONG = "long-"  # in front of the id of a line that only some candidates speak
STRATA = ("short", "sentence", "long", "numbers", "question", "names")

ReadText = NewType(
    "ReadText", str
)  # a text as a model gets it; `data.lexicon.reading.as_read` alone makes one


@dataclass(frozen=True)
class PackLine:
    """One line of a pack: a sentence, and what kind of sentence it is."""

    id: str  # of a held-out line: HELD_OUT and the id of its clip
    text: str
    language: str
    speaker: str | None  # who said it, for a held-out line; None: anybody may say it
    stratum: str  # one of STRATA; a line that fits several is in the first of lines.strata
    clip_id: str | None  # the clip of the validation split that is its real recording; None: a written line
    recording_id: str | None  # of that clip

    @property
    def is_held_out(self) -> bool:
        return self.clip_id is not None


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
