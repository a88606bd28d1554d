"""Cues of SubRip (.srt) and WebVTT (.vtt), read by their arrows: numbers and blank lines between cues are often wrong, arrows hardly ever.

YouTube's .sbv is SubRip with commas for arrows. SubStation Alpha (.ass, .ssa) is a table of its own.
"""

import re

from voicelathe.data.cutting.raw import RawCue

ARROWS = ("->", "\u2013>", "\u2014>", "\u2192")  # the last three by word processors
ANY_ARROW = "(?:-?->|[\u2013\u2014]>|\u2192)"
TIME = r"(-?)(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?"
ARROW = re.compile(rf"^[ \t]*{TIME}[ \t]*{ANY_ARROW}[ \t]*{TIME}(?:[ \t].*)?$", re.MULTILINE)
BROKEN = re.compile(  # a pair of times that somebody spoiled; other lines with an arrow are text
    rf"^[ \t]*(?:\S{{1,20}}[ \t]*-->[ \t]*\S{{1,20}}|\S*\d:\d\S*[ \t]*{ANY_ARROW}.*|.*{ANY_ARROW}[ \t]*\S*\d:\d\S*)[ \t]*$"
)
VOICE = re.compile(r"<v(?:\.[^\s>]+)?\s+([^<>]{1,100})>")
SBV = re.compile(r"^[ \t]*(\d{1,3}:\d\d:\d\d\.\d{1,3}),(\d{1,3}:\d\d:\d\d\.\d{1,3})[ \t]*$", re.MULTILINE)
DIALOGUE = "Dialogue:"
ASS_COLUMNS = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
OTHER_BLOCKS = ("NOTE", "STYLE", "REGION")  # of WebVTT


def read(text: str, is_vtt: bool) -> tuple[list[RawCue], list[str]]:
    """Cues in the order of the file, and lines that look like times and are none."""
    lines = text.split("\n")
    starts = [(at, ARROW.match(line)) for at, line in enumerate(lines) if _may_be_times(line)]
    cues: list[RawCue] = []
    problems: list[str] = []
    for place, (at, found) in enumerate(starts):
        if found is None:
            if not _is_note(lines, at):
                problems.append(f"{at + 1}: not a pair of times: {lines[at].strip()[:80]!r}")
            continue
        end = starts[place + 1][0] if place + 1 < len(starts) else len(lines)
        cues.append(_cue(at, found, _body(lines[at + 1 : end], end == len(lines), is_vtt, place + 2)))
    return cues, problems


def sbv(text: str) -> tuple[list[RawCue], list[str]]:
    """YouTube's: start and end between a comma."""
    return read(SBV.sub(r"\1 --> \2", text), is_vtt=False)


def substation(text: str) -> tuple[list[RawCue], list[str]]:
    """Lines of dialogue by the columns that the file names; comments, styles and drawings are not said."""
    cues: list[RawCue] = []
    problems: list[str] = []
    columns = ASS_COLUMNS
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("Format:") and "Text" in line:
            columns = line.removeprefix("Format:")
        if not line.startswith(DIALOGUE):
            continue
        names = [name.strip() for name in columns.split(",")]
        cells = dict(zip(names, line.removeprefix(DIALOGUE).split(",", len(names) - 1), strict=False))
        times = [re.fullmatch(TIME, cells.get(name, "").strip()) for name in ("Start", "End")]
        if None in times or "Text" not in cells:
            problems.append(f"{number}: not a line of dialogue: {line.strip()[:80]!r}")
            continue
        start, end = (_seconds(*found.groups()) for found in times if found)
        said = cells["Text"].replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
        cues.append(RawCue(number, start, end, said, cells.get("Name", "").strip() or None))
    return cues, problems


def _may_be_times(line: str) -> bool:
    return any(one in line for one in ARROWS) and (
        ARROW.match(line) is not None or BROKEN.match(line) is not None
    )


def _cue(at: int, found: re.Match[str], body: list[str]) -> RawCue:
    text = "\n".join(body)
    voices = VOICE.findall(text)
    groups = found.groups()
    start, end = _seconds(*groups[:5]), _seconds(*groups[5:])
    speaker = voices[0].strip() if len(set(voices)) == 1 else None
    problem = f"two voices in one cue: {', '.join(voices)}" if len(set(voices)) > 1 else None
    return RawCue(at + 1, start, end, text, speaker, problem)


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, part: str | None) -> float:
    value = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    found = value + (float(f"0.{part}") if part else 0.0)
    return -found if sign else found


def _body(lines: list[str], is_last: bool, is_vtt: bool, following: int) -> list[str]:
    """The lines of a cue: without the number or name of the next one, and without WebVTT's other blocks."""
    body = list(lines)
    if not is_last:
        while body and not body[-1].strip():
            body.pop()
        if body and _is_name(body, following, is_vtt):
            body.pop()
    kept: list[str] = []
    for number, line in enumerate(body):
        if is_vtt and line.startswith(OTHER_BLOCKS) and number and not body[number - 1].strip():
            break
        kept.append(line)
    return kept


def _is_name(body: list[str], following: int, is_vtt: bool) -> bool:
    """Whether the last line before the next times is a number or a name: "1984" can be what somebody says."""
    last = body[-1].strip()
    is_apart = len(body) == 1 or not body[-2].strip()
    if last.isdigit():
        return is_apart or last == str(following)
    return is_vtt and len(body) > 1 and body[-2] == ""


def _is_note(lines: list[str], at: int) -> bool:
    """Whether a line with an arrow stands in a comment of WebVTT."""
    while at >= 0 and lines[at].strip():
        if lines[at].startswith(OTHER_BLOCKS):
            return True
        at -= 1
    return False
