"""Cues of Praat TextGrids, Audacity's labels, Whisper's JSON, and plain text, which has words and no times."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from voicelathe.data.cutting import services
from voicelathe.data.cutting.raw import RawCue
from voicelathe.errors import SubtitleError

LABEL = re.compile(
    r"^[ \t]*(-?[\d.,]+|-?nan|-?inf)\t(-?[\d.,]+|-?nan|-?inf)(?:\t([^\n]*))?$", re.IGNORECASE | re.MULTILINE
)
TABLE = re.compile(r"\s*start\tend\ttext[ \t]*\n", re.IGNORECASE)
FREQUENCIES = re.compile(r"^\\\t")  # Audacity's second line of a label with a range of frequencies
TOKEN = re.compile(r'"((?:[^"]|"")*)"|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?=\s|$)|(<exists>)')
SEGMENTS = ("segments", "transcription", "chunks", "utterances")
TIMES = (("start", "end"), ("t0", "t1"), ("start_time", "end_time"), ("start_s", "end_s"))  # of one segment
MAX_TIERS = 1000
SENTENCES = ("sentences", "utterances", "sentence", "utterance")  # tiers, of several
SENTENCE = re.compile(r"[^\s].*?(?:[.!?…。！？]+[\"'”’)\]]*(?=\s|$)|[。！？]+|$)", re.DOTALL)  # fmt: skip


# --- Audacity --------------------------------------------------------------------------------------------------------


def labels(text: str) -> tuple[list[RawCue], list[str]]:
    """Lines of start, end and text between tabs; where people write commas, Audacity does, too."""
    cues: list[RawCue] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or FREQUENCIES.match(line):
            continue
        found = LABEL.match(line)
        times = (_float(found[1]), _float(found[2])) if found else (None, None)
        if found is None or None in times:
            problems.append(
                f"{number}: not a label (start, end and text between tabs): {line.strip()[:80]!r}"
            )
        else:
            cues.append(RawCue(number, times[0], times[1], found[3] or ""))
    return cues, problems


def table(text: str) -> tuple[list[RawCue], list[str]]:
    """Whisper's .tsv: start and end in thousandths of a second below a header, or in seconds with a fraction; the same without one are labels."""
    if not TABLE.match(text):
        return labels(text)
    cues, problems = labels(TABLE.sub("", text, count=1))
    is_fine = any(time is not None and time % 1 for one in cues for time in (one.start_s, one.end_s))
    read = _as_it_is if is_fine else _thousandth
    return [
        replace(one, start_s=read(one.start_s), end_s=read(one.end_s), line=one.line + 1) for one in cues
    ], [_next_line(problem) for problem in problems]


def _as_it_is(value: Any) -> float | None:
    return value if _is_number(value) else None


def _next_line(problem: str) -> str:
    number, _, rest = problem.partition(":")
    return f"{int(number) + 1}:{rest}"


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


# --- TextGrid --------------------------------------------------------------------------------------------------------


def textgrid(text: str, path: Path, tier: str | None) -> tuple[list[RawCue], list[str]]:
    """Intervals of one tier, of a long or a short TextGrid: both hold the same values in the same order."""
    try:
        tiers = list(_tiers(_values(text)))
    except (StopIteration, RuntimeError, TypeError, ValueError, OverflowError):
        raise SubtitleError(
            f"{path}: a TextGrid that breaks off or is not as Praat writes it. Open it in Praat and save it again as text."
        ) from None
    full = [one for one in tiers if any(cue.text.strip() for cue in one[1])] or tiers[:1]
    usual = [one for one in full if one[0].lower() in SENTENCES]
    found = (
        [one for one in tiers if one[0] == tier] if tier is not None else full if len(full) == 1 else usual
    )
    if len(found) == 1:
        return found[0][1], []
    names = ", ".join(repr(name) for name, _ in (full if tier is None else tiers)) or "none"
    if tier is not None and len(found) > 1:
        raise SubtitleError(f"{path}: two tiers are called {tier!r}. Rename one of them in Praat.")
    raise SubtitleError(
        f"{path}: the interval tiers with a text are {names}. Say which one holds what is said: --tier NAME"
    )


