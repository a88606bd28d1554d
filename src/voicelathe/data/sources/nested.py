"""Which value inside the objects of a row is the text, and which the path? {"audio": {"path": ...}, "annotation": {"text": ...}}

Read where one value alone can be it, and said; where several can, a person is asked with the names that were seen, and where none is called like
one, unless a column outside may be it. A row that has its text or its path outside of objects keeps it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from voicelathe.data.manifest.lists import EXTENSION
from voicelathe.data.sources import naming, objects
from voicelathe.data.sources.rows import Line
from voicelathe.errors import ManifestError

NO_TEXT = (frozenset(naming.USUAL) | frozenset(naming.USUAL.values())) - frozenset(naming.TEXT) | {
    "id",
    "type",
    "source",
    "name",
    "format",
    "status",
}
SHOWN = 20  # names in a message
HUGGING_FACE = "audio.path"  # an object of datasets' Audio, which says itself what it is

Rows = Sequence[Mapping[str, Any]]


def chosen(rows: Rows, where: object, unread: Collection[str] = ()) -> dict[str, str]:
    """Names with dots that are read as audio and text; none for rows without objects, or that have both outside of them.

    Raises ManifestError where several values can be the text, or none is called like one and there is no other; `unread` are none on purpose.
    """
    if not any(isinstance(held, (Mapping, list)) for row in rows for held in row.values()):
        return {}
    found = {}
    if (path := audio(rows)) is not None:
        found[path] = "audio"
    lacking = [row for row in rows if not _has_text(row)]
    beside = _names([row for row in rows if _has_text(row)]) - set(naming.TEXT)  # other things than the text
    held = {
        name: values
        for name, values in _texts(lacking, found).items()
        if name not in beside and name not in unread
    }
    texts = _text_like(held)
    if len(texts) == 1:
        return {**found, texts[0]: "text"}
    may_be_outside = len(lacking) < len(rows) or (not texts and any(map(_may_have_text, rows)))
    if may_be_outside or not (texts or any(_is_said(name, values) for name, values in held.items())):
        return found
    raise _asked(texts, sorted(_names(rows)), where)


def audio(rows: Rows) -> str | None:
    """The name of the path where it is inside an object; None where it is outside, or cannot be told."""
    lacking = [row for row in rows if not isinstance(row.get("audio"), str)]
    if any(isinstance(objects.value(row, HUGGING_FACE), str) for row in lacking):
        return HUGGING_FACE
    beside = _names([row for row in rows if isinstance(row.get("audio"), str)])
    paths = [
        name
        for name, values in _strings(lacking).items()
        if "." in name
        and name not in beside
        and _named(name, naming.AUDIO)
        and all(map(EXTENSION.search, values))
    ]
    return paths[0] if len(paths) == 1 else None


def read(lines: Iterable[Line], reading: Mapping[str, str]) -> Iterator[Line]:
    """The rows with what was chosen under our names; what a row has there itself stays."""
    for line in lines:
        if not isinstance(line, bytes):
            for name, ours in reading.items():
                value, own = objects.value(line, name), line.get(ours)
                if isinstance(own, str) or (value is None and not isinstance(own, (Mapping, list))):
                    continue
                line = {**objects.without(line, name), ours: value}
        yield line


def seen(rows: Rows) -> list[str]:
    """Names of all values, for a message."""
    return sorted(_names(rows))


def _strings(rows: Rows) -> dict[str, list[str]]:
    """Texts by their names; what is a list of several in some row is left out."""
    found: dict[str, list[str]] = {}
    several: set[str] = set()
    for row in rows:
        held, lists = objects.leaves(row)
        several |= lists
        for name, value in held.items():
            if isinstance(value, str):
                found.setdefault(name, []).append(value)
    return {
        name: values
        for name, values in found.items()
        if not any(name == one or name.startswith(f"{one}.") for one in several)
    }


def _texts(rows: Rows, taken: Mapping[str, str]) -> dict[str, list[str]]:
    """Values inside objects, or lists of one, that may be the text."""
    outside = {key for row in rows for key, held in row.items() if isinstance(held, str)}
    return {name: held for name, held in _strings(rows).items() if name not in outside and name not in taken}


def _text_like(found: Mapping[str, list[str]]) -> list[str]:
    """Those whose own name says so; else those of an object whose name does; of equal ones the outermost."""
    named = [name for name in found if naming.plain(name.rpartition(".")[2]) in naming.TEXT]
    named = named or [
        name
        for name in found
        if _named(name, naming.TEXT) and naming.plain(name.rpartition(".")[2]) not in NO_TEXT
    ]
    named.sort(key=lambda name: (name.count("."), name))
    return [name for at, name in enumerate(named) if all(found[name] != found[other] for other in named[:at])]


def _named(name: str, names: Iterable[str]) -> bool:
    return any(naming.plain(part) in names for part in name.split("."))


def _has_text(row: Mapping[str, Any]) -> bool:
    return any(isinstance(held, str) and naming.plain(key) in naming.TEXT for key, held in row.items())


def _may_have_text(row: Mapping[str, Any]) -> bool:
    """Whether a value outside of objects may be the text: it is called so, though it may be null, or is a text by another name."""
    return any(
        naming.plain(key) in naming.TEXT
        or (isinstance(held, str) and naming.plain(key) not in {*NO_TEXT, *naming.AUDIO})
        for key, held in row.items()
        if not isinstance(held, (Mapping, list))
    )


def _is_said(name: str, values: Sequence[str]) -> bool:
    """Whether values under a name inside may be what is spoken: words, or other letters than those of codes."""
    is_other = naming.plain(name.rpartition(".")[2]) in NO_TEXT
    return not is_other and any(" " in one.strip() or not one.isascii() for one in values)


def _names(rows: Rows) -> set[str]:
    found: set[str] = set()
    for row in rows:
        held, lists = objects.leaves(row)
        found |= set(held) | {f"{name} (a list)" for name in lists}
    return found


def _asked(texts: Sequence[str], names: Sequence[str], where: object) -> ManifestError:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    shown = f"The names inside are {', '.join(names[:SHOWN])}{more}"
    if texts:
        return ManifestError(
            f"{where}: {', '.join(texts)} could each be the text. Say which one is spoken: {' or '.join(f'--map {name}=text' for name in texts)}"
        )
    return ManifestError(
        f"{where}: no key text, and nothing inside the objects of its rows is called like one. {shown}. Say which one is spoken: --map NAME=text. If none is, leave them unread: --map NAME="
    )
