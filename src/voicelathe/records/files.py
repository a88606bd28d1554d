"""Records as files: one canonical JSON object a line, read back strictly: every field there, none unknown, each of its type.

A corpus has a million of them, so what a record needs is worked out once for its type, and equal neighbours share their values.
"""

import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

from voicelathe import digest
from voicelathe.errors import RecordError, missing_record
from voicelathe.records.reasons import Reason

Record = TypeVar("Record")
PLAIN = (str, int, float, bool)


def to_json(record: object) -> dict[str, Any]:
    """A record as plain JSON values."""
    assert is_dataclass(record) and not isinstance(record, type)
    values = {name: _plain(getattr(record, name)) for name in _names(type(record))}
    for name, default in left_out(type(record)).items():
        if values[name] == default:
            del values[name]
    return values


def _plain(value: Any) -> Any:
    if value is None or type(value) in PLAIN:
        return value
    if isinstance(value, Reason):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return to_json(value) if is_dataclass(value) else value


def write(path: Path, rows: Iterable[object]) -> None:
    """Write records as JSONL, whole or not at all, one canonical object a line."""
    digest.write_parts(path, (f"{digest.canonical_json(to_json(row))}\n".encode() for row in rows))


def read(path: Path, kind: type[Record]) -> list[Record]:
    """Read a JSONL file of one record type. Raises RecordError with file, line and field."""
    if not path.is_file():
        raise missing_record(path)
    with path.open("rb") as file:
        return list(_read(file, path, kind))


def _read(lines: Iterable[bytes], path: Path, kind: type[Record]) -> Iterator[Record]:
    """Equal texts of neighbouring rows become one object: a recording, a speaker and a file have many rows."""
    before: list[Any] = [None] * len(fields(cast(Any, kind)))
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        values = _values(kind, _parse(line, where), where)
        before = [
            old if type(new) is str and old == new else new for old, new in zip(before, values, strict=True)
        ]
        yield _kept_inside(kind(*before), where)


def read_one(path: Path, kind: type[Record]) -> Record:
    """Read a JSON file that holds one record. Raises RecordError with the field."""
    if not path.is_file():
        raise missing_record(path)
    return _kept_inside(from_json(kind, _parse(path.read_bytes(), str(path)), str(path)), str(path))


def require_inside(path: str, where: str) -> None:
    """Raises RecordError for a path that is absolute or leads out of the project: nothing there is read, written or sent anywhere.

    A link below the project is followed: large folders are often links to another disk.
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\0" in path or not parts.parts:
        raise RecordError(
            f"{where}: path {path!r} leads out of the project. Records name files below it; restore this one, or run its stage again."
        )


def _kept_inside(record: Record, where: str) -> Record:
    """The record, after the paths were looked at that it, or a list in it, says to be below the project."""
    if (name_them := getattr(record, "project_paths", None)) is not None:
        for path in name_them():
            require_inside(path, where)
    return record


def from_json(kind: type[Record], value: object, where: str) -> Record:
    """Rebuild a dataclass, nested ones included, from plain JSON; every field must be there and none may be unknown."""
    return kind(*_values(kind, value, where))


def _values(kind: type, value: object, where: str) -> list[Any]:
    """The fields of a record in their order."""
    if not isinstance(value, Mapping):
        raise RecordError(f"{where}: expected an object of {kind.__name__}, got {type(value).__name__}.")
    known = _names(kind)
    if defaults := left_out(kind):
        value = {**defaults, **value}
    if len(value) != len(known) or any(name not in value for name in known):
        missing, unknown = (
            [name for name in known if name not in value],
            [name for name in value if name not in known],
        )
        raise RecordError(
            f"{where}: not a {kind.__name__}: missing {missing}, unknown {unknown}.",
            "Written by another version? Run its stage again.",
        )
    found = []
    for name, taken, declared in _plan(kind):
        one = value[name]
        found.append(one if type(one) in taken else _rebuild(declared, one, f"{where}: {name}"))
    return found


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(Any, kind)))


@cache
def left_out(kind: type) -> dict[str, Any]:
    """Fields that were added later (`config.schema.ADDED_LATER`), with the default that is not written down."""
    return {one.name: one.default for one in fields(cast(Any, kind)) if one.metadata.get("left_out")}


@cache
def _plan(kind: type) -> list[tuple[str, frozenset[type], Any]]:
    """For each field its name, the JSON types that are taken as they are, and the declared type for all others."""
    declared = typing.get_type_hints(kind)
    return [(name, _taken(declared[name]), declared[name]) for name in _names(kind)]


def _taken(declared: Any) -> frozenset[type]:
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return frozenset().union(*(_taken(part) for part in typing.get_args(declared)))
    return frozenset([declared]) if declared in (*PLAIN, type(None)) else frozenset()


def _rebuild(declared: Any, value: Any, where: str) -> Any:
    if is_dataclass(declared):
        return from_json(cast(type, declared), value, where)
    if declared is Reason:
        return Reason.read(_expect(str, value, where))
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
            f"{where} = {value!r:.80}: expected {kind.__name__}, got {type(value).__name__}.",
            "Run its stage again.",
        )
    return value


def _parse(line: bytes, where: str) -> object:
    try:
        return json.loads(line)
    except ValueError as problem:
        raise RecordError(f"{where}: not JSON ({problem}).", "Run the stage that writes it again.") from None
