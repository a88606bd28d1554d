"""One JSON document instead of JSON lines: a list of rows, rows below one key, rows by their ids, or texts by their paths."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.data.audio.files import CONTAINERS
from voicelathe.data.manifest import jsonl
from voicelathe.data.sources.rows import written
from voicelathe.errors import ManifestError

MAX_BYTES = 1 << 30


def as_lines(path: Path, folder: Path) -> Path | None:
    """The same rows as JSON lines in a folder, under the name of the file; None for what is no such document.

    Raises ManifestError for a document with a key that is given twice.
    """
    with path.open("rb") as file:
        start = file.read(64).removeprefix(jsonl.UTF8_BOM).lstrip()
    if not start.startswith((b"[", b"{")) or path.stat().st_size > MAX_BYTES:
        return None
    data = path.read_bytes().removeprefix(jsonl.UTF8_BOM)
    if start.startswith(b"{") and _is_lines(data):
        return None
    try:
        rows = _rows(json.loads(data, object_pairs_hook=jsonl.pairs))
    except jsonl.LineProblem as problem:
        raise ManifestError(f"{path}: {problem.detail}. Remove one of the two.") from None
    except (ValueError, RecursionError):
        return None
    if rows is None:
        return None
    digest.write_parts(folder / path.name, written(rows))
    return folder / path.name


def _is_lines(data: bytes) -> bool:
    """Whether the first line is a JSON object of its own, and there are more."""
    first, _, rest = data.lstrip().partition(b"\n")
    try:
        return isinstance(json.loads(first), dict) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def _rows(value: Any) -> list[Mapping[str, object]] | None:
    if isinstance(value, list):
        return value if value and all(isinstance(one, dict) for one in value) else None
    if not isinstance(value, dict) or not value:
        return None
    below = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
    if below:
        return _rows(below[0]) if len(below) == 1 else None
    if all(isinstance(one, dict) for one in value.values()):
        return [{"id": name, **one} for name, one in value.items()]
    is_texts = all(
        isinstance(one, str) and Path(name).suffix.lower() in CONTAINERS for name, one in value.items()
    )
    return [{"audio": name, "text": one} for name, one in value.items()] if is_texts else None
