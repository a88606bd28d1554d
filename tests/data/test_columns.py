"""Columns say what records say: the same rows, the same bytes, the same text measures, the same refusals."""

import random
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from tests.factories import rows
from voicelathe import records
from voicelathe.data import columns, corpus
from voicelathe.data.near_duplicates import leakage
from voicelathe.data.text import alphabet, characters, normaliser
from voicelathe.data.text import columns as text_columns
from voicelathe.errors import RecordError
from voicelathe.records import CleanClip, ManifestRow

ALPHABET = " aZ0'._-\t\n\u2019\u00a0\u3000\u200b\u202e\uff21\u00df\u0130\u0301\u0e01\u4f60\u3042\ud55c\u0634\u064e[]\u266a\x7f\x00"


def texts() -> list[str | None]:
    draw = random.Random(3)
    made: list[str | None] = ["", " ", "It's  ONE.", " a ", None]
    made += ["".join(draw.choices(ALPHABET, k=draw.randrange(12))) for _ in range(2_000)]
    made += ["".join(draw.choices(" aZ'0.-[]", k=draw.randrange(12))) for _ in range(2_000)]
    made += ["".join(draw.choices(" aBC%$&\\n0.-<>_", k=draw.randrange(9))) for _ in range(4_000)]
    made += [
        "Dr. Smith",
        "e.g. this",
        "no. 5",
        "usw.",
        "a & b",
        "x",
        "X.",
        "IAX2",
        "(note)",
        "a -- b",
        "z. B. so",
        "etc.",
        "M I S D N",
        "mgcp",
        "a b c d",
    ]
    return made


def test_a_column_of_texts_is_measured_as_each_text_alone() -> None:
    made = texts()
    column = pyarrow.chunked_array([made[:100], made[100:]], pyarrow.string())
    given = [one for one in made if one is not None]
    assert [one for one in text_columns.plain(column).to_pylist() if one is not None] == [
        characters.plain(one) for one in given
    ]
    assert [one for one in text_columns.words(column).to_pylist() if one is not None] == [
        characters.words(one) for one in given
    ]
    fewest, most = text_columns.num_letters(column)
    assert list(zip(fewest[~np.isnan(fewest)].tolist(), most[~np.isnan(most)].tolist(), strict=True)) == [
        characters.num_letters(one) for one in given
    ]
    assert [one for one in text_columns.normalised(column).to_pylist() if one is not None] == [
        normaliser.text_of(one) for one in given
    ]
    assert text_columns.num_spoken_chars(column).to_pylist() == [
        characters.num_spoken_chars(one) for one in made
    ]


def test_records_written_and_read_as_columns_are_those_of_the_records(tmp_path: Path) -> None:
    known = [rows.clean_clip(number, text=f"Number {number} \u00e9\u3042 \u2028") for number in range(1, 40)]
    records.write(tmp_path / "records.jsonl", known)
    table = columns.read(tmp_path / "records.jsonl", CleanClip)
    columns.write(tmp_path / "columns.jsonl", table)
    assert (tmp_path / "columns.jsonl").read_bytes() == (tmp_path / "records.jsonl").read_bytes()
    assert columns.rows_of(table, CleanClip) == known
    assert columns.rows_of(table, CleanClip, [3, 1]) == [known[3], known[1]]


def test_every_text_and_number_is_written_as_its_record_is(tmp_path: Path) -> None:
    numbers = [0.0, -0.0, 1e-7, 1e16, 1e22, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, 123456.789]
    known = [
        rows.clean_clip(number, text=said or "", start_s=numbers[number % len(numbers)])
        for number, said in enumerate(texts()[:1_000])
    ]
    records.write(tmp_path / "records.jsonl", known)
    columns.write(tmp_path / "columns.jsonl", columns.of(known, CleanClip))
    assert (tmp_path / "columns.jsonl").read_bytes() == (tmp_path / "records.jsonl").read_bytes()


