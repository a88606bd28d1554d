"""Validation picks the step; metrics may pick another strength of it, where the lines can show it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import evaluations as make
from voicelathe.evaluate import report, selection
from voicelathe.records import Candidate, SampleRecord, Selection, SpeechMeasures

BASE, HALF, FULL = Candidate(0, None), Candidate(20, 0.5), Candidate(20, 1.0)
KNOWN = [BASE, Candidate(10, 1.0), HALF, FULL]
TOTALS = {BASE: 1.0, KNOWN[1]: 0.9, HALF: 0.82, FULL: 0.8}
ROWS = make.paired_losses({one: {"diff": 0.9 * total, "stop": 0.1 * total} for one, total in TOTALS.items()})
TWELVE = {f"line-{number:02d}": f"Sentence {number}." for number in range(12)}


def measured(spoken: list[SampleRecord], better: int) -> SpeechMeasures:
    """`cer` of the half strength is lower than that of full strength on the first `better` lines, higher on the others."""
    found = make.measures(spoken)
    lines = sorted(TWELVE)
    samples = [
        replace(one, values={"cer": 0.1 if lines.index(one.line_id) < better else 0.3})
        if one.candidate == HALF.name
        else one
        for one in found.samples
    ]
    return replace(found, samples=samples)


def decided(better: int, lines: dict[str, str] | None = None) -> Selection:
    spoken = make.samples(KNOWN, lines or TWELVE)
    measures = measured(spoken, better) if lines is None else make.measures(spoken)
    return selection.decide(
        make.run(), make.evaluations(ROWS, KNOWN), ROWS, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN), measures
    )  # fmt: skip


def test_a_strength_that_sounds_better_on_nearly_every_line_is_shipped_instead_of_full_strength() -> None:
    found = decided(better=12)
    assert found.nominee == FULL.name and found.selected == HALF.name
    assert (found.decided_by, found.lora_scale) == ("metrics", 0.5)
    assert any(
        "Metrics prefer step 20 at strength 0.5" in reason and "cer 12 to 0" in reason
        for reason in found.reasons
    )


@pytest.mark.parametrize("better", [0, 5, 8])
def test_without_a_significant_difference_or_with_a_worse_one_validation_decides(better: int) -> None:
    found = decided(better)
    assert (found.selected, found.decided_by) == (FULL.name, "validation")


def test_two_lines_cannot_choose_a_strength_and_the_report_says_so() -> None:
    spoken = make.samples(KNOWN)
    samples = [
        replace(one, values={"cer": 0.1 * len(one.candidate)}) for one in make.measures(spoken).samples
    ]
    found = selection.decide(
        make.run(), make.evaluations(ROWS, KNOWN), ROWS, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN),
        replace(make.measures(spoken), samples=samples),
    )  # fmt: skip
    assert found.selected == FULL.name
    assert any("2 lines cannot show by metrics" in note for note in found.notes)


def judged(best: Candidate, better: int = 12) -> Selection:
    """Two listeners, who prefer one strength of step 20 on every line; metrics prefer the half strength on `better` lines."""
    spoken = make.samples(KNOWN, TWELVE)
    sittings = [make.sitting(spoken, lambda name, *_: name == best.name, listener) for listener in "ab"]
    return selection.decide(
        make.run(), make.evaluations(ROWS, KNOWN), ROWS, spoken, make.verdict(*sittings), make.SELECT, True, {},
        make.checkpoints(KNOWN), measured(spoken, better),
    )  # fmt: skip


def test_a_strength_that_metrics_prefer_and_listeners_refuse_is_not_shipped() -> None:
    found = judged(best=FULL)
    assert found.listening is not None and found.listening.against_nominee[1].losses == 24
    assert (found.selected, found.decided_by) == (FULL.name, "listening")
    assert any(
        reason.startswith("Metrics prefer step 20 at strength 0.5: ")
        and "listeners overrule them: step 20 was preferred to step 20 at strength 0.5 24 to 0" in reason
        for reason in found.reasons
    )


def test_a_strength_that_listeners_prefer_is_not_said_to_be_what_metrics_prefer() -> None:
    found = judged(best=HALF, better=0)
    assert (found.selected, found.decided_by) == (HALF.name, "listening")
    assert any(one.p_holm < 0.05 and one.losses > one.wins for one in found.strengths)
    reasons = " ".join(found.reasons)
    assert "Metrics prefer" not in reasons and "Listeners overrule it: step 20 at strength 0.5" in reasons


def test_equal_figures_are_no_difference() -> None:
    assert any("no figure differs significantly" in note for note in decided(0, make.LINES).notes)


def test_a_better_sounding_strength_of_another_step_is_not_compared() -> None:
    assert {(one.candidate, one.against) for one in decided(12).strengths} == {(HALF.name, FULL.name)}


def test_the_report_draws_loss_and_figures_over_the_strengths(tmp_path: Path) -> None:
    spoken = make.samples(KNOWN, TWELVE, root=tmp_path, seconds=0.2)
    page = report.render(
        make.run(), decided(12), make.steps(60), make.checkpoints(KNOWN), spoken, measured(spoken, 12), tmp_path
    )  # fmt: skip
    assert (
        "Strength of the adapter" in page and "cer, lower is better" in page and "Decided by metrics" in page
    )
    assert "step 20, strength 0.5: 0.82" in page
