"""What do subtitles or a transcript say, and when? One reader for every format; what cannot be used is named by line, never skipped silently.

SRT, WebVTT, SBV, SubStation Alpha, Praat TextGrid, Audacity labels, Whisper's TSV and JSON (OpenAI's, faster-whisper's, WhisperX's and
whisper.cpp's), the JSON of other recognisers (`services`) and plain text.
"""

import html
import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from voicelathe.data.cutting import captions, labels, texts, tiers, units
from voicelathe.data.cutting.raw import RawCue
from voicelathe.errors import SubtitleError, listing
from voicelathe.records import Cue

MAX_S = 1_000_000.0  # eleven days: a time beyond it is a slip
BARE = ("json", "labels")  # formats of numbers without a unit, which may be thousandths
MAX_BARE = 1000 * MAX_S
MAX_CHARS = 5_000  # of one cue
OVERLAP_S = 0.05  # that rounding explains
MAX_ROLLED = 40  # words of one line
MAX_SHARE = 0.5  # with more of its cues unusable, a file is not what it seems
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|<\d[\d:.]*>|\{\\[^{}]{0,200}\}")
NOT_SPOKEN = re.compile(  # noises in brackets or stars, songs between notes
    r"\[[^\[\]]*\]|\([^()]*\)|\uff08[^\uff08\uff09]*\uff09|\u3010[^\u3010\u3011]*\u3011|\*[^*]*\*|[\u266a\u266b].*[\u266a\u266b]|^\s*#[^#]*#\s*$"
)
DASH = re.compile(r"^\s*[-–—]\s*")


@dataclass
class Parsed:
    """The usable cues of a file in order of time, and what was wrong with the others."""

    format: str
    cues: list[Cue]
    problems: list[str] = field(default_factory=list)  # cues that were left out, each with its line
    notes: list[str] = field(default_factory=list)
    overlapping: frozenset[int] = frozenset()  # lines of cues that speak while another one does
    raw: tuple[RawCue, ...] = ()  # of a format without a unit, as the file has them

    @property
    def is_timed(self) -> bool:
        return bool(self.cues) and self.cues[0].start_s is not None


def read(path: Path, tier: str | None = None, *, language: str = "en", encoding: str | None = None) -> Parsed:
    """The cues of a file in a language. Raises SubtitleError when it holds none, or is none of the formats."""
    notes: list[str] = []
    text = texts.read(path, notes, language, encoding)
    kind = texts.format_of(text, path, notes)
    raw, problems = _raw(kind, text, path, tier)
    found = Parsed(kind, [], [f"{path}:{problem}" for problem in problems], notes)
    if kind in BARE:
        found.raw = tuple(raw)
    _fill(found, raw, path)
    return found


def in_seconds(found: Parsed, path: Path, duration_s: float) -> Parsed:
    """The cues of a recording of that length, where the file gives their times in another unit. Raises SubtitleError."""
    unit = units.of(found.cues, duration_s) if found.raw else None
    if unit is None:
        return found
    raw = [
        replace(one, start_s=one.start_s * unit.seconds, end_s=one.end_s * unit.seconds)
        if one.start_s is not None and one.end_s is not None
        else one
        for one in found.raw
    ]
    made = Parsed(found.format, [], [], [f"{path}: the times are {unit.name}; they were taken as such."])
    _fill(made, raw, path)
    return made


def _fill(found: Parsed, raw: Sequence[RawCue], path: Path) -> None:
    kind = found.format
    _clean(found, raw, path)
    _in_order(found, path)
    if not found.cues:
        told = f"\n{listing(found.problems)}" if found.problems else ""
        raise SubtitleError(
            f"{path}: no usable cue in it (read as {kind}).{told}\nCorrect the file, or give another one: --subtitles FILE"
        )
    num_broken = len(found.problems)
    if num_broken > MAX_SHARE * (num_broken + len(found.cues)):
        raise SubtitleError(
            f"{path}: {num_broken} of {num_broken + len(found.cues)} cues cannot be used (read as {kind}):\n"
            f"{listing(found.problems)}\nCorrect the file, or give another one: --subtitles FILE"
        )


def _raw(kind: str, text: str, path: Path, tier: str | None) -> tuple[list[RawCue], list[str]]:
    if kind in ("srt", "vtt"):
        return captions.read(text, kind == "vtt")
    if kind == "textgrid":
        return tiers.textgrid(text, path, tier)
    if kind == "json":
        return tiers.whisper(text, path)
    plain = {
        **{"sbv": captions.sbv, "substation": captions.substation},
        **{"table": tiers.table, "labels": tiers.labels, "text": tiers.plain},
    }
    return plain[kind](text)


