"""A corpus as columns: what is large lies on the disk (`mapped`), and records are made only of the rows that somebody looks at."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from voicelathe import digest, records
from voicelathe.data import mapped, tables
from voicelathe.errors import RecordError, missing_record
from voicelathe.records import files

Record = TypeVar("Record")
Table = Any  # pyarrow.Table; it comes without types
Column = Any  # pyarrow.ChunkedArray
Rows = Sequence[object] | Table
BLOCK_BYTES = 1 << 24  # a line must fit; texts are far shorter
LINES_AT_ONCE = 1 << 13
ROWS_AT_ONCE, FEW_ROWS = 1 << 17, 1 << 13


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
    try:
        records.from_json(kind, json.loads(first), f"{path}:1")
        parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        size = pyarrow.json.ReadOptions(block_size=BLOCK_BYTES)
        batches = pyarrow.json.open_json(path, size, parse_options=parse)
        return mapped.table((one.select(schema.names).cast(schema) for one in batches), schema)
    except ValueError as problem:
        raise RecordError(f"{path}: {problem}. Run the stage that writes it again.") from None


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
    chosen = table if at is None else take(table, at)
    missing: dict[str, Any] = {
        one.name: {} for one in fields(cast(Any, kind)) if one.name not in table.column_names
    }
    held = [chosen[name].to_pylist() for name in table.column_names]
    if not missing:
        return [kind(*values) for values in zip(*held, strict=True)]
    names = table.column_names
    return [kind(**dict(zip(names, values, strict=True)), **missing) for values in zip(*held, strict=True)]


def pieces(table: Table) -> Iterator[tuple[int, Table]]:
    """Some rows at a time, each with the place of its first; at least one piece, which may be empty. Pages that were read are let go of."""
    for start in range(0, max(1, len(table)), ROWS_AT_ONCE):
        yield start, table.slice(start, ROWS_AT_ONCE)
        mapped.let_go()


def gather(table: Table, at: Any) -> Table:
    """The rows at some places, in that order; null is a row of nulls. On the disk when they are many."""

    parts = (take(table, at[start : start + ROWS_AT_ONCE]) for start in range(0, len(at), ROWS_AT_ONCE))
    return mapped.table((batch for part in parts for batch in part.to_batches()), table.schema)


def take(table: Table, at: Any) -> Table:
    """As `table.take`, which would first copy every column as a whole when it came in parts."""
    import pyarrow

    batches = table.to_batches()
    if len(batches) < 2:
        return table.take(at)
    at = at if hasattr(at, "is_valid") else pyarrow.array(at, pyarrow.int64())
    known, places = np.asarray(at.is_valid()), np.asarray(at.drop_null())
    order = np.argsort(places, kind="stable")
    ranked = places[order]
    starts = np.cumsum([0, *(len(one) for one in batches)])
    cuts = np.searchsorted(ranked, starts)
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.arange(len(order))
    back = np.zeros(len(known), np.int64)
    back[known] = inverse
    found = []
    for name in table.column_names:
        parts = [
            one.column(name).take(pyarrow.array(ranked[begin:end] - start))
            for one, start, begin, end in zip(batches, starts, cuts, cuts[1:], strict=False)
            if end > begin
        ]
        held = pyarrow.concat_arrays(parts) if parts else pyarrow.array([], table.schema.field(name).type)
        found.append(held.take(pyarrow.array(back, mask=~known)))
        if len(at) > FEW_ROWS:
            mapped.let_go()
    return pyarrow.table(found, schema=table.schema)


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
        mapped.let_go()


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
    """Equal values have equal numbers from 0 on, in the order in which they appear, and -1 where there is none.

    Texts are compared by 64 bits of their digests: of ten million, two are taken for equal once in 400,000 corpora.
    """
    import pyarrow

    found = np.empty(len(column), np.uint64)
    known = np.ones(len(column), bool)
    for start, piece in pieces(column):
        here = slice(start, start + len(piece))
        encoded = pyarrow.chunked_array(piece.chunks, piece.type).combine_chunks().dictionary_encode()
        encoded = encoded.combine_chunks() if isinstance(encoded, pyarrow.ChunkedArray) else encoded
        known[here] = encoded.is_valid().to_numpy(zero_copy_only=False)
        values = _digests(encoded.dictionary)
        if len(values):
            found[here] = values[encoded.indices.fill_null(0).to_numpy()]
    numbers = np.full(len(column), -1, np.int64)
    _, first, code = np.unique(found[known], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(len(first))
    numbers[known] = place[code]
    return numbers


def _digests(values: Any) -> Any:
    """64 bits for every value; numbers are their own."""
    import pyarrow

    if not pyarrow.types.is_string(values.type):
        return values.cast(pyarrow.int64()).to_numpy().view(np.uint64)
    made = (hashlib.blake2b(one.encode(), digest_size=8).digest() for one in values.to_pylist())
    return np.frombuffer(b"".join(made), "<u8")


def _flat(schema: Any) -> Any:
    import pyarrow

    return pyarrow.schema([field for field in schema if not pyarrow.types.is_map(field.type)])
