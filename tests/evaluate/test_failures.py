"""Which codes exclude a candidate: those it shows too often, but not for what the base does as often."""

from dataclasses import replace

import pytest

from tests.factories import evaluations as make
from voicelathe.config import schema
from voicelathe.evaluate import failures
from voicelathe.stages import listen

KNOWN = make.candidates(10)
BASE, FIRST = (each.name for each in KNOWN)
LINES = list(make.MANY)  # 24; a quarter of them may be vetoed


def shown(
    code: str, mine: list[str], base: list[str], select: schema.Select = make.SELECT
) -> failures.MetricFailures:
    spoken = make.samples(KNOWN, make.MANY)
    outside = {
        (name, line): {code: "0.5, at most 0.4"} for name, on in ((FIRST, mine), (BASE, base)) for line in on
    }
    return failures.measured_vetoes(make.measures(spoken, outside), spoken, select)


def test_what_the_base_does_on_the_same_lines_excludes_nobody() -> None:
    found = shown("garbled", LINES[:11], LINES[:10])
    assert found.vetoes == {}
    (note,) = found.notes[FIRST]
    assert note.startswith("garbled: 11 of 24 samples (the base in 10), line line-10 (")


def test_as_many_failures_on_other_lines_than_the_base_exclude() -> None:
    found = shown("garbled", LINES[10:20], LINES[:10])
    (veto,) = found.vetoes[FIRST]
    assert veto.startswith("garbled: 10 of 24 samples (the base in 10), line line-10 (")


@pytest.mark.parametrize(("own", "excludes"), [(3, False), (4, True)])
def test_the_share_is_of_the_lines_on_which_the_base_is_free_of_it(own: int, excludes: bool) -> None:
    found = shown("truncated", [*LINES[:4], *LINES[12 : 12 + own]], LINES[:12])
    assert bool(found.vetoes) is excludes, "a quarter of twelve lines is three"


def test_who_fails_more_often_than_not_is_excluded_whatever_the_base_does() -> None:
    assert FIRST not in shown("garbled", LINES[:12], LINES).vetoes
    assert FIRST in shown("garbled", LINES[:13], LINES).vetoes


def test_of_who_speaks_the_base_is_no_example() -> None:
    select = replace(make.SELECT, vetoes=["wrong_speaker"])
    assert FIRST in shown("wrong_speaker", LINES[:7], LINES, select).vetoes


def test_where_no_guard_compares_with_the_base_the_base_is_no_example() -> None:
    deaf = replace(make.SELECT, guards=replace(make.GUARDS, words=None))
    assert FIRST in shown("garbled", LINES[:7], LINES[:7], deaf).vetoes
    assert FIRST not in shown("garbled", LINES[:7], LINES[:7]).vetoes


def test_a_race_keeps_whom_the_decision_would_keep() -> None:
    block = dict(list(make.MANY.items())[:12])
    spoken = make.samples(KNOWN, block)
    totals = {each.name: 1.0 for each in KNOWN}

    def failed(mine: list[str], base: list[str]) -> dict[str, str]:
        outside = {
            (name, line): {"garbled": "0.5"} for name, on in ((FIRST, mine), (BASE, base)) for line in on
        }
        return dict(listen.heard(spoken, make.measures(spoken, outside), make.SELECT, totals, 24).failed)

    assert failed(LINES[:8], []) == {FIRST: "garbled on 8 lines, too many of 24 already"}
    assert failed(LINES[:8], LINES[:6]) == {}
    assert failed(LINES[:11], LINES[:6]) == {FIRST: "garbled on 11 lines, too many of 24 already"}, (
        "5 of 18 lines"
    )
