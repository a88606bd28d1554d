"""Lines of a raw manifest, read strictly: what is not plainly one JSON object on one line is a problem with a line number.

Python's own reader takes duplicate keys (the last wins, so a text can vanish), NaN, 1e999 and UTF-16 without a word, and
`str.splitlines` cuts a line at U+2028, which shifts every number after it. So the file is cut as bytes, at line feeds only.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voicelathe.errors import ManifestError
from voicelathe.redaction import scrub

MAX_LINE_BYTES = 1 << 20
MAX_DEPTH = 32
EXCERPT_CHARS = 160
NO_OBJECT = "no object {...}; of a list or a table: a comment, a header once more, or other columns than the other lines have"
UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
SEPARATOR = re.compile(
    rb'\s*"?sep=(?:[^\w"\r\n]|\\t)"?[;,|"\s]*', re.IGNORECASE
)  # what Excel writes before a table


class LineProblem(Exception):
    """A line that is not a row: the code and what was found there."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class Lines:
    """The lines of a file with their 1-based numbers; `notes` says what was stripped once all are read.

    A first line `sep=;` of Excel is no line of the table: it is kept in `separator`, and the next one comes as number 2.
    A line over MAX_LINE_BYTES comes as its first bytes with `whole` false; it is never held in memory.
    Raises ManifestError for a missing file and for UTF-16, whose every line would be a problem of its own.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ManifestError(
                f"{path}: there is no such manifest. Set ingest.manifest in params.yaml to the file."
            )
        self.path = path
        self.notes: list[str] = []
        self.separator = b""

    def __iter__(self) -> Iterator[tuple[int, bytes, bool]]:
        num_crlf = number = 0
        with self.path.open("rb") as file:
            while data := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                whole = data.endswith(b"\n") or len(data) <= MAX_LINE_BYTES
                if not whole:
                    _skip_to_line_feed(file)
                if number == 1:
                    data = self._without_bom(data)
                    if SEPARATOR.fullmatch(data):
                        self._set_aside(data)
                        continue
                data = data.removesuffix(b"\n")
                if data.endswith(b"\r"):
                    num_crlf += 1
                yield number, data.removesuffix(b"\r"), whole
        if num_crlf:
            self.notes.append(f"{self.path}: {num_crlf} lines end in CRLF; the carriage return was left out.")

    def _without_bom(self, data: bytes) -> bytes:
        if data.startswith(UTF16_BOMS) or data[:2].count(0) == 1:
            marked = data.startswith(UTF16_BOMS)
            encoding = "utf-16" if marked else "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
            raise ManifestError(
                f"{self.path} is UTF-16, not UTF-8. Save it as UTF-8, or let it be read: voicelathe import {self.path} --encoding {encoding}"
            )
        if data.startswith(UTF8_BOM):
            self.notes.append(f"{self.path}: line 1 starts with a byte order mark; it was left out.")
        return data.removeprefix(UTF8_BOM)

    def _set_aside(self, data: bytes) -> None:
        self.separator = data.rstrip(b"\r\n")
        said = self.separator.decode("utf-8", "backslashreplace")
        self.notes.append(
            f"{self.path}: line 1 is {said!r}, as Excel writes it before a table; it was left out."
        )


def text_of(data: bytes) -> str:
    """The line as text. Raises LineProblem for an empty line and for bytes that are not UTF-8."""
    if not data.strip():
        raise LineProblem("blank_line", "nothing on this line")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise LineProblem("not_utf8", f"byte {problem.start} is 0x{data[problem.start]:02x}") from None


def parse(data: bytes) -> dict[str, Any]:
    """The one JSON object of a line. Raises LineProblem for everything else."""
    text = text_of(data)
    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise LineProblem("too_deep", "brackets are nested too deeply to be read") from None
    except ValueError as problem:
        is_other = not text.lstrip().startswith(("{", "["))
        raise LineProblem("not_json", NO_OBJECT if is_other else why_not_json(problem)) from None
    if not isinstance(value, dict):
        raise LineProblem("not_an_object", f"a row is {{...}}, this is {type(value).__name__}")
    if not encodable(_all_strings(value)):
        raise LineProblem(
            "lone_surrogate", "half of a surrogate pair (\\ud800 to \\udfff), which is no character"
        )
    return value


def why_not_json(problem: ValueError) -> str:
    """What JSON's own reader says, with what to do about a single backslash."""
    said = str(problem)
    return f"{said}; a backslash is written twice in JSON" if "escape" in said else said


def encodable(text: str) -> bool:
    """Whether the text can be written as UTF-8; half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def excerpt(data: bytes) -> str:
    """The start of a line for people: whatever is not printable is escaped, and what looks like a password is left out."""
    text = data[: 4 * EXCERPT_CHARS].decode("utf-8", errors="backslashreplace")
    text = scrub(text)
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return shown if len(shown) <= EXCERPT_CHARS else shown[: EXCERPT_CHARS - 3] + "..."


def _skip_to_line_feed(file: Any) -> None:
    while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def pairs(held: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object from its pairs. Raises LineProblem for a key that is given twice."""
    found = dict(held)
    if len(found) < len(held):
        seen: set[str] = set()
        again = next(key for key, _ in held if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise LineProblem("duplicate_key", f"{again!r} is given twice")
    return found


def _no_constant(name: str) -> float:
    raise LineProblem("nonfinite_number", f"{name} is not a number that JSON knows")


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise LineProblem("nonfinite_number", f"{literal[:20]} is too large for a number")
    return number


def _all_strings(value: object, depth: int = 0) -> str:
    """Every string inside a value, run together. Raises LineProblem when it is nested more than MAX_DEPTH deep."""
    if isinstance(value, str):
        return value
    if not isinstance(value, (dict, list)):
        return ""
    if depth > MAX_DEPTH:
        raise LineProblem("too_deep", f"brackets are nested more than {MAX_DEPTH} deep")
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return "".join(_all_strings(one, depth + 1) for one in inner)