def _clean(found: Parsed, raw: Sequence[RawCue], path: Path) -> None:
    """Markup off, times checked; what nobody speaks is left out and counted."""
    num_silent = 0
    for cue in raw:
        if (problem := _problem(cue, MAX_BARE if found.raw else MAX_S)) is not None:
            found.problems.append(f"{path}:{cue.line}: {problem}")
            continue
        text = _spoken(cue.text)
        if not any(map(str.isalnum, NOT_SPOKEN.sub(" ", text))):
            num_silent += 1
            continue
        found.cues.append(Cue(cue.line, cue.start_s, cue.end_s, text, cue.speaker))
    found.cues, names = labels.taken_off(found.cues)
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        found.notes.append(
            f"{path}: who speaks stands before the words ({shown}); it was taken off, and names the speaker."
        )
    if num_silent:
        found.notes.append(
            f"{path}: {num_silent} cues say nothing that is spoken (empty, music, in brackets)."
        )


def _problem(cue: RawCue, most_s: float) -> str | None:
    if cue.problem is not None:
        return cue.problem
    if len(cue.text) > MAX_CHARS and cue.start_s is not None:
        return f"a cue of {len(cue.text)} characters, at most {MAX_CHARS}"
    if any(unicodedata.category(one) == "Cs" for one in cue.text):
        return "half of a character (a lone surrogate)"
    if cue.start_s is None or cue.end_s is None:
        return None
    if not (math.isfinite(cue.start_s) and math.isfinite(cue.end_s)):
        return f"a time that is no number ({cue.start_s} to {cue.end_s})"
    if cue.start_s < 0 or cue.end_s > most_s:
        return f"{cue.start_s:g} to {cue.end_s:g} s is no time in a recording"
    if cue.end_s <= cue.start_s:
        return f"ends at {cue.end_s:g} s, not after its start at {cue.start_s:g} s"
    return None


def _spoken(text: str) -> str:
    lines = [DASH.sub("", labels.TURN.sub("", html.unescape(TAG.sub("", line)))) for line in text.split("\n")]
    return " ".join(" ".join(lines).replace("\u200b", "").replace("\ufeff", "").split())


def _in_order(found: Parsed, path: Path) -> None:
    """Sorted by time; a line that rolls up from one cue into the next is said once."""
    if not found.is_timed:
        return
    timed = sorted(found.cues, key=lambda cue: (cue.start_s or 0.0, cue.line))
    if [cue.line for cue in timed] != [cue.line for cue in found.cues]:
        found.notes.append(f"{path}: the cues are not in the order of their times; they were sorted.")
    found.cues, num_rolled = _unrolled(timed)
    if num_rolled:
        found.notes.append(
            f"{path}: {num_rolled} cues repeat the line before them (rolling captions); it was kept once."
        )
    overlapping: set[int] = set()
    last: Cue | None = None  # that speaks longest of those before
    for cue in found.cues:
        if last is not None and (cue.start_s or 0.0) < (last.end_s or 0.0) - OVERLAP_S:
            overlapping |= {last.line, cue.line}
        if last is None or (cue.end_s or 0.0) > (last.end_s or 0.0):
            last = cue
    found.overlapping = frozenset(overlapping)
    if overlapping:
        found.notes.append(f"{path}: {len(overlapping)} cues overlap another one in time.")


def _unrolled(cues: Sequence[Cue]) -> tuple[list[Cue], int]:
    """Cues without the words that the cue before them, which touches them, ended with. Two cues are the least to tell a roll from an echo."""
    repeats = [_repeated(one, other) for one, other in itertools.pairwise(cues)]
    if sum(map(bool, repeats)) < max(3, len(cues) // 3):
        return list(cues), 0
    kept = list(cues[:1])
    for cue, num in zip(cues[1:], repeats, strict=True):
        rest = cue.text[num:].strip()
        if rest:
            kept.append(replace(cue, text=rest))
        else:
            kept[-1] = replace(kept[-1], end_s=max(kept[-1].end_s or 0.0, cue.end_s or 0.0))
    return kept, sum(map(bool, repeats))


def _repeated(before: Cue, cue: Cue) -> int:
    """Characters at the beginning of a cue that are the end of the one before, at least two words of it or all."""
    if (cue.start_s or 0.0) - (before.end_s or 0.0) > 0.2:
        return 0
    words = cue.text.split()
    for num in range(min(len(words), MAX_ROLLED), 0, -1):
        head = " ".join(words[:num])
        if (num >= 2 or head == before.text) and (before.text == head or before.text.endswith(f" {head}")):
            return len(head)
    return 0
