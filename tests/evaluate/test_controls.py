"""Is control kept? The candidate's effect over the base's, paired by line; a veto only where the base itself follows clearly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluate.test_probing import BEST, KNOWN, decided, judged
from tests.factories import evaluations as make
from voicelathe import families, records
from voicelathe.config import checks, params
from voicelathe.evaluate.report import panels
from voicelathe.evaluate.scoring import controls
from voicelathe.records import ProbeRecord

LINES = [f"clip-{number:02d}" for number in range(16)]


def spoken(
    share: float, base: float = 0.4, spread: float = 0.1, lines: int = 16
) -> dict[str, dict[str, float]]:
    """Effects of every kind, `share` of the base's, with a spread over lines that the base has, too, and one of its own."""
    draw = np.random.default_rng(round(1000 * abs(share)))
    shared = np.random.default_rng(7).normal(0, spread, (3, lines))
    return {
        kind: {
            line: share * (base + float(shared[at, number])) + float(draw.normal(0, spread / 4))
            for number, line in enumerate(LINES[:lines])
        }
        for at, kind in enumerate(controls.PAIRS)
    }


def probed(share: float, **how: Any) -> list[ProbeRecord]:
    own = spoken(1.0, **how)
    kept = {one.name: own for one in KNOWN} | {BEST: spoken(share, **how)}
    return make.probes(KNOWN, controls=kept)


def test_the_share_that_is_left_is_the_ratio_of_the_mean_effects() -> None:
    rows = judged(probed(0.8))
    base, _, best = rows
    assert base.control_kept == 1.0 and base.findings == []
    assert best.controls is not None and best.control_kept == pytest.approx(0.8, abs=0.05)
    for one in best.controls:
        assert one.kept == pytest.approx(one.effect / one.base_effect, abs=1e-5) and one.num_lines == 16
        assert one.kept_interval is not None and one.kept_interval.low < one.kept < one.kept_interval.high
    assert best.findings == []


@pytest.mark.parametrize("share", [0.0, 0.2, -0.3])
def test_a_candidate_that_lost_its_controls_shows_the_code_with_numbers(share: float) -> None:
    best = judged(probed(share))[2]
    assert [one.code for one in best.findings] == ["ignores_control"] * 3
    assert "slow and fast: " in best.findings[0] and "of the base's effect is left (95 % " in best.findings[0]
    assert "16 lines)" in best.findings[0]


def test_what_the_base_does_not_follow_clearly_excludes_nobody() -> None:
    best = judged(probed(0.0, base=0.0))[2]
    assert best.controls is not None and best.control_kept is None and best.findings == []
    few = judged(probed(0.0, lines=controls.MIN_LINES - 1))[2]
    assert few.controls is not None and few.controls[0].base_interval is None and few.findings == []


def test_half_of_the_effect_is_the_limit_and_doubt_excludes_nobody() -> None:
    assert judged(probed(0.6))[2].findings == []
    assert {one.code for one in judged(probed(0.35, spread=0.05))[2].findings} == {"ignores_control"}
    assert judged(probed(0.45, spread=0.5))[2].findings == [], "the interval reaches above half"


def test_lines_that_only_one_of_the_two_spoke_are_left_out() -> None:
    rows = probed(1.0)
    assert rows[2].controls is not None
    short = {
        kind: {line: value for line, value in held.items() if line != LINES[0]}
        for kind, held in rows[2].controls.items()
    }
    best = judged([*rows[:2], replace(rows[2], controls=short)])[2]
    assert best.controls is not None and {one.num_lines for one in best.controls} == {15}


@pytest.mark.parametrize(("share", "is_lost"), [(0.0, True), (1.0, False)])
def test_a_candidate_that_spoke_most_lines_is_judged_by_them_however_few_the_base_spoke(
    share: float, is_lost: bool
) -> None:
    """Between half of the base's lines and the fewest that judge a base nobody escapes, and nobody is blamed for it."""
    rows = probed(share, lines=controls.MIN_LINES)
    most = {kind: dict(list(held.items())[:-4]) for kind, held in (rows[2].controls or {}).items()}
    best = judged([*rows[:2], replace(rows[2], controls=most)])[2]
    assert best.controls is not None and {one.num_lines for one in best.controls} == {controls.MIN_LINES - 4}
    assert best.control_kept == pytest.approx(share, abs=0.1)
    assert [one.code for one in best.findings] == ["ignores_control"] * (3 if is_lost else 0)
    assert all("of the base's effect is left" in one for one in best.findings)


