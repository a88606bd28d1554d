"""The table of per-clip losses: what is written is read, in the same bytes, and nothing else passes for it."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import evaluations as make
from voicelathe.errors import RecordError
from voicelathe.evaluate import losses

ROWS = make.paired_losses(
    {one: {"diff": 0.8, "stop": 0.1} for one in make.candidates(10)}, num_recordings=2, clips_each=2
)


def test_rows_come_back_as_they_were_written_and_give_the_same_bytes(tmp_path: Path) -> None:
    losses.write(tmp_path / "one.parquet", ROWS)
    losses.write(tmp_path / "two.parquet", ROWS)
    assert losses.read(tmp_path / "one.parquet") == ROWS
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_loss_that_is_not_a_number_stays_one_so_that_selection_can_refuse_it(tmp_path: Path) -> None:
    losses.write(tmp_path / "x.parquet", [replace(ROWS[0], losses={"diff": math.nan, "stop": 0.1})])
    (row,) = losses.read(tmp_path / "x.parquet")
    assert math.isnan(row.losses["diff"])


def test_a_missing_torn_or_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip_losses.parquet"
    with pytest.raises(RecordError, match=r"clip_losses\.parquet is missing"):
        losses.read(path)
    losses.write(path, ROWS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RecordError, match="not a readable Parquet file"):
        losses.read(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"candidate": ["base"], "clip_id": ["c"], "loss_diff": [0.1]}), path)
    with pytest.raises(RecordError, match=r"missing \['recording_id', 'total'\]"):
        losses.read(path)
    empty = {
        "candidate": ["base"],
        "clip_id": [None],
        "recording_id": ["r"],
        "total": [0.1],
        "loss_diff": [0.1],
    }
    pq.write_table(pa.table(empty), path)
    with pytest.raises(RecordError, match="empty cells"):
        losses.read(path)
