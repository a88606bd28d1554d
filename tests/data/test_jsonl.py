"""The strict reader: what is not plainly one object on one line is a problem with the right number."""

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicelathe.data.manifest import jsonl
from voicelathe.data.manifest.jsonl import LineProblem
from voicelathe.errors import ManifestError

REFUSED = {
    "duplicate_key": b'{"text":"a","text":""}',
    "duplicate_key in an inner object": b'{"a":{"b":1,"b":2}}',
    "nonfinite_number NaN": b'{"end_s":NaN}',
    "nonfinite_number -Infinity": b'{"end_s":-Infinity}',
    "nonfinite_number 1e999": b'{"end_s":1e999}',
    "not_json a number of 5,000 digits": b'{"end_s":' + b"9" * 5000 + b"}",
    "not_json trailing comma": b'{"a":1,}',
    "not_json two objects": b'{"a":1}{"b":2}',
    "not_json raw control character": b'{"text":"a\x01b"}',
    "not_json single quotes": b"{'a':1}",
    "too_deep 100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "too_deep 40 objects": b'{"a":' * 40 + b"1" + b"}" * 40,
    "lone_surrogate in a value": b'{"text":"\\ud800"}',
    "lone_surrogate in a key": b'{"\\udfff":1}',
    "lone_surrogate deep inside": b'{"a":[{"b":["\\ud800"]}]}',
    "not_utf8 latin-1": b'{"text":"caf\xe9"}',
    "not_an_object list": b"[1]",
    "not_an_object null": b"null",
    "not_an_object text": b'"audio.wav"',
    "blank_line": b"",
    "blank_line of spaces": b"   \t",
}
TAKEN = {
    "a line separator inside a text": '{"text":"a\u2028b\u0085c"}'.encode(),
    "an escaped pair of surrogates": b'{"text":"\\ud83d\\ude00"}',
    "an escaped NUL": b'{"audio":"a\\u0000.wav"}',
    "spaces around": b'  {"a": 1}  ',
    "a text of half a megabyte": b'{"text":"' + b"x" * 500_000 + b'"}',
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_line_that_is_no_row_is_refused_with_its_code(case: str) -> None:
    with pytest.raises(LineProblem) as refused:
        jsonl.parse(REFUSED[case])
    assert refused.value.code == case.split(" ")[0]


@pytest.mark.parametrize("case", TAKEN)
def test_an_unusual_but_plain_line_is_taken(case: str) -> None:
    assert isinstance(jsonl.parse(TAKEN[case]), dict)


def lines(path: Path, content: bytes) -> tuple[list[tuple[int, bytes, bool]], list[str]]:
    path.write_bytes(content)
    reader = jsonl.Lines(path)
    return list(reader), reader.notes


def test_lines_are_counted_at_line_feeds_only(tmp_path: Path) -> None:
    content = 'a\u2028b\u0085c\n\n{"x":1}\x0b\x0c\nlast without an end'.encode()
    found, notes = lines(tmp_path / "m.jsonl", content)
    assert [number for number, _, _ in found] == [1, 2, 3, 4]
    assert found[0][1] == "a\u2028b\u0085c".encode()
    assert found[3][1] == b"last without an end" and notes == []


def test_a_byte_order_mark_and_carriage_returns_are_left_out_and_said(tmp_path: Path) -> None:
    found, notes = lines(tmp_path / "m.jsonl", b'\xef\xbb\xbf{"a":1}\r\n{"b":2}\r\n')
    assert [data for _, data, _ in found] == [b'{"a":1}', b'{"b":2}']
    assert len(notes) == 2 and "byte order mark" in notes[0] and "2 lines end in CRLF" in notes[1]


def test_a_byte_order_mark_after_line_1_is_not_left_out(tmp_path: Path) -> None:
    found, _ = lines(tmp_path / "m.jsonl", b'{"a":1}\n\xef\xbb\xbf{"b":2}\n')
    assert found[1][1].startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_as_a_whole(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ManifestError, match="UTF-16"):
        lines(tmp_path / "m.jsonl", '{"audio":"a.wav"}\n'.encode(encoding))


def test_a_line_over_the_cap_is_cut_and_the_next_keeps_its_number(tmp_path: Path) -> None:
    long = b'{"text":"' + b"x" * (3 * jsonl.MAX_LINE_BYTES) + b'"}'
    found, _ = lines(tmp_path / "m.jsonl", b'{"a":1}\n' + long + b'\n{"b":2}\n')
    assert [(number, whole) for number, _, whole in found] == [(1, True), (2, False), (3, True)]
    assert len(found[1][1]) <= jsonl.MAX_LINE_BYTES + 1 and found[2][1] == b'{"b":2}'


def test_a_line_of_exactly_the_cap_is_whole(tmp_path: Path) -> None:
    found, _ = lines(tmp_path / "m.jsonl", b"x" * jsonl.MAX_LINE_BYTES + b"\n" + b"y" * jsonl.MAX_LINE_BYTES)
    assert [whole for _, _, whole in found] == [True, True]


def test_a_missing_manifest_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"ingest\.manifest"):
        jsonl.Lines(tmp_path / "nothing.jsonl")


def test_an_excerpt_shows_what_cannot_be_seen_and_is_short() -> None:
    assert jsonl.excerpt(b"a\x00\xff\xe2\x80\xaeb") == "a\\x00\\xff\\u202eb"
    assert len(jsonl.excerpt(b"x" * 100_000)) == jsonl.EXCERPT_CHARS


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b'{"a":' * 30)
def test_any_bytes_are_an_object_or_a_problem(data: bytes) -> None:
    try:
        value = jsonl.parse(data)
    except LineProblem as problem:
        assert problem.code and problem.detail
    else:
        assert isinstance(value, dict)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_every_object_that_python_writes_is_read_back(value: dict[str, object]) -> None:
    import json

    assert jsonl.parse(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_line_that_only_begins_like_excels_stays(tmp_path: Path) -> None:
    for first in ("sep=", "sep=;a.wav", "September;text", "sep=ab"):
        (tmp_path / "m.csv").write_text(f"{first}\na;b\n")
        assert [number for number, *_ in jsonl.Lines(tmp_path / "m.csv")] == [1, 2]
    (tmp_path / "m.csv").write_text("audio;text\nsep=;\n")
    assert len(list(jsonl.Lines(tmp_path / "m.csv"))) == 2  # only the first line is Excel's


@pytest.mark.parametrize("end", ["", "a"], ids=["Excel's", "a row"])
def test_a_first_line_of_separators_alone_takes_no_time(tmp_path: Path, end: str) -> None:
    (tmp_path / "m.csv").write_text(f"sep=\t{chr(9) * 300_000}{end}\na\tb\n")
    started = time.process_time()
    assert len(list(jsonl.Lines(tmp_path / "m.csv"))) == (2 if end else 1)
    assert time.process_time() - started < 1.0
