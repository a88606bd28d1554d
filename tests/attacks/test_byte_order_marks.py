"""Byte order marks, carriage returns and UTF-16: what editors and spreadsheets leave in a manifest."""

from pathlib import Path

import pytest

from tests.attacks.conftest import Lab
from tests.factories import rows
from voicelathe.data.manifest import ingest
from voicelathe.data.manifest.ingest import Ingested
from voicelathe.errors import ManifestError


def read(lab: Lab, content: bytes) -> Ingested:
    path = Path(lab.root.parent / "m.jsonl")
    path.write_bytes(content)
    return ingest.read(rows.ingest(path, lab.root), rows.SERIAL)


def three(lab: Lab) -> bytes:
    return rows.json_lines(lab.root.parent / "plain.jsonl", map(rows.raw, (1, 2, 3))).read_bytes()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_mark_and_carriage_returns_change_no_row_and_are_said(lab: Lab, mark: bytes, end: bytes) -> None:
    plain = three(lab)
    found = read(lab, mark + plain.replace(b"\n", end))
    assert found.rows == read(lab, plain).rows and found.rejected == []
    assert len(found.notes) == bool(mark) + (end != b"\n")


def test_a_mark_before_another_line_makes_that_line_no_row(lab: Lab) -> None:
    first, second, third = three(lab).splitlines()
    found = read(lab, b"\n".join([first, b"\xef\xbb\xbf" + second, third]))
    assert [one.line for one in found.rejected] == [2] and [row.line for row in found.rows] == [1, 3]


def test_a_lone_carriage_return_ends_no_line(lab: Lab) -> None:
    assert lab.rejected(b'{"audio":"a.wav"}\r{"audio":"b.wav"}') == "not_json"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_as_a_whole_with_the_way_out(lab: Lab, encoding: str) -> None:
    with pytest.raises(ManifestError, match=rf"UTF-16.*--encoding {encoding}$"):
        read(lab, three(lab).decode().encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be"])
def test_utf_32_is_refused_as_a_whole(lab: Lab, encoding: str) -> None:
    with pytest.raises(ManifestError):
        read(lab, three(lab).decode().encode(encoding))


def test_a_line_of_utf_16_in_the_middle_costs_that_line(lab: Lab) -> None:
    assert lab.rejected('{"audio":"ä.wav"}'.encode("utf-16-le")) == "not_utf8"
