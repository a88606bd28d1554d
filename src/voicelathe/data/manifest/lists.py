"""Lists with `|` between columns, as Piper, StyleTTS2, F5-TTS, XTTS and GPT-SoVITS write them, turned into one manifest of ours.

They differ in the order of their columns, in a header, and in whether the first column is an id or a path. So columns are told by what
they hold, and what cannot be told is a question, never a guess. LJSpeech's own `id|text|text` stays a format of its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe.data.manifest import jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.data.sources.rows import Line
from voicelathe.data.text import languages
from voicelathe.errors import ManifestError

HEADERS = {
    **dict.fromkeys(
        (
            "audio",
            "audio_file",
            "audio_path",
            "audio_filepath",
            "file",
            "file_name",
            "filename",
            "path",
            "wav",
        ),
        "audio",
    ),
    **dict.fromkeys(("text", "transcript", "transcription", "sentence"), "text"),
    **dict.fromkeys(("speaker", "speaker_id", "speaker_name", "client_id"), "speaker_id"),
    **dict.fromkeys(("language", "lang", "locale"), "language"),
    "id": "id",
}
MAX_SPEAKER_CHARS, ROWS_PER_SPEAKER, MIN_ROWS = 40, 2, 4
LOOKED_AT = 5000  # rows that decide the columns
EXTENSION = re.compile(r"\.(?:wav|flac|ogg|opus|mp3|m4a|aac|webm|oga)$", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Which column is what, from the left, and whether the first line is a header."""

    columns: tuple[str, ...]  # audio | id | text | speaker_id | language
    has_header: bool

    @property
    def is_ljspeech(self) -> bool:
        return not self.has_header and self.columns in (("id", "text"), ("id", "text", "text"))

    @property
    def sentence(self) -> str:
        header = "a header, " if self.has_header else "no header, "
        return f"{header}`{'|'.join(self.columns)}` on each line"


def layout(lines: Sequence[str]) -> Layout | None:
    """The columns of a list, None for what is no list. Raises ManifestError where two columns could be the text or the speaker."""
    held = [line for line in lines if line.strip()]
    counts = {line.count("|") for line in held}
    if len(counts) != 1 or not counts <= {1, 2, 3}:
        return None
    cells = [line.split("|") for line in held]
    named = [HEADERS.get(cell.strip().lower()) for cell in cells[0]]
    if all(named) and "audio" in named and "text" in named and len(set(named)) == len(named):
        return Layout(tuple(str(name) for name in named), True)
    columns = [[row[at].strip() for row in cells] for at in range(len(cells[0]))]
    kinds = [_kind(column, is_first=at == 0) for at, column in enumerate(columns)]
    if "text" not in kinds and (len(kinds) == 2 or (len(kinds) == 3 and columns[1] == columns[2])):
        kinds[1:] = ["text"] * (len(kinds) - 1)  # single words, each said several times
    return Layout(tuple(kinds), False) if _is_plain(kinds) else _asked(cells[0])


def _kind(column: list[str], *, is_first: bool) -> str:
    if sum(bool(EXTENSION.search(cell)) for cell in column) >= 0.9 * len(column):
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
    first = kinds[0] in ("audio", "id")
    texts = kinds.count("text")
    return once and first and (texts == 1 or (texts == 2 and kinds == ["id", "text", "text"]))


def _asked(cells: list[str]) -> Layout:
    raise ManifestError(
        f"A list of {len(cells)} columns, and which is what cannot be told from it. Its first line: "
        f"{jsonl.excerpt('|'.join(cells).encode())}\nGive it a header, for example: "
        f"{'|'.join(('audio', 'text', 'speaker', 'language')[: len(cells)])}"
    )


def rows(manifest: Path, found: Layout) -> Iterator[Line]:
    """The rows of a list; what is no row stays a line that cannot be read, under its number."""
    for number, data, whole in jsonl.Lines(manifest):
        if number == 1 and found.has_header:
            continue
        try:
            text = jsonl.text_of(data) if whole else ""
        except LineProblem:
            yield data
            continue
        cells = [cell.strip() for cell in text.split("|")]
        if len(cells) != len(found.columns):
            yield data
            continue
        row = {name: cell for name, cell in zip(found.columns, cells, strict=True) if cell or name == "text"}
        yield row if "audio" in row else {**row, "audio": f"wavs/{row.get('id', '')}.wav"}
