"""A key given twice: Python's reader takes the last, so that a text can vanish behind an empty one."""

import pytest

from tests.attacks.conftest import Lab

ROW = b'{"audio":"rec_02.wav","recording_id":"r","speaker_id":"s","language":"en",'


@pytest.mark.parametrize(
    "rest",
    [
        b'"text":"a","text":""}',
        b'"text":"a","te\\u0078t":"b"}',  # the same key once it is read
        b'"text":"a","extra":{"b":1,"b":2}}',
        b'"text":"a","extra":[{"b":1,"b":1}]}',
        b'"text":"a","":1,"":2}',
    ],
)
def test_a_key_given_twice_is_refused(lab: Lab, rest: bytes) -> None:
    assert lab.rejected(ROW + rest) == "duplicate_key"


def test_keys_that_only_look_alike_are_two_keys(lab: Lab) -> None:
    assert lab.rejected(ROW + '"text":"a","teхt":"b"}'.encode()) == "missing"  # a row: its file is not there
