"""Is a take as long as its text wants? How fast a recipe speaks, and how long its texts are, is known from what it was trained on and judged by.

Every family here loses words in texts that are longer than those it learned from, and says so nowhere: the take is merely too short
(OpenBMB/VoxCPM#244, 2noise/ChatTTS#557). So a text is cut to the length of the longest training text, and `takes` repeats a take that is
much faster or slower than the recipe's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicelathe import layout, records
from voicelathe.data.text import languages
from voicelathe.records import CleanClip
from voicelathe.registry.speaking import sentences
from voicelathe.tracking.files import RunFiles, Shown

TOO_FAST, TOO_SLOW = "too_fast", "too_slow"
MARGIN = 1.5  # beyond the fastest and the slowest hundredth of the training clips
TAIL = 0.01
DIGIT = 4  # letters that a digit sounds like
LEAST_CHARS = 24  # shorter texts are mostly pauses: their pace says nothing
LEAST_PIECE = 60  # shorter pieces sound like a list


@dataclass(frozen=True)
class Pace:
    """What is usual for a recipe. `None`: nothing is known, and nothing is objected to (versions registered earlier)."""

    slowest: float | None = None  # letters a second
    fastest: float | None = None
    piece_chars: int = sentences.PIECE_CHARS
    languages: tuple[str, ...] = ()  # primary tags of what it was learned from; none: any

    def spoken_in(self, language: str) -> "Pace":
        """What is usual in a language: nothing is known of one that the training clips do not have."""
        known = not self.languages or languages.primary(language) in self.languages
        return self if known else Pace(piece_chars=self.piece_chars)

    def fault(self, text: str, duration_s: float) -> str | None:
        """TOO_FAST, TOO_SLOW, or None."""
        if self.fastest is None or self.slowest is None or len(text) < LEAST_CHARS or duration_s <= 0:
            return None
        rate = letters(text) / duration_s
        if rate > self.fastest:
            return TOO_FAST
        return TOO_SLOW if rate < self.slowest else None


def of_config(config: Mapping[str, Any]) -> Pace:
    """The pace of a registered version."""
    kept = dict(config.get("pace") or {})
    return Pace(**{**kept, "languages": tuple(kept.get("languages", ()))})


def of_recipe(files: RunFiles, shown: Shown) -> Pace:
    """From the training clips and the candidate's own samples: no line that was judged is ever objected to or cut otherwise."""
    clips = records.read(files.root / layout.split("train"), CleanClip)
    judged = [one for one in shown.samples if one.problem is None and one.duration_s > 0]
    texts = [*(one.text for one in clips), *(one.text for one in judged)]
    longest = max(map(len, texts), default=sentences.PIECE_CHARS)
    piece = min(max(longest, LEAST_PIECE), sentences.PIECE_CHARS)
    rates = sorted(letters(one.text) / one.duration_s for one in clips if _tells(one.text, one.duration_s))
    own = [letters(one.text) / one.duration_s for one in judged if _tells(one.text, one.duration_s)]
    if not rates:
        return Pace(piece_chars=piece)
    tail = int(len(rates) * TAIL)
    slowest = min([rates[tail] / MARGIN, *own])
    fastest = max([rates[-1 - tail] * MARGIN, *own])
    spoken = tuple(sorted({languages.primary(one.language) for one in clips}))
    return Pace(round(slowest, 3) - 0.001, round(fastest, 3) + 0.001, piece, spoken)


def letters(text: str) -> int:
    """Length of what is spoken: a digit is a word."""
    return len(text) + (DIGIT - 1) * sum(one.isdigit() for one in text)


def _tells(text: str, duration_s: float) -> bool:
    return len(text) >= LEAST_CHARS and duration_s > 0
