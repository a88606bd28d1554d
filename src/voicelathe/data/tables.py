"""Records as Parquet: one dataclass, one schema, the same bytes for the same records."""

import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from voicelathe import digest
from voicelathe.errors import RecordError, missing_record

if TYPE_CHECKING:
    import pyarrow

Record = TypeVar("Record")


def write(path: Path, rows: Sequence[object], kind: type | None = None) -> None:
    """Write records of one type, in the order given, whole or not at all; `kind` is needed when there may be none."""
    import pyarrow
    import pyarrow.parquet

    declared = kind or type(rows[0])
    columns = schema(declared)
    table = pyarrow.table([_array(rows, field) for field in columns], schema=columns)
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, content, compression="zstd", version="2.6", row_group_size=1 << 17)
    digest.write_bytes(path, content.getvalue().to_pybytes())


def _array(rows: Sequence[object], field: "pyarrow.Field") -> "pyarrow.Array":
    import pyarrow

    values = [getattr(row, field.name) for row in rows]
    if pyarrow.types.is_map(field.type):
        values = [sorted(value.items()) for value in values]
    return pyarrow.array(values, field.type)


def read(path: Path, kind: type[Record]) -> list[Record]:
    """The records of a file. Raises RecordError when it is missing or holds another type."""
    import pyarrow

    table = columns(path, kind)
    held = [table.column(name).to_pylist() for name in table.column_names]
    for at, field in enumerate(table.schema):
        if pyarrow.types.is_map(field.type):
            held[at] = [dict(value) for value in held[at]]
    return [kind(*values) for values in zip(*held, strict=True)]


def columns(path: Path, kind: type) -> "pyarrow.Table":
    """The same as columns, without a record for each row."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise missing_record(path)
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowIOError) as problem:
        raise RecordError(
            f"{path} is not a Parquet file ({problem}). Run the stage that writes it again."
        ) from None
    if not table.schema.equals(schema(kind)):
        raise RecordError(
            f"{path} does not hold {kind.__name__}. Written by another version? Run its stage again."
        )
    return table


def schema(kind: type) -> "pyarrow.Schema":
    """Columns in the order of the fields; only Optional fields may be null."""
    import pyarrow

    hints = typing.get_type_hints(kind)
    return pyarrow.schema([_column(field.name, hints[field.name]) for field in fields(cast(Any, kind))])


def _column(name: str, hint: Any) -> "pyarrow.Field":
    import pyarrow

    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()
    (inner,) = [part for part in parts if part is not type(None)] or [hint]
    return pyarrow.field(name, _type(inner), nullable=type(None) in parts)


def _type(hint: Any) -> "pyarrow.DataType":
    import pyarrow

    plain = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return pyarrow.list_(plain[arguments[0]])
    if typing.get_origin(hint) is dict:
        return pyarrow.map_(plain[arguments[0]], plain[arguments[1]])
    return plain[hint]
