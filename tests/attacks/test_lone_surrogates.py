"""Half of a surrogate pair: it passes every reader and fails when somebody writes it, long after."""

import pytest

from tests.attacks.conftest import Lab
from tests.factories import rows


@pytest.mark.parametrize(
    "line",
    [
        b'{"audio":"a.wav","text":"\\ud800"}',
        b'{"audio":"a.wav","text":"a\\udfffb"}',
        b'{"audio":"a\\ud800.wav","text":"a"}',
        b'{"audio":"a.wav","\\udc00":"a"}',
        b'{"audio":"a.wav","text":"\\udc00\\ud800"}',  # a pair the wrong way round
        b'{"audio":"a.wav","extra":{"deep":["\\ud800"]}}',
    ],
)
def test_half_of_a_pair_is_refused(lab: Lab, line: bytes) -> None:
    assert lab.rejected(line) == "lone_surrogate"


def test_surrogates_as_bytes_are_no_utf_8(lab: Lab) -> None:
    assert lab.rejected(b'{"audio":"a.wav","text":"\xed\xa0\x80"}') == "not_utf8"


def test_a_whole_pair_is_one_character(lab: Lab) -> None:
    assert lab.rejected(rows.raw(2, audio="rec_01.wav", text="\U0001f600 hello")) is None
