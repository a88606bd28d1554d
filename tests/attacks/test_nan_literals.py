"""NaN, infinities and numbers that become one: no JSON, but Python reads and writes them."""

import pytest

from tests.attacks.conftest import Lab
from tests.factories import rows


@pytest.mark.parametrize(
    ("literal", "code"),
    [
        *[(text, "nonfinite_number") for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999")],
        ("9" * 5000, "not_json"),  # Python refuses to read 4,300 digits
        ("nan", "not_json"),
        ("0x10", "not_json"),
        ("1_000", "not_json"),
        ("٣", "not_json"),
        ('"NaN"', "wrong_type"),
        ('"inf"', "wrong_type"),
        ('"1e999"', "wrong_type"),
        ("9" * 400, "wrong_type"),
        ("true", "wrong_type"),
    ],
)
def test_a_start_that_is_no_finite_number_is_refused(lab: Lab, literal: str, code: str) -> None:
    line = rows.json_lines(lab.root.parent / "x", [rows.raw(2, start_s="HERE")]).read_bytes().strip()
    assert lab.rejected(line.replace(b'"HERE"', literal.encode())) == code
