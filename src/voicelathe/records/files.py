"""Records as files: one canonical JSON object a line, read back strictly: every field there, none unknown, each of its type."""

import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from voicelathe import digest
from voicelathe.errors import RecordError

Record = TypeVar("Record")


def to_json(record: object) -> dict[str, Any]:
    """A record as plain JSON values."""
    assert is_dataclass(record) and not isinstance(record, type)
    return asdict(record)


def write(path: Path, rows: Iterable[object]) -> None:
    """Write records as JSONL, whole or not at all, one canonical object a line."""
    digest.write_text(path, "".join(digest.canonical_json(to_json(row)) + "\n" for row in rows))


def read(path: Path, kind: type[Record]) -> list[Record]:
    """Read a JSONL file of one record type. Raises RecordError with file, line and field."""
    if not path.is_file():
        raise RecordError(f"{path} is missing. The stage that writes it has not run: `make repro`.")
    with path.open("rb") as file:
        return [
            from_json(kind, _parse(line, f"{path}:{number}"), f"{path}:{number}")
            for number, line in enumerate(file, 1)
        ]


def read_one(path: Path, kind: type[Record]) -> Record:
    """Read a JSON file that holds one record. Raises RecordError with the field."""
    if not path.is_file():
        raise RecordError(f"{path} is missing. The stage that writes it has not run: `make repro`.")
    return from_json(kind, _parse(path.read_bytes(), str(path)), str(path))


def from_json(kind: type[Record], value: object, where: str) -> Record:
    """Rebuild a dataclass, nested ones included, from plain JSON; every field must be there and none may be unknown."""
    if not isinstance(value, Mapping):
        raise RecordError(f"{where}: expected an object of {kind.__name__}, got {type(value).__name__}.")
    declared = typing.get_type_hints(kind)
    known = [field.name for field in fields(cast(Any, kind))]
    missing, unknown = (
        [name for name in known if name not in value],
        [name for name in value if name not in known],
    )
    if missing or unknown:
        raise RecordError(
            f"{where}: not a {kind.__name__}: missing {missing}, unknown {unknown}. Written by another version? Run its stage again."
        )
    return kind(**{name: _rebuild(declared[name], value[name], f"{where}: {name}") for name in known})


def _rebuild(declared: Any, value: Any, where: str) -> Any:
    if is_dataclass(declared):
        return from_json(cast(type, declared), value, where)
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [part for part in arguments if part is not type(None)]
        return None if value is None else _rebuild(inner, value, where)
    if origin in (list, tuple):
        return origin(_rebuild(arguments[0], item, where) for item in _expect(list, value, where))
    if origin is dict:
        return {
            name: _rebuild(arguments[1], item, where) for name, item in _expect(dict, value, where).items()
        }
    if declared is float and type(value) is int:
        return float(value)
    return _expect(declared, value, where) if declared in (str, int, float, bool) else value


def _expect(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise RecordError(
            f"{where} = {value!r:.80}: expected {kind.__name__}, got {type(value).__name__}. Run its stage again."
        )
    return value


def _parse(line: bytes, where: str) -> object:
    try:
        return json.loads(line)
    except ValueError as problem:
        raise RecordError(f"{where}: not JSON ({problem}). Run the stage that writes it again.") from None