def test_a_field_that_was_added_later_is_left_out_of_the_rows_that_do_not_have_it(tmp_path: Path) -> None:
    """A corpus without controls has the bytes it always had."""
    said = {1: "slow", 3: "  "}
    known = [rows.clean_clip(number, control=said.get(number)) for number in range(5)]
    records.write(tmp_path / "records.jsonl", known)
    columns.write(tmp_path / "columns.jsonl", columns.of(known, CleanClip))
    written = (tmp_path / "columns.jsonl").read_bytes()
    assert written == (tmp_path / "records.jsonl").read_bytes()
    assert [b"control" in line for line in written.splitlines()] == [False, True, False, True, False]
    assert columns.rows_of(columns.read(tmp_path / "columns.jsonl", CleanClip), CleanClip) == known


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    table = columns.of([rows.clean_clip(1, start_s=float("nan"))], CleanClip)
    with pytest.raises(ValueError, match="JSON compliant"):
        columns.write(tmp_path / "columns.jsonl", table)
    assert list(tmp_path.iterdir()) == []


def test_rows_out_of_order_come_in_the_order_of_the_manifest() -> None:
    known = [rows.manifest_row(number) for number in (3, 1, 2)]
    found = corpus.of(known, [rows.measured(number) for number in (1, 2, 3)])
    assert found.rows["line"].to_pylist() == [1, 2, 3]
    assert found.measures["clip_id"].to_pylist() == found.rows["clip_id"].to_pylist()


def test_what_holds_objects_is_left_out_of_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    records.write(path, [rows.manifest_row(1, extra={"mood": "calm"}), rows.manifest_row(2, text=None)])
    table = columns.read(path, ManifestRow)
    assert "extra" not in table.column_names
    assert columns.rows_of(table, ManifestRow) == [rows.manifest_row(1), rows.manifest_row(2, text=None)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"clip_id":1}', "missing"),
        ("{oops", "Run the stage"),
        ('{"clip_id":"c2"}', "required field was absent"),
        ('{"clip_id":2}', "changed from"),
    ],
)
def test_a_file_that_another_version_wrote_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "clean.jsonl"
    records.write(path, [] if said in ("missing", "Run the stage") else [rows.clean_clip()])
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(RecordError, match=said):
        columns.read(path, CleanClip)


def test_a_missing_file_is_refused_and_an_empty_one_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="dvc checkout brings"):
        columns.read(tmp_path / "none.jsonl", CleanClip)
    records.write(tmp_path / "empty.jsonl", [])
    assert len(columns.read(tmp_path / "empty.jsonl", CleanClip)) == 0


def test_touching_intervals_are_those_of_a_double_loop() -> None:
    draw = np.random.default_rng(5)
    for _ in range(40):
        group, start_s = draw.integers(-1, 4, 40), draw.uniform(0, 100, 40).round(1)
        end_s = np.where(draw.random(40) < 0.1, np.nan, start_s + draw.uniform(0.1, 5, 40).round(1))
        expected = {
            one
            for one in range(40)
            for other in range(40)
            if one != other and group[one] == group[other] >= 0
            if start_s[one] < end_s[other] and start_s[other] < end_s[one]
        }
        found = set(leakage.touching(group, start_s, end_s).tolist())
        assert expected <= found and all(group[one] >= 0 for one in found)


def test_different_values_are_counted_over_batches_and_null_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "LINES_AT_ONCE", 2)
    column = pyarrow.chunked_array([["a", "a", None], ["b", None, "a", "c"]])
    assert columns.has_distinct(column, 3)
    assert not columns.has_distinct(column, 4)
    assert columns.has_distinct(column.slice(0, 0), 0)


def test_an_alphabet_is_the_same_whatever_number_of_texts_is_counted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ["Ab a", "b 7", "ß", "a"]
    table = pyarrow.table({"language": ["en", "en", "de", "en"], "text": said})
    whole = alphabet.of(table)
    assert [one.language for one in whole] == ["de", "en"]
    assert whole[1].characters == (("a", 2), ("b", 2), ("7", 1), ("A", 1))
    monkeypatch.setattr(alphabet, "TEXTS_AT_ONCE", 1)
    assert alphabet.of(table) == whole
