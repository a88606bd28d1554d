"""What does a file of subtitles or of plain text hold as text, and in which format? By its bytes and first lines; its name comes second.

Times and markup of a format that is not read must never become words, so a text that looks like one is refused.
"""

import re
from pathlib import Path

from voicelathe.data.cutting import captions, tiers
from voicelathe.data.manifest.jsonl import UTF8_BOM, UTF16_BOMS
from voicelathe.data.text import charsets
from voicelathe.errors import SubtitleError

MAX_BYTES = 64 << 20  # of a subtitle file: a hundred hours of Whisper's JSON with words
SUFFIXES = {
    **{".srt": "srt", ".vtt": "vtt", ".sbv": "sbv", ".ass": "substation", ".ssa": "substation"},
    **{".textgrid": "textgrid", ".json": "json", ".txt": "text", ".labels": "labels", ".tsv": "table"},
}
MARKUP = ("<?xml", "<!doctype", "<html", "{\\rtf")
CLOCK = r"\d{1,3}:\d\d(?::\d\d)?(?:[.,]\d{1,3})?"
COUNTED = re.compile(r"[\[{]\d+[\]}][\[{]\d*[\]}]")  # frames, or tenths of a second
NOT_SAID = (
    ("lines with the time of day or of the recording", re.compile(rf"[\[(<]?{CLOCK}(?:[\])>:]|\s|$)|(?:\S+\s+){{1,4}}[\[(]?{CLOCK}[\])]?\s*$")),
    ("lines with two numbers in brackets", COUNTED),
    ("lines with two numbers before the words", re.compile(r"(?:\S+[ \t]+){0,3}\d+[.,]\d+[ \t]*[;, \t][ \t]*\d+[.,]\d+[;, \t]\s*\S")),
)  # fmt: skip
LEAST_LINES, LEAST_SHARE = 2, 1 / 3  # of such lines; a story may say when something happened


def read(path: Path, notes: list[str], language: str, encoding: str | None) -> str:
    """The text of a file, lines ended by line feeds. Raises SubtitleError where it is none, or not in a known encoding."""
    if not path.is_file():
        raise SubtitleError(f"{path}: no such file. Name the subtitles or the transcript: --subtitles FILE")
    if path.stat().st_size > MAX_BYTES:
        raise SubtitleError(
            f"{path}: {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}: this is no subtitle file."
        )
    text = _decoded(path.read_bytes(), path, notes, language, encoding)
    if "\0" in text:
        order = "be" if text.startswith("\0") else "le"
        raise SubtitleError(
            f"{path}: holds zero bytes, so it is no text, or UTF-16 without a mark: --encoding utf-16-{order}"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, path: Path, notes: list[str], language: str, encoding: str | None) -> str:
    """UTF-8, UTF-16 with a mark, the given encoding; cp1252 with a note where the language is written in it."""
    marked = "utf-8" if data.startswith(UTF8_BOM) else "utf-16" if data.startswith(UTF16_BOMS) else None
    try:
        if encoding is not None and marked is None:
            return charsets.mixed(data, encoding)[0]
        return data.removeprefix(UTF8_BOM).decode(marked or "utf-8")
    except LookupError:
        raise SubtitleError(f"--encoding {encoding!r}: there is no such encoding.") from None
    except UnicodeDecodeError as problem:
        at = problem.start
    if marked or encoding:
        raise SubtitleError(f"{path}: is not {marked or encoding} at byte {at}. Save it as UTF-8.")
    line = data[data.rfind(b"\n", 0, at) + 1 :].partition(b"\n")[0]
    seen = f"{path}: not UTF-8 (byte {at} is 0x{data[at]:02x})"
    try:
        text = data.decode(charsets.WESTERN)
    except UnicodeDecodeError:
        text = None
    if text is None or charsets.usual(language)[0] != charsets.WESTERN:
        raise SubtitleError(f"{seen}. {charsets.offer(line, language)}")
    notes.append(
        f"{seen}, read as {charsets.WESTERN}. Look at the accents; if they are wrong: --encoding NAME"
    )
    return text


def format_of(text: str, path: Path, notes: list[str]) -> str:
    """The format, by the suffix and the first lines. Raises SubtitleError for a text with times or markup that is none that is read."""
    kind = SUFFIXES.get(path.suffix.lower()) or _told(text)
    if kind == "text" and (inside := _told(text)) != "text":
        notes.append(f"{path}: holds {inside}, whatever its name says.")
        kind = inside
    if kind == "text" and (what := _not_said(text)) is not None:
        raise SubtitleError(
            f"{path}: {what}, which nobody says, and no format that is read. Save it as SRT (subtitle editors do), or take them out."
        )
    return kind


def _told(text: str) -> str:
    """The format, by its first lines."""
    head = text.lstrip()[:4000]
    if head.startswith("WEBVTT"):
        return "vtt"
    if head.startswith(("{", "[{")) and not head.startswith(MARKUP) and not COUNTED.match(head):
        return "json"
    if head.startswith('File type = "ooTextFile'):
        return "textgrid"
    if head.startswith("[Script Info]") or re.search(r"^Dialogue: ?\d,", head, re.MULTILINE):
        return "substation"
    if captions.SBV.search(head):
        return "sbv"
    if captions.ARROW.search(head):
        return "srt"
    if tiers.TABLE.match(head):
        return "table"
    return "labels" if tiers.LABEL.match(head) else "text"


def _not_said(text: str) -> str | None:
    """What in a plain text is no text."""
    if text.lstrip()[:20].lower().startswith(MARKUP):
        return "markup of XML, HTML or RTF"
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for what, pattern in NOT_SAID:
        num = sum(bool(pattern.match(line)) for line in lines)
        if num >= max(LEAST_LINES, LEAST_SHARE * len(lines)):
            return what
    return None
