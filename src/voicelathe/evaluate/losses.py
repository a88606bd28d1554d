"""Where are the per-clip validation losses kept? clip_losses.parquet: one row per candidate and clip, one column per component.

They are what makes differences between candidates paired, so they are kept for every clip and never averaged away.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import RecordError, missing_record
from voicelathe.records import ClipLoss

FIXED = ("candidate", "clip_id", "recording_id", "total")
PREFIX = "loss_"


def write(path: Path, rows: Sequence[ClipLoss]) -> None:
    """Write the rows in their order; equal rows give equal bytes. All rows have the same components, and there is at least one row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    components = sorted(rows[0].losses)
    assert all(sorted(row.losses) == components for row in rows), "rows with different components"
    columns: dict[str, Any] = {
        name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in FIXED[:3]
    }
    columns["total"] = pa.array([row.total for row in rows], pa.float64())
    for component in components:
        columns[PREFIX + component] = pa.array([row.losses[component] for row in rows], pa.float64())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    digest.write_bytes(path, sink.getvalue().to_pybytes())


def read(path: Path) -> list[ClipLoss]:
    """The rows in the order they were written; NaN stays NaN. Raises RecordError when the file is missing or not such a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise missing_record(path)
    try:
        columns = pq.read_table(path).to_pydict()
    except (pa.ArrowException, OSError) as problem:
        raise RecordError(
            f"{path} is not a readable Parquet file ({problem}). Run the stage evaluate again."
        ) from None
    components = [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]
    missing = [name for name in FIXED if name not in columns]
    if missing or not components or any(None in values for values in columns.values()):
        raise RecordError(
            f"{path}: not a table of clip losses: missing {missing}, components {components}, or empty cells. "
            "Run the stage evaluate again."
        )
    return [
        ClipLoss(
            candidate, clip, recording, {name: columns[PREFIX + name][row] for name in components}, total
        )
        for row, (candidate, clip, recording, total) in enumerate(
            zip(*(columns[name] for name in FIXED), strict=True)
        )
    ]
