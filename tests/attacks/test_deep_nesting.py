"""Brackets in brackets: 100,000 of them end Python's reader, 40 end those who read what we write."""

import pytest

from tests.attacks.conftest import Lab

ROW = b'{"audio":"a.wav","text":"a","x":'


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000,  # never closed
        ROW + b"[" * 40 + b"]" * 40 + b"}",
        ROW + b'{"a":' * 40 + b"1" + b"}" * 41,
    ],
    ids=["lists", "objects", "open", "40 lists in a row", "40 objects in a row"],
)
def test_a_line_that_is_nested_too_deeply_is_refused(lab: Lab, line: bytes) -> None:
    assert lab.rejected(line) == "too_deep"


def test_a_moderate_depth_is_a_row(lab: Lab) -> None:
    full = b'{"audio":"rec_01.wav","text":"a","recording_id":"r","speaker_id":"s","language":"en","x":'
    assert lab.rejected(full + b"[" * 30 + b"]" * 30 + b"}") is None
