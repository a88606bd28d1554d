"""Texts of a megabyte: a line over the cap is never held in memory, one under it is a row that a rule drops."""

import resource

from tests.attacks.conftest import Lab
from tests.factories import rows
from voicelathe.data.audit import clean, report
from voicelathe.data.manifest import jsonl


def test_a_line_over_the_cap_is_refused_whatever_follows(lab: Lab) -> None:
    assert lab.rejected(rows.raw(2, text="x" * jsonl.MAX_LINE_BYTES)) == "too_long"


def test_a_line_of_a_gigabyte_is_not_held_in_memory(lab: Lab) -> None:
    path = lab.root.parent / "m.jsonl"
    with path.open("wb") as file:
        file.write(b'{"audio":"a.wav","text":"')
        file.truncate(1 << 30)  # sparse: zeros up to here
        file.seek(0, 2)
        file.write(b'"}\n{"audio":"b.wav"}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(jsonl.Lines(path))
    assert [(number, whole) for number, _, whole in found] == [(1, False), (2, True)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_text_just_under_the_cap_is_a_row_that_is_dropped_and_shown_cut(lab: Lab) -> None:
    long = "<b>" + "x" * (jsonl.MAX_LINE_BYTES - 2000)
    assert lab.rejected(rows.raw(2, audio="rec_01.wav", text=long)) is None
    found = clean.audit([rows.manifest_row(1, text=long)], [], [rows.measured(1)], rows.AUDIT, rows.PHRASES)
    assert "long_text" in {finding.rule for finding in found.findings} and found.clean == []
    assert len(report.render(found)) < 200_000
