"""Characters that turn the direction of writing or cannot be seen: dropped by a rule, never shown raw on a page."""

import unicodedata

import pytest

from tests.factories import rows
from voicelathe.data.audit import clean, report
from voicelathe.data.audit.clean import AuditResult

TURNING = [*map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))]
CONTROL = [chr(code) for code in (*range(0, 9), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0))]


def audited(text: str) -> AuditResult:
    return clean.audit([rows.manifest_row(1, text=text)], [], [rows.measured(1)], rows.AUDIT, rows.PHRASES)


@pytest.mark.parametrize("one", [*TURNING, *CONTROL], ids=lambda one: f"U+{ord(one):04X}")
def test_a_control_in_a_text_is_dropped_with_its_name(one: str) -> None:
    found = audited(f"The lamp {one}is on, and the rain has stopped for now.")
    assert found.clean == []
    (finding,) = [finding for finding in found.findings if finding.rule == "control_characters"]
    assert one not in finding.value and finding.value.isascii() and finding.value.isprintable()


@pytest.mark.parametrize("mark", ["\u061c", "\u200e", "\u200f"])
def test_a_mark_beside_letters_that_run_from_right_to_left_is_how_they_are_written(mark: str) -> None:
    said = f"המנורה ליד החלון דולקת, (3){mark} והגשם כבר פסק מזמן."
    row = rows.manifest_row(1, text=said, language="he")
    assert clean.audit([row], [], [rows.measured(1)], rows.AUDIT, rows.PHRASES).findings == []
    assert {one.rule for one in audited(said + "\u202e").findings} >= {"control_characters"}


def test_no_page_holds_a_character_that_cannot_be_seen() -> None:
    page = report.render(audited("The lamp \u202eis\u2066 on\u200b, \x07and\x00 the rain."))
    hidden = [one for one in page if unicodedata.category(one) in ("Cc", "Cf", "Cs") and one != "\n"]
    assert hidden == [] and "202e" in page


def test_zero_width_joiners_are_part_of_words_in_some_scripts() -> None:
    assert "control_characters" not in {one.rule for one in audited("क्\u200dष नमस्ते " * 3).findings}