def test_one_kind_that_cannot_be_compared_is_not_left_out_of_what_is_kept() -> None:
    rows = probed(1.0)
    held = dict(rows[2].controls or {})
    held["pitch"] = dict(list(held["pitch"].items())[:2])
    best = judged([*rows[:2], replace(rows[2], controls=held)])[2]
    assert best.control_kept is None and [one.code for one in best.findings] == ["ignores_control"]


@pytest.mark.parametrize("left", [0, 3])
def test_a_candidate_that_fails_under_controls_does_not_escape_by_having_no_lines(left: int) -> None:
    rows = probed(1.0)
    broken = {kind: dict(list(held.items())[:left]) for kind, held in (rows[2].controls or {}).items()}
    best = judged([*rows[:2], replace(rows[2], controls=broken)])[2]
    assert best.control_kept is None and [one.code for one in best.findings] == ["ignores_control"] * 3
    assert (
        f"slow and fast: of 16 lines that the base spoke under both only {left} could be compared"
        in best.findings[0]
    )
    found = panels.rows(decided([*rows[:2], replace(rows[2], controls=broken)]))[2]
    assert f"pace on {left} of 16 lines" in found.cells[-1]


def test_a_base_that_follows_nothing_is_seldom_taken_to_follow() -> None:
    """By chance, over 300 bases whose effects are noise: the denominator of what is kept must not be chance."""
    draw = np.random.default_rng(5)
    lines = [f"l{number:02d}" for number in range(16)]
    own = (
        {line: float(value) for line, value in zip(lines, row, strict=True)}
        for row in draw.normal(0, 1, (300, 16))
    )
    follows = [controls._kept("pace", one, one, number).follows for number, one in enumerate(own)]
    assert sum(follows) <= 0.02 * 300


def test_a_veto_excludes_where_the_recipe_names_it_and_is_noted_where_not() -> None:
    noted = decided(probed(0.0))
    assert noted.selected == BEST, "make.SELECT does not name it"
    assert any("slow and fast" in str(reason) for row in noted.ranking for reason in row.notes)


def test_where_controls_were_not_asked_nothing_that_is_written_knows_of_them() -> None:
    plain = judged(make.probes(KNOWN))
    assert all("controls" not in records.to_json(one) for one in (*plain, *make.probes(KNOWN)))
    found = decided(make.probes(KNOWN))
    assert panels.columns(found) == panels.COLUMNS and len(panels.rows(found)[0].cells) == len(panels.COLUMNS)


def test_the_report_says_what_was_kept_in_a_column_of_its_own() -> None:
    found = decided(probed(0.8))
    columns, rows = panels.columns(found), panels.rows(found)
    assert columns[-1][0] == "control kept" and {len(row.cells) for row in rows} == {len(columns)}
    assert rows[0].cells[-1] == "1.00 of the base's (pace 1.00, level 1.00, pitch 1.00)"
    assert rows[2].cells[-1].startswith("0.78 of the base's (pace 0.79, ")
    nothing = panels.rows(decided(probed(0.8, base=0.0)))[2]
    unheard = "not followed clearly by the base"
    assert nothing.cells[-1] == f"not judged (pace {unheard}, level {unheard}, pitch {unheard})"
    few = panels.rows(decided(probed(0.0, lines=5)))[2]
    assert (
        few.cells[-1]
        == "not judged (pace on too few lines (5), level on too few lines (5), pitch on too few lines (5))"
    )


def test_records_with_controls_are_read_back_as_they_were() -> None:
    for one in (*probed(0.8), *judged(probed(0.8))):
        assert records.from_json(type(one), records.to_json(one), "x") == one


def test_settings_that_show_nothing_or_that_a_family_does_not_have_are_refused_by_name() -> None:
    one = params.load().recipes["mini-lora"]
    asked = replace(one, evaluate=replace(one.evaluate, control_lines=16))
    for name in families.TABLE:
        said = [
            line for line in checks.of_family("recipes.x", asked, families.spec(name)) if "control" in line
        ]
        if name == "voxcpm2":
            assert said == []
        else:
            assert said == [
                f"recipes.x.evaluate.control_lines = 16: upstream's {name} knows no control, only voxcpm2; set it to 0"
            ]
    named = replace(one, select=replace(one.select, vetoes=[*one.select.vetoes, "ignores_control"]))
    (said_,) = [
        line for line in checks.of_family("recipes.x", named, families.spec("voxcpm2")) if "control" in line
    ]
    assert "evaluate.control_lines is 0: nothing would show it" in said_
    few = replace(one, evaluate=replace(one.evaluate, control_lines=controls.MIN_LINES - 1))
    assert [
        line for line in checks.of_family("recipes.x", few, families.spec("voxcpm2")) if "control" in line
    ] == [
        "recipes.x.evaluate.control_lines = 11: so few lines show nothing; set 12 or more, or 0 to leave it out"
    ]
