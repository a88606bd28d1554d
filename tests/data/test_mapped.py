"""What lies on the disk is what would lie in memory, piece by piece, and the stages decide the same on it."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc
import pytest

from tests.data.test_gate import corpus, of_rows
from tests.data.test_suspects import PHRASES, made
from tests.factories import rows
from voicelathe import records
from voicelathe.data import columns, mapped
from voicelathe.data.audit import clean
from voicelathe.data.gate import suite
from voicelathe.data.split import assign
from voicelathe.errors import DiskFull
from voicelathe.records import CleanClip, ManifestRow, RejectedLine
from voicelathe.stages import gate


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything lies on the disk, in pieces of seven rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mapped, "HELD_BYTES", 0)
    monkeypatch.setattr(columns, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(columns, "FEW_ROWS", 2)
    monkeypatch.setattr(suite, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr(suite, "ROWS_AT_FIRST", 2)


def in_parts(num: int = 40) -> pyarrow.Table:
    whole = pyarrow.table({"name": [f"n{at % 9}" if at % 4 else None for at in range(num)], "at": range(num)})
    return mapped.table(whole.to_batches(max_chunksize=6), whole.schema)


def test_a_table_on_the_disk_is_the_table_and_leaves_no_file(small: None, tmp_path: Path) -> None:
    held = in_parts()
    assert held["name"].num_chunks > 3 and list(tmp_path.iterdir()) == []
    before = held.to_pylist()
    mapped.let_go()
    assert held.to_pylist() == before and pyarrow.total_allocated_bytes() < 1 << 20


def test_a_small_table_needs_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")  # where nothing can be written
    assert in_parts()["at"].to_pylist() == list(range(40))


def test_no_room_for_the_columns_is_said(small: None) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(DiskFull, match=r"no place for the columns of a large corpus \(File too large\)"):
            in_parts()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_folder_that_nothing_can_be_written_into_is_named(
    monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    monkeypatch.chdir("/proc")
    with pytest.raises(DiskFull, match="/proc: no place for the columns"):
        in_parts()


@pytest.mark.parametrize("places", [[], [3], [39, 0, 5, 5, 38], list(range(39, -1, -1)), [None, 7, None, 2]])
def test_gathered_rows_are_the_rows_that_arrow_takes(small: None, places: list[int | None]) -> None:
    held, at = in_parts(), pyarrow.array(places, pyarrow.int64())
    expected = held.take(at).to_pylist()
    assert columns.gather(held, at).to_pylist() == expected == columns.take(held, at).to_pylist()
    if None not in places:
        assert columns.gather(held, np.array(places, np.int64)).to_pylist() == expected


def test_equal_values_have_equal_numbers_in_the_order_in_which_they_appear(small: None) -> None:
    held = in_parts()
    names = held["name"].to_pylist()
    known = list(dict.fromkeys(one for one in names if one is not None))
    assert columns.codes(held["name"]).tolist() == [-1 if one is None else known.index(one) for one in names]
    assert columns.codes(held["at"]).tolist() == list(range(40))
    assert columns.codes(pyarrow.chunked_array([[None, None]], pyarrow.string())).tolist() == [-1, -1]
    assert columns.codes(pyarrow.chunked_array([], pyarrow.string())).tolist() == []


def test_a_file_read_in_parts_is_the_file(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(columns, "BLOCK_BYTES", 2_000)
    known = [rows.manifest_row(number, text=f"Number {number}") for number in range(1, 60)]
    records.write(tmp_path / "rows.jsonl", known)
    held = columns.read(tmp_path / "rows.jsonl", ManifestRow)
    assert held["line"].num_chunks > 5 and columns.rows_of(held, ManifestRow) == known
    columns.write(tmp_path / "again.jsonl", columns.of([rows.clean_clip(one) for one in range(9)], CleanClip))
    assert len((tmp_path / "again.jsonl").read_bytes().splitlines()) == 9


def test_the_audit_finds_the_same_piece_by_piece(request: pytest.FixtureRequest) -> None:
    known, measures, heard = made(3, 90)
    rejected = [RejectedLine(at, "not_json", "no", "{") for at in (4, 91, 200)]
    whole = clean.audit(known, rejected, measures, rows.AUDIT, PHRASES, heard)
    expected = (whole.findings, list(whole.quarantine), whole.links, whole.clean, clean.summary(whole))
    request.getfixturevalue("small")
    found = clean.audit(known, rejected, measures, rows.AUDIT, PHRASES, heard)
    assert (
        found.findings,
        list(found.quarantine),
        found.links,
        found.clean,
        clean.summary(found),
    ) == expected
    assert len(found.quarantine) == len(list(found.quarantine)) > 40 and found.coverage == whole.coverage


def test_every_row_of_the_quarantine_has_its_own_reasons(small: None) -> None:
    known, measures, heard = made(5, 60)
    found = clean.audit(known, [], measures, rows.AUDIT, PHRASES, heard)
    for one in found.quarantine:
        assert one.reasons == [some.rule for some in found.findings if some.clip_id == one.clip_id]


def test_a_split_is_the_same_piece_by_piece(request: pytest.FixtureRequest) -> None:
    clips = rows.recordings(20)
    whole = assign.assign(clips[::-1], rows.SPLIT, 1)
    request.getfixturevalue("small")
    found = assign.assign(clips[::-1], rows.SPLIT, 1)
    assert found.clips == whole.clips and found.assignments == whole.assignments


def test_the_gate_counts_over_all_pieces_and_names_the_first_of_them(request: pytest.FixtureRequest) -> None:
    """Of ids that are twice, in two pieces; of rows that fail, in the last piece only; of a split in one piece."""
    made_rows = [rows.gate_row(number, split="test" if number > 15 else "train") for number in range(1, 18)]
    made_rows[1] = replace(made_rows[1], clip_id="c0016", speaker_id=None)
    made_rows[15] = replace(made_rows[15], num_spoken_chars=0.0, plain_text="thanks for watching")
    made_rows[16] = replace(made_rows[16], num_spoken_chars=0.0, duration_s=99.0)
    table = of_rows(made_rows)
    whole = suite.judge(table, rows.GATE)
    request.getfixturevalue("small")
    assert suite.judge(table, rows.GATE) == whole
    failed = {one.name: (one.num_unexpected, one.clip_ids) for one in whole.checks if not one.passed}
    assert failed == {
        "no_empty_text": (2, ["c0016", "c0017"]),
        "no_boilerplate": (1, ["c0016"]),
        "duration": (1, ["c0017"]),
        "three_splits": (0, []),
        "unique_ids": (2, ["c0016", "c0016"]),
        "speaker_id_given": (1, ["c0016"]),
    }


def test_what_the_gate_looks_at_is_the_same_piece_by_piece(request: pytest.FixtureRequest) -> None:
    def looked(data: gate.Data) -> list[dict[str, Any]]:
        leaks = gate.line_leaks.of_splits(data.splits, data.packs)
        splits = gate.table.of_splits(data.splits, data.rows, data.measures, {}, leaks)
        return [
            *splits.to_pylist(),
            *gate.table.of_manifest(data.rows, data.measures, {}, data.packs).to_pylist(),
        ]

    data = corpus()
    whole = looked(data)
    request.getfixturevalue("small")
    assert looked(data) == whole and len(whole) == 18
    assert pc.all(pc.is_valid(pyarrow.array([one["duration_s"] for one in whole]))).as_py()
