"""Lists with `|` between columns, as Piper, StyleTTS2, F5-TTS, XTTS and GPT-SoVITS write them, turned into one manifest of ours.

They differ in the order of their columns, in a header, and in whether the first column is an id or a path. So columns are told by what
they hold, and what cannot be told is a question, never a guess. LJSpeech's own `id|text|text` stays a format of its own. With another sign
between its columns a file is a list where one column holds paths of audio.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe.data.manifest import jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.data.sources import naming
from voicelathe.data.sources.rows import Line
from voicelathe.data.text import languages
from voicelathe.errors import ManifestError

HEADERS = {
    **dict.fromkeys(naming.AUDIO, "audio"),
    **dict.fromkeys(naming.TEXT[:4], "text"),
    **dict.fromkeys(("speaker", "speaker_id", "speaker_name", "client_id"), "speaker_id"),
    **dict.fromkeys(("language", "lang", "locale"), "language"),
    "id": "id",
}
MAX_SPEAKER_CHARS, ROWS_PER_SPEAKER, MIN_ROWS = 40, 2, 4
MAX_COLUMNS, MOST_UNNAMED = 20, 4  # with a header, and without
LEAST_SHARE = 0.9  # of lines that have the usual columns
LOOKED_AT = 5000  # rows that decide the columns
OTHER_SIGNS = "\t;,"
COMMENT = re.compile(r"\s*(?:#|//)(?!.*[|\t;,])")  # of people, above their rows
DOUBLED = re.compile(r'"[^"]*(?:""[^"]*)+"')  # a cell as CSV quotes it
EXTENSION = re.compile(r"\.(?:wav|flac|ogg|opus|mp3|m4a|aac|webm|oga)$", re.IGNORECASE)


@dataclass(frozen=True)
class ListColumns:
    """Which column is what, from the left, and whether the first line is a header."""

    columns: tuple[str, ...]  # audio | id | text | speaker_id | language; no name for one that is empty
    has_header: bool
    sign: str = "|"  # between the columns

    @property
    def is_ljspeech(self) -> bool:
        return not self.has_header and self.columns in (("id", "text"), ("id", "text", "text"))

    @property
    def sentence(self) -> str:
        header = "a header, " if self.has_header else "no header, "
        return f"{header}`{self.sign.join(self.columns)}` on each line".replace("\t", "<TAB>")


def layout(lines: Sequence[str], reading: Mapping[str, str] | None = None) -> ListColumns | None:
    """The columns of a list, None for what is no list; `reading` are names of columns that are read as ours.

    Raises ManifestError where two columns could be the text or the speaker.
    """
    return _layout(lines, "|", reading or {})


def separated(lines: Sequence[str]) -> ListColumns | None:
    """The columns of a list with tabs, semicolons or commas: it has no header, and paths of audio. None for what is no such list."""
    for sign in OTHER_SIGNS:
        found = _layout(lines, sign, {})
        if found is not None and "audio" in found.columns:
            return found
    return None


def _layout(lines: Sequence[str], sign: str, reading: Mapping[str, str]) -> ListColumns | None:
    rows = [line for line in lines if line.strip() and not COMMENT.match(line)]
    held = [_cells(line, sign) for line in rows]
    ((usual, num),) = Counter(map(len, held)).most_common(1) or ((0, 0),)
    if not 2 <= usual <= MAX_COLUMNS or num < LEAST_SHARE * len(held):
        return None
    cells = [one for one in held if len(one) == usual]
    if sign != "|" and not any(_are_paths([row[at] for row in cells]) for at in range(usual)):
        return None
    if (found := _by_header(cells, reading)) is not None:
        return found if sign == "|" else None  # a table, whose columns are read by their names
    if usual > MOST_UNNAMED:
        return None
    kinds = _kinds(cells)
    return ListColumns(tuple(kinds), False, sign) if _is_plain(kinds) else _asked(cells[0])


def _cells(line: str, sign: str, num: int | None = None) -> list[str]:
    """What stands between the signs; as CSV quotes it where that is plainly meant: commas, doubled quotation marks, or as many columns as there should be."""
    plain = [cell.strip() for cell in line.split(sign)]
    if '"' not in line:
        return plain
    try:
        (quoted,) = csv.reader([line], delimiter=sign, strict=True)
    except (csv.Error, ValueError):
        return plain
    is_meant = (
        sign in ",;" or any(map(DOUBLED.fullmatch, plain)) or (len(plain) != num and len(quoted) == num)
    )
    return [cell.strip() for cell in quoted] if is_meant else plain


def _by_header(cells: list[list[str]], reading: Mapping[str, str]) -> ListColumns | None:
    """The columns as the first line names them; None where it is a row like the others.

    It is a header where it names audio (or id) and text, or where it has no path in a column of paths, in whatever language.
    """
    first, body = cells[0], cells[1:]
    named = [reading.get(cell) or HEADERS.get(naming.plain(cell)) for cell in first]
    paths = [
        at
        for at, cell in enumerate(first)
        if len(body) >= 2 and not EXTENSION.search(cell) and _are_paths([row[at] for row in body])
    ]
    if not paths and not ("text" in named and ("audio" in named or "id" in named)):
        return None
    kinds = _kinds(body) if body else ["id"] * len(first)
    if "audio" not in named and paths:
        named[paths[0]] = "audio"
    open_columns = [at for at, name in enumerate(named) if name is None and first[at] not in reading]
    if "text" not in named and [kinds[at] for at in open_columns].count("text") == 1:
        named[next(at for at in open_columns if kinds[at] == "text")] = "text"
    maybe = [at for at in open_columns if named[at] is None and kinds[at] == "speaker_id"]
    if "text" not in named or (maybe and "speaker_id" not in named):
        _asked_by_name([first[at] for at in maybe] or first)
    if (
        "id" not in named
        and not paths
        and "audio" in named
        and not _are_paths([row[named.index("audio")] for row in body])
    ):
        named[named.index("audio")] = "id"  # without a folder or an extension
    columns = tuple(name or first[at] for at, name in enumerate(named))
    is_told = all(name or not any(row[at] for row in body) for at, name in enumerate(columns))
    return ListColumns(columns, True) if is_told and len(set(columns)) == len(columns) else None


def _kinds(cells: list[list[str]]) -> list[str]:
    columns = [[row[at] for row in cells] for at in range(len(cells[0]))]
    kinds = [_kind(column, is_first=at == 0) for at, column in enumerate(columns)]
    if "text" not in kinds and (len(kinds) == 2 or (len(kinds) == 3 and columns[1] == columns[2])):
        kinds[1:] = ["text"] * (len(kinds) - 1)  # single words, each said several times
    if "audio" in kinds:
        kinds = [kind if any(column) else "" for kind, column in zip(kinds, columns, strict=True)]
        if kinds[0] == "id" and "speaker_id" not in kinds and _are_speakers(columns[0]):
            kinds[0] = "speaker_id"
    return kinds


def _are_paths(column: list[str]) -> bool:
    return sum(bool(EXTENSION.search(cell)) for cell in column) >= LEAST_SHARE * len(column)


def _asked_by_name(names: list[str]) -> None:
    read = " or ".join(f"--map {names[0]}={ours}" for ours in ("speaker_id", "text"))
    raise ManifestError(
        f"A list with a header, and what {', '.join(names)} hold cannot be told. Say it: {read}; or leave it unread: --map {names[0]}="
    )


def has_paths(lines: Sequence[str]) -> bool:
    """Whether the first column holds names of files, as that of LJSpeech never does."""
    return _are_paths([line.partition("|")[0].strip() for line in lines])


def _kind(column: list[str], *, is_first: bool) -> str:
    if _are_paths(column):
        return "audio"
    if is_first:
        return "id"
    known = [cell for cell in column if cell]
    if known and all(languages.is_known(cell) for cell in known) and len(set(known)) <= 20:
        return "language"
    return "speaker_id" if _are_speakers(known) else "text"


def _are_speakers(cells: list[str]) -> bool:
    """Few different short values: names, or numbers as VITS has them."""
    different = set(cells)
    is_short = all(len(cell) <= MAX_SPEAKER_CHARS and len(cell.split()) <= 2 for cell in different)
    return len(cells) >= MIN_ROWS and is_short and len(cells) >= ROWS_PER_SPEAKER * len(different)


def _is_plain(kinds: list[str]) -> bool:
    once = all(kinds.count(name) <= 1 for name in ("audio", "id", "speaker_id", "language"))
    first = kinds[0] in ("audio", "id") or "audio" in kinds
    texts = kinds.count("text")
    return once and first and (texts == 1 or (texts == 2 and kinds == ["id", "text", "text"]))


def _asked(cells: list[str]) -> ListColumns:
    raise ManifestError(
        f"A list of {len(cells)} columns, and which is what cannot be told from it. Its first line: "
        f"{jsonl.excerpt('|'.join(cells).encode())}\nGive it a header, for example: "
        f"{'|'.join(('audio', 'text', 'speaker', 'language')[: len(cells)])}"
    )


def rows(manifest: Path, found: ListColumns) -> Iterator[Line]:
    """The rows of a list; what is no row stays a line that cannot be read, under its number."""
    header: list[str] | None = None
    for _, data, whole in jsonl.Lines(manifest):
        try:
            text = jsonl.text_of(data) if whole else ""
        except LineProblem:
            yield data
            continue
        cells = _cells(text, found.sign, len(found.columns))
        if header is None and found.has_header and not COMMENT.match(text):
            header = cells
            continue
        if len(cells) != len(found.columns) or cells == header:
            yield data
            continue
        row = {name: cell for name, cell in zip(found.columns, cells, strict=True) if cell or name == "text"}
        yield row if "audio" in row else {**row, "audio": f"wavs/{row.get('id', '')}.wav"}
