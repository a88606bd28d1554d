"""Records as Parquet: one dataclass, one schema, the same bytes for the same records."""

import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from voicelathe import digest
from voicelathe.data import mapped
from voicelathe.errors import RecordError, missing_record

if TYPE_CHECKING:
    import pyarrow

Record = TypeVar("Record")
ROWS_AT_ONCE, GROUP_ROWS = 1 << 15, 1 << 17


def write(path: Path, rows: Sequence[object], kind: type | None = None) -> None:
    """Write records of one type, in the order given, whole or not at all; `kind` is needed when there may be none."""
    import pyarrow
    import pyarrow.parquet

    columns = schema(kind or type(rows[0]))
    content = pyarrow.BufferOutputStream()
    with pyarrow.parquet.ParquetWriter(content, columns, compression="zstd", version="2.6") as writer:
        for start in range(0, max(1, len(rows)), GROUP_ROWS):
            some = rows[start : start + GROUP_ROWS]
            table = pyarrow.table([_array(some, field) for field in columns], schema=columns)
            writer.write_table(table, row_group_size=GROUP_ROWS)
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


def columns(path: Path, kind: type, names: Sequence[str] | None = None) -> "pyarrow.Table":
    """The same as columns, without a record for each row; some of them, or all."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        raise missing_record(path)
    try:
        file = pyarrow.parquet.ParquetFile(path)
        if not file.schema_arrow.equals(schema(kind)):
            raise RecordError(
                f"{path} does not hold {kind.__name__}. Written by another version? Run its stage again."
            )
        chosen = pyarrow.schema([schema(kind).field(name) for name in names or schema(kind).names])
        batches = file.iter_batches(ROWS_AT_ONCE, columns=chosen.names)
        return mapped.table((one.select(chosen.names) for one in batches), chosen)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowIOError) as problem:
        raise RecordError(
            f"{path} is not a Parquet file ({problem}). Run the stage that writes it again."
        ) from None


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
