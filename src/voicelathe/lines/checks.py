"""What makes a pack unusable? Ids and texts that are there twice, lines that say nothing, kinds that do not exist."""

import re
from collections.abc import Iterator, Sequence

from voicelathe.data.text import characters, languages
from voicelathe.records import HELD_OUT, LONG, STRATA, PackLine

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes the name of a file


def of(pack: Sequence[tuple[int, PackLine]]) -> list[str]:
    """Every problem, with the line of the file. `pack`: number in the file, line."""
    found = [f"line {number}: {problem}" for number, line in pack for problem in _alone(line)]
    return found + list(_twice(pack))


def _alone(line: PackLine) -> Iterator[str]:
    if not ID.fullmatch(line.id):
        yield f"id {line.id!r}: letters, digits, '.', '_' and '-' only; it becomes the name of a sound file"
    if not characters.num_spoken_chars(line.text):
        yield f"{line.id}: text {line.text!r} has no words, so there is nothing to say"
    if not line.language.strip():
        yield f"{line.id}: language is empty; give a code such as en"
    if line.stratum not in STRATA:
        yield f"{line.id}: stratum {line.stratum!r} does not exist; there are {', '.join(STRATA)}"
    if line.id.startswith(LONG):
        yield f"{line.id}: an id may not begin with {LONG!r}, which marks listen.long_lines"
    yield from _held_out(line)


def _held_out(line: PackLine) -> Iterator[str]:
    if line.clip_id is None:
        if line.id.startswith(HELD_OUT):
            yield f"{line.id}: begins with {HELD_OUT!r} but names no clip_id; rename it, or give the clip of its recording"
        if line.recording_id is not None:
            yield f"{line.id}: recording_id {line.recording_id!r} without a clip_id"
    elif line.id != HELD_OUT + line.clip_id:
        yield f"{line.id}: a held-out line is called {HELD_OUT + line.clip_id}, after its clip"
    elif line.speaker is None or line.recording_id is None:
        yield f"{line.id}: a held-out line names the speaker and the recording_id of its clip"


def _twice(pack: Sequence[tuple[int, PackLine]]) -> Iterator[str]:
    ids: dict[str, int] = {}
    said: dict[tuple[str, str], tuple[int, str]] = {}
    for number, line in pack:
        first = ids.setdefault(line.id, number)
        if first != number:
            yield f"line {number}: id {line.id!r} is that of line {first}, too; every line needs its own"
        key = languages.sentence(line.text, line.language)
        place, other = said.setdefault(key, (number, line.id))
        if place != number and characters.num_spoken_chars(line.text):
            yield f"line {number}: {line.id} says the same words as {other} in line {place}; a sentence counts once"
