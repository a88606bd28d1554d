"""What the probes say of a candidate, against the base, and when that keeps it from shipping."""

from dataclasses import replace
from typing import Any

import pytest

from tests.factories import evaluations as make
from voicelathe.errors import SelectionError
from voicelathe.evaluate import selection
from voicelathe.evaluate.scoring import probing
from voicelathe.records import Ending, Probed, ProbeRecord, Selection

KNOWN = make.candidates(10, 20)
BEST = KNOWN[2].name
ROWS = make.paired_losses({one: {"diff": 0.9 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
HEALTHY = make.probes(KNOWN)
CLIPS = list(HEALTHY[0].own_text)


def judged(probes: list[ProbeRecord], trained: bool = True) -> list[Probed]:
    evaluations = make.evaluations(ROWS, KNOWN)
    return probing.judge(make.RECIPE, probes, evaluations, make.PROBE_LIMITS, make.base_facts(trained), 7)


def decided(probes: list[ProbeRecord], trained: bool = True) -> Selection:
    spoken = make.samples(KNOWN, make.MANY)
    return selection.decide(
        make.run(), make.evaluations(ROWS, KNOWN), ROWS, spoken, None, make.SELECT, trained, {}, make.checkpoints(KNOWN),
        make.measures(spoken), make.race(spoken), judged(probes, trained),
    )  # fmt: skip


def changed(**how: Any) -> list[ProbeRecord]:
    """The healthy probes with the best candidate's fields changed."""
    return make.probes(KNOWN, **{name: {BEST: value} for name, value in how.items()})


def test_a_healthy_sweep_has_no_findings_and_ships() -> None:
    assert not any(one.findings for one in judged(HEALTHY))
    found = decided(HEALTHY)
    assert found.selected == BEST and [one.candidate for one in found.probes] == [one.name for one in KNOWN]


def test_the_figures_are_those_of_the_clips() -> None:
    base, _, best = judged(HEALTHY)
    own, other = HEALTHY[0].own_text, HEALTHY[0].other_text
    assert base.text_gap == pytest.approx(sum(other.values()) / sum(own.values()) - 1, abs=1e-6)
    assert (
        base.text_gap_interval is not None
        and base.text_gap_interval.low < base.text_gap < base.text_gap_interval.high
    )
    assert base.overfitting == 0.0 and base.forgetting == 0.0
    assert best.overfitting == pytest.approx(-0.2 + 0.02), "validation fell by 0.2, training by 0.02"
    before, after = HEALTHY[0].general_totals, HEALTHY[2].general_totals
    assert best.forgetting == pytest.approx(sum(after.values()) / sum(before.values()) - 1, abs=1e-6)


def test_a_candidate_that_stopped_reading_its_text_is_excluded_although_its_loss_is_lowest() -> None:
    deaf = changed(other_text={clip: value + 1e-4 for clip, value in HEALTHY[0].own_text.items()})
    found = decided(deaf)
    assert found.nominee == KNOWN[1].name
    assert any("ignores_text" in reason for reason in [*found.reasons, *found.notes])


def test_a_base_that_never_read_its_text_excludes_nobody() -> None:
    nobody = [
        replace(
            one, other_text={clip: v + (-1) ** n * 1e-3 for n, (clip, v) in enumerate(one.own_text.items())}
        )
        for one in HEALTHY
    ]
    found = decided(nobody)
    assert found.selected == BEST
    assert any("none is shown to read its text" in note for note in found.notes)
    assert not any("none is shown to read its text" in note for note in decided(HEALTHY).notes)


EARLY = {clip: Ending(20, 6, 0.9) for clip in CLIPS}
LATE = {clip: Ending(20, None, 0.1) for clip in CLIPS}


@pytest.mark.parametrize(("endings", "code"), [(EARLY, "stops_early"), (LATE, "runs_on")])
def test_a_candidate_that_ends_worse_than_the_base_is_excluded_with_its_share(
    endings: Any, code: str
) -> None:
    found = decided(changed(endings=endings))
    assert found.nominee == KNOWN[1].name
    (row,) = [row for row in found.ranking if row.candidate == BEST]
    assert row.vetoes == [f"{code}: 100% of the probed clips, in the base 0%"]


def test_an_untrained_base_sets_no_example_for_ends() -> None:
    assert decided(changed(endings=LATE), trained=False).selected == BEST


def test_ending_a_quarter_of_a_second_early_is_not_early() -> None:
    tight = changed(endings={clip: Ending(20, 17, 0.9) for clip in CLIPS})  # 2 of 6.25 positions a second
    assert judged(tight)[2].stops_early_share == 0.0
    assert judged(changed(endings={clip: Ending(20, 16, 0.9) for clip in CLIPS}))[2].stops_early_share == 1.0


def test_forgetting_is_noted_and_excludes_only_where_the_recipe_says_so() -> None:
    lost = changed(general_totals={clip: 2 * value for clip, value in HEALTHY[0].general_totals.items()})
    assert judged(lost)[2].findings == ["forgets: the loss on other speakers rose by 100.0%"]
    found = decided(lost)
    assert found.selected == BEST
    assert any("forgets" in note for row in found.ranking for note in row.notes)


def test_without_other_speakers_nothing_is_said_of_forgetting() -> None:
    none = [replace(one, general_totals={}) for one in HEALTHY]
    assert all(one.forgetting is None and one.forgetting_interval is None for one in judged(none))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (HEALTHY[:-1], f"{BEST} was evaluated but not probed"),
        ([*HEALTHY, replace(HEALTHY[0], candidate="other")], "other was probed but not evaluated"),
        (changed(checkpoint_sha256="0" * 64), f"{BEST}: other weights were probed"),
        (changed(endings={"x": Ending(20, 19, 0.9)}), f"{BEST}: other clips were probed"),
    ],
)
def test_probes_of_other_weights_or_clips_are_refused(broken: list[ProbeRecord], said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        judged(broken)


def test_a_validation_split_of_one_clip_has_shares_and_no_intervals() -> None:
    def first(values: dict[str, Any]) -> dict[str, Any]:
        return dict(list(values.items())[:1])

    alone = [
        replace(
            one,
            own_text=first(one.own_text),
            other_text=first(one.own_text),
            endings=first(one.endings),
            general_totals={},
        )
        for one in HEALTHY
    ]
    found = judged(alone)
    assert all(one.text_gap is None and one.text_gap_interval is None and not one.findings for one in found)
    assert decided(alone).selected == BEST


def test_a_veto_that_nothing_can_show_is_refused_by_name() -> None:
    measures = make.measures([])
    answered = replace(measures, metrics=[one for one in measures.metrics if one.status == "measured"])
    probing.check_codes(make.RECIPE, ["garbled", "noisy", *make.PROBE_CODES], answered)
    with pytest.raises(
        SelectionError, match=r"select\.vetoes names garbeld, which neither.*There are: .*forgets, garbled, "
    ):
        probing.check_codes(make.RECIPE, ["garbeld"], answered)


def test_the_codes_of_a_metric_that_crashed_are_taken_as_they_are() -> None:
    probing.check_codes(make.RECIPE, ["of_a_plug_in"], make.measures([]))
