"""How many texts does each entry of a lexicon change? One that changes none is a slip of the pen, or for requests alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from voicelathe import layout, lines, records
from voicelathe.config import schema
from voicelathe.data import columns
from voicelathe.data.lexicon import reading
from voicelathe.data.text import languages
from voicelathe.records import Lexicon, Respelling


@dataclass(frozen=True)
class LexiconUsage:
    """What a lexicon changes in a project."""

    rows: Counter[Respelling]  # of the raw manifest
    lines: Counter[Respelling]  # of the packs that recipes name
    unused: list[str]  # languages of entries that no row and no line has
    has_rows: bool  # False: ingest has not run yet


def of_project(lexicon: Lexicon, params: schema.Params, root: Path = Path()) -> LexiconUsage:
    """Look through the rows of the manifest and the lines of every recipe."""
    rows: list[tuple[str, str]] = []
    if has_rows := (root / layout.MANIFEST).is_file():
        table = columns.read(root / layout.MANIFEST, records.ManifestRow)
        texts, tags = (table.column(name).to_pylist() for name in ("text", "language"))
        rows = [(text, tag) for text, tag in zip(texts, tags, strict=True) if text and tag]
    spoken = [
        (line.text, line.language)
        for path in sorted({recipe.listen.lines for recipe in params.recipes.values()})
        if (root / path).is_file()
        for line in lines.read(root / path)
    ]
    known = {languages.canonical(tag) for tag in {tag for _, tag in [*rows, *spoken]}}
    known |= {languages.primary(tag) for tag in known}
    unused = sorted({one.language for one in lexicon.respellings} - known)
    return LexiconUsage(changed(lexicon, rows), changed(lexicon, spoken), unused, has_rows)


def changed(lexicon: Lexicon, texts: Iterable[tuple[str, str]]) -> Counter[Respelling]:
    """Entry -> texts that it changes; a text with a word twice counts once."""
    found = Counter[Respelling]()
    for text, language in texts:
        found.update(set(reading.changed(lexicon, text, language)))
    return found
