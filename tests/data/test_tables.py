"""Records as Parquet come back as they were, and the wrong file is refused."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.factories import rows
from voicelathe.data import tables
from voicelathe.errors import RecordError
from voicelathe.records import ClipLoss, ClipMeasure, Finding


@dataclass(frozen=True)
class Mixed:
    name: str
    count: int | None
    shares: dict[str, float]
    tags: list[str]
    is_good: bool


MIXED = [Mixed("a", None, {"z": 1.0, "b": 0.5}, [], True), Mixed("\u58f0", -3, {}, ["x", ""], False)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    for kept in (
        MIXED,
        [rows.measured(1), rows.unmeasured(2, "missing")],
        [ClipLoss("a", "b", "c", {"diff": 0.25}, 1.0)],
    ):
        tables.write(tmp_path / "t.parquet", kept)
        assert tables.read(tmp_path / "t.parquet", type(kept[0])) == kept


def test_the_same_records_are_the_same_bytes(tmp_path: Path) -> None:
    other = [Mixed("a", None, {"b": 0.5, "z": 1.0}, [], True), MIXED[1]]
    tables.write(tmp_path / "one", MIXED)
    tables.write(tmp_path / "two", other)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_records_are_a_table_too(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", [], Finding)
    assert tables.read(tmp_path / "t.parquet", Finding) == []


def test_a_wrong_missing_or_broken_table_is_refused_with_the_way_out(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", [], Finding)
    with pytest.raises(RecordError, match="does not hold ClipMeasure"):
        tables.read(tmp_path / "t.parquet", ClipMeasure)
    with pytest.raises(RecordError, match=r"is missing\. Where a stage was refused or killed, dvc checkout"):
        tables.read(tmp_path / "none.parquet", Finding)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(RecordError, match="is not a Parquet file"):
        tables.read(tmp_path / "t.parquet", Finding)
