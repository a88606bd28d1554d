"""Tables that lie on the disk: a corpus of millions of rows is read piece by piece, and memory holds what somebody looks at.

What is larger than HELD_BYTES is written as Arrow IPC into a file without a name, which is gone with the process, and mapped. A page of
it that was read stays in memory until `let_go`, and is read again from the file, which the system still caches where it has room.
"""

import mmap
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from voicelathe.errors import DiskFull

Table = Any  # pyarrow.Table; it comes without types
Column = Any  # pyarrow.ChunkedArray
Batch = Any  # pyarrow.RecordBatch
HELD_BYTES = 1 << 25
_open: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()


def table(batches: Iterable[Batch], schema: Any) -> Table:
    """The rows of all batches, in memory while they are few. Raises DiskFull where the project's disk has no room for them."""
    import pyarrow

    waiting, held, size = iter(batches), list[Batch](), 0
    for batch in waiting:
        held.append(batch)
        size += batch.nbytes
        if size > HELD_BYTES:
            return _mapped(chain(_emptied(held), waiting), schema)
    return pyarrow.Table.from_batches(held, schema)


def column(arrays: Iterable[Any], kind: Any) -> Column:
    """One column, of arrays that follow each other."""
    import pyarrow

    schema = pyarrow.schema([pyarrow.field("values", kind)])
    chunks = (
        part for one in arrays for part in (one.chunks if isinstance(one, pyarrow.ChunkedArray) else [one])
    )
    return table((pyarrow.record_batch([part], schema=schema) for part in chunks), schema)["values"]


def let_go() -> None:
    """Give back the memory of pages that were read, and what was freed but kept for later. Nothing is lost: whoever looks again reads again."""
    import pyarrow

    for pages in list(_open):
        pages.madvise(mmap.MADV_DONTNEED)
    pyarrow.default_memory_pool().release_unused()


def _emptied(held: list[Batch]) -> Iterator[Batch]:
    while held:
        yield held.pop(0)


def _mapped(batches: Iterable[Batch], schema: Any) -> Table:
    import pyarrow.ipc

    try:
        with tempfile.TemporaryFile(dir=Path.cwd()) as file:
            _write(file, batches, schema)
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as problem:
        if problem.errno is None:  # Arrow's own, of the file that is read
            raise
        raise DiskFull(
            f"{Path.cwd()}: no place for the columns of a large corpus ({problem.strerror}), some 600 bytes a row while a command runs. "
            f"Free space, or allow writing there, then run the same command again."
        ) from problem
    _open.add(pages)
    return pyarrow.ipc.open_file(pyarrow.py_buffer(pages)).read_all()


def _write(file: IO[bytes], batches: Iterable[Batch], schema: Any) -> None:
    import pyarrow.ipc

    with pyarrow.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            let_go()
    file.flush()
