"""A corpus as columns: a million rows in a few hundred megabytes, and records only of the rows that somebody looks at."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

from voicelathe import digest, records
from voicelathe.data import tables
from voicelathe.errors import RecordError, missing_record
from voicelathe.records import files

Record = TypeVar("Record")
Table = Any  # pyarrow.Table; it comes without types
Column = Any  # pyarrow.ChunkedArray
Rows = Sequence[object] | Table
BLOCK_BYTES = 1 << 24  # a line must fit; texts are far shorter
LINES_AT_ONCE = 1 << 13


def read(path: Path, kind: type) -> Table:
    """The columns of a JSONL file of one record type, but for those that hold objects.

    The first line is checked as strictly as `records.read` does, every line for the types of its fields and for nulls.
    """
    import pyarrow
    import pyarrow.json

    if not path.is_file():
        raise missing_record(path)
    schema = _flat(tables.schema(kind))
    with path.open("rb") as file:
        first = file.readline()
    if not first:
        return schema.empty_table()
    pool = pyarrow.system_memory_pool()  # the usual one keeps some 400 MB of a million parsed rows
    try:
        records.from_json(kind, json.loads(first), f"{path}:1")
        parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        table = pyarrow.json.read_json(
            path,
            pyarrow.json.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=parse,
            memory_pool=pool,
        )
    except ValueError as problem:
        raise RecordError(f"{path}: {problem}. Run the stage that writes it again.") from None
    pool.release_unused()
    return table.select(schema.names).cast(schema)


def of(rows: Rows, kind: type) -> Table:
    """The columns of records; a table is taken as it is."""
    import pyarrow

    if isinstance(rows, pyarrow.Table):
        return rows
    schema = _flat(tables.schema(kind))
    return pyarrow.table(
        [pyarrow.array([getattr(row, field.name) for row in rows], field.type) for field in schema],
        schema=schema,
    )


def rows_of(table: Table, kind: type[Record], at: Any = None) -> list[Record]:
    """The records of some rows, by their places; of all rows without. What holds objects is empty in them."""
    chosen = table if at is None else table.take(at)
    missing: dict[str, Any] = {
        one.name: {} for one in fields(cast(Any, kind)) if one.name not in table.column_names
    }
    held = [chosen[name].to_pylist() for name in table.column_names]
    if not missing:
        return [kind(*values) for values in zip(*held, strict=True)]
    names = table.column_names
    return [kind(**dict(zip(names, values, strict=True)), **missing) for values in zip(*held, strict=True)]


def write(path: Path, table: Table, kind: type = records.CleanClip) -> None:
    """The same bytes as `records.write` of the same rows, which are of this type."""
    digest.write_parts(path, _lines(table, files.left_out(kind)))


def _lines(table: Table, left_out: Mapping[str, Any]) -> Iterator[bytes]:
    """Canonical JSON, column by column: three times as quick as row by row. What holds its default in a row is left out there, if it may be."""
    names = sorted(table.column_names)
    assert names[0] not in left_out, "a comma stands before every field but the first"
    pieces = ["%s" if name in left_out else f'"{name}":%s' for name in names]
    line = "{" + pieces[0] + "".join(piece if piece == "%s" else f",{piece}" for piece in pieces[1:]) + "}\n"
    for batch in table.to_batches(LINES_AT_ONCE):
        values = [
            _where_said(name, batch.column(name), left_out[name])
            if name in left_out
            else _as_json(batch.column(name))
            for name in names
        ]
        yield "".join(map(line.__mod__, zip(*values, strict=True))).encode()


def _where_said(name: str, column: Column, default: object) -> list[str]:
    """The whole field with the comma before it, or nothing."""
    told = zip(column.to_pylist(), _as_json(column), strict=True)
    return ["" if value == default else f',"{name}":{one}' for value, one in told]


def _as_json(column: Column) -> list[str]:
    import pyarrow
    import pyarrow.compute as pc

    values = column.to_pylist()
    if pyarrow.types.is_string(column.type):
        return ["null" if value is None else json.encoder.encode_basestring(value) for value in values]
    if pyarrow.types.is_floating(column.type) and pc.all(pc.is_finite(column)).as_py():
        return ["null" if value is None else float.__repr__(value) for value in values]
    return [digest.canonical_json(value) for value in values]


def numbers(column: Column) -> Any:
    """A numeric column as floats; null is NaN, which no comparison finds."""
    import pyarrow

    return column.cast(pyarrow.float64(), safe=False).to_numpy()


def mask(column: Column) -> Any:
    """A boolean column as an array; null is false."""
    import pyarrow.compute as pc

    return pc.fill_null(column, False).to_numpy()


def strings(values: Iterable[str]) -> Any:
    """An array to look texts up in."""
    import pyarrow

    return pyarrow.array(sorted(values), pyarrow.string())


def has_distinct(column: Column, num: int) -> bool:
    """Whether there are that many different values; a long column is read only until they are found."""
    found: set[Any] = set()
    for at in range(0, len(column), LINES_AT_ONCE):
        found.update(column.slice(at, LINES_AT_ONCE).drop_null().to_pylist())
        if len(found) >= num:
            return True
    return len(found) >= num


def codes(column: Column) -> Any:
    """Equal values have equal numbers from 0 on, and -1 where there is none."""
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(column).combine_chunks()
    found = encoded.indices if hasattr(encoded, "indices") else encoded.chunk(0).indices
    return pc.fill_null(found, -1).to_numpy()


def _flat(schema: Any) -> Any:
    import pyarrow

    return pyarrow.schema([field for field in schema if not pyarrow.types.is_map(field.type)])