def _values(text: str) -> Iterator[str | float]:
    body = text.split("\n", 2)[-1]  # behind the two lines of the header
    for found in TOKEN.finditer(body):
        if found[3]:
            continue
        yield float(found[2]) if found[2] else (found[1] or "").replace('""', '"')


def _tiers(values: Iterator[str | float]) -> Iterator[tuple[str, list[RawCue]]]:
    first = next(values)
    if first == "TextGrid":
        first = next(values)
    float(first), float(next(values))  # the whole file's start and end
    count = int(float(next(values)))
    if not 0 <= count <= MAX_TIERS:
        raise ValueError(count)
    for _ in range(count):
        kind, name = next(values), next(values)
        float(next(values)), float(next(values))
        num = int(float(next(values)))
        if kind == "IntervalTier":
            yield str(name), [_interval(values, number) for number in range(1, num + 1)]
        else:
            for _ in range(num):
                next(values), next(values)


def _interval(values: Iterator[str | float], number: int) -> RawCue:
    start_s, end_s, said = float(next(values)), float(next(values)), next(values)
    if not isinstance(said, str):
        raise TypeError(said)
    return RawCue(number, start_s, end_s, said)


# --- Whisper ---------------------------------------------------------------------------------------------------------


def whisper(text: str, path: Path) -> tuple[list[RawCue], list[str]]:
    """Segments as OpenAI's whisper, faster-whisper's and WhisperX's tools and whisper.cpp write them, and those of `services`."""
    try:
        value: Any = _document(text)
    except (ValueError, RecursionError) as problem:
        raise SubtitleError(f"{path}: not JSON ({problem}). Let the tool write the file again.") from None
    found = services.segments(value, path.stem)
    if isinstance(found, str):
        return plain(found)
    value = value if found is None else found
    held = value
    if isinstance(held, dict):
        held = next((held[name] for name in SEGMENTS if isinstance(held.get(name), list)), None)
    if not isinstance(held, list):
        raise SubtitleError(
            f"{path}: JSON without a list of segments that is known{_keys(value)}. Whisper's own files have `segments`, Deepgram's `results`, FunASR's "
            "`sentence_info`. Let the tool write SRT, or give another file: --subtitles FILE"
        )
    return [_segment(number, one) for number, one in enumerate(held, 1)], []


def _keys(value: Any) -> str:
    return f"; its keys are {', '.join(map(str, value))[:200]}" if isinstance(value, dict) else ""


def _document(text: str) -> Any:
    """One value, or a segment a line. Raises ValueError."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise
        return [json.loads(line) for line in lines]


def _segment(number: int, one: Any) -> RawCue:
    if not isinstance(one, dict) or not isinstance(one.get("text"), str):
        return RawCue(number, None, None, "", problem=f"segment {number} has no text")
    start, end = next(
        ((one.get(first), one.get(last)) for first, last in TIMES if first in one), (None, None)
    )
    if isinstance(offsets := one.get("offsets"), dict):
        start, end = (_thousandth(offsets.get(name)) for name in ("from", "to"))
    elif isinstance(pair := one.get("timestamp"), list) and len(pair) == 2:
        start, end = pair
    start, end = (services.of_clock(time) if isinstance(time, str) else time for time in (start, end))
    if start is None or end is None or not (_is_number(start) and _is_number(end)):
        return RawCue(number, None, None, "", problem=f"segment {number} has no start and end in seconds")
    speaker = one.get("speaker")
    named = speaker.strip() if isinstance(speaker, str) and speaker.isprintable() else ""
    return RawCue(number, float(start), float(end), one["text"], named or None)


def _thousandth(value: Any) -> float | None:
    return value / 1000 if _is_number(value) else None


def _is_number(value: Any) -> bool:
    """NaN and infinity count: JSON of Python has them, and they are named as times that are no numbers."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 1 << 53)


# --- plain text ------------------------------------------------------------------------------------------------------


def plain(text: str) -> tuple[list[RawCue], list[str]]:
    """One cue for each sentence; a line break ends a paragraph only where a blank line follows."""
    cues: list[RawCue] = []
    number, paragraph = 1, 1
    held: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            paragraph = paragraph if held else number
            held.append(line)
        elif held:
            cues += [
                RawCue(paragraph, None, None, one) for one in SENTENCE.findall(" ".join(held)) if one.strip()
            ]
            held = []
        number += 1
    return cues, []
