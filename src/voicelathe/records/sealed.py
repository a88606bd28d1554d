"""Files that one of our pages wrote and a person brings back: whole, of a format we know, and as the page left them.

The digest in such a file notices a slip of an editor; it is no signature. The page computes the same in JavaScript.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from voicelathe import digest
from voicelathe.errors import RecordError, VoiceLatheError
from voicelathe.records.files import read_one, to_json

Record = TypeVar("Record")


@dataclass(frozen=True)
class Form:
    """What is expected of a file, and the sentences for people who bring another one."""

    format: str
    max_bytes: int
    error: type[VoiceLatheError]
    what: str  # "a verdict file"
    first: str  # how to get one, where there is none
    again: str  # how to get it once more, where it is damaged
    renew: str  # what to do about one of another format


def seal(record: Any) -> str:
    """The digest that a record must carry: of all its other fields."""
    return digest.of_value({name: value for name, value in to_json(record).items() if name != "digest"})


def is_intact(record: Any) -> bool:
    """Whether a record is as it was sealed."""
    try:
        return bool(record.digest == seal(record))
    except UnicodeEncodeError:  # half a surrogate pair, which no page writes
        return False


def read(path: Path, kind: type[Record], form: Form) -> Record:
    """The record in a file. Raises the form's error for a file that is missing, too large, of another kind or format, or edited."""
    if not path.is_file():
        raise form.error(f"{path}: no such file. {form.first}")
    if (size := path.stat().st_size) > form.max_bytes:
        raise form.error(
            f"{path}: {size:,} bytes is too large for {form.what}. Name the file that the page saved."
        )
    try:
        found: Any = read_one(path, kind)
    except (RecordError, UnicodeError, RecursionError) as problem:
        seen = problem.problem if isinstance(problem, RecordError) else str(problem)
        raise form.error(f"{path} is not {form.what}: {seen} {form.again}") from None
    if found.format != form.format:
        raise form.error(f"{path}: format {found.format!r}; this version reads {form.format!r}. {form.renew}")
    if not is_intact(found):
        raise form.error(
            f"{path} was edited or damaged after it was saved: its digest does not fit. {form.again}"
        )
    kept: Record = found
    return kept
