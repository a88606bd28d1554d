"""What may ship: guards, then gain; ties, the loss, and what listeners can change."""

from dataclasses import replace

import pytest

from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.errors import SelectionError
from voicelathe.evaluate import selection
from voicelathe.records import Candidate, ClipLoss, Race, SampleRecord, Selection, Verdict

KNOWN = make.candidates(10, 20, 30)
BASE, FIRST, SECOND, THIRD = KNOWN
FALLING = {BASE: 1.0, FIRST: 0.9, SECOND: 0.8, THIRD: 0.7}  # the loss prefers the last checkpoint


def losses(totals: dict[Candidate, float], **how: object) -> list[ClipLoss]:
    return make.paired_losses(
        {one: {"diff": 0.9 * total, "stop": 0.1 * total} for one, total in totals.items()}, **how
    )  # type: ignore[arg-type]


def decide(
    rows: list[ClipLoss] | None = None,
    spoken: list[SampleRecord] | None = None,
    verdict: Verdict | None = None,
    base_trained: bool = True,
    race: Race | None = None,
    guards: make.schema.Guards = make.GUARDS,
    **heard: object,
) -> Selection:
    """`heard`: what `make.measures` takes."""
    spoken = make.samples(KNOWN, make.MANY) if spoken is None else spoken
    rows = losses(FALLING) if rows is None else rows
    return selection.decide(
        make.run(),
        make.evaluations(rows, KNOWN),
        rows,
        spoken,
        verdict,
        replace(make.SELECT, guards=guards),
        base_trained,
        {"x": "0" * 64},
        make.checkpoints(KNOWN),
        make.measures(spoken, **heard),  # type: ignore[arg-type]
        race or make.race(spoken),
    )


def standing(found: Selection, one: Candidate) -> str:
    return next(row.standing for row in found.evidence if row.candidate == one.name)


NEAREST_IS_SECOND = {"likeness": {FIRST.name: 0.7, SECOND.name: 0.8, THIRD.name: 0.75}}


def test_the_nearest_to_the_speaker_of_those_that_lose_nothing_ships() -> None:
    found = decide(**NEAREST_IS_SECOND)
    assert (found.decision, found.selected, found.nominee, found.decided_by) == (
        "ship",
        SECOND.name,
        SECOND.name,
        "speech",
    )
    assert (found.step, found.lora_scale) == (20, 1.0) and len(found.checkpoint_sha256 or "") == 64
    text = " ".join(found.reasons)
    assert "Step 20 (likeness 0.800) is the nearest to the speaker" in text
    assert "It keeps words" in text and "nearer to the speaker than the base: +0.200" in text
    assert "corrected p < 0.0001." in text, "a p value is never nothing"


def test_a_ruined_voice_that_the_loss_prefers_is_refused() -> None:
    """The demo of commit 3572987: the loss fell all the way while words were lost."""
    found = decide(
        cer={THIRD.name: 0.4, SECOND.name: 0.25},
        likeness={FIRST.name: 0.7, SECOND.name: 0.75, THIRD.name: 0.8},
    )
    assert (found.decision, found.selected, found.by_loss) == ("ship", FIRST.name, THIRD.name)
    assert standing(found, THIRD) == standing(found, SECOND) == "fails"
    text = " ".join(found.reasons)
    assert "The loss would have shipped step 30, which loses words" in text
    assert "Excluded: step 30: loses words (\u22120.300" in text


def test_when_every_checkpoint_lost_words_nothing_ships_and_each_is_named_with_its_guard() -> None:
    found = decide(cer={one.name: 0.4 for one in KNOWN[1:]})
    assert (found.decision, found.selected, found.nominee, found.against_base) == (
        "do_not_ship",
        None,
        None,
        None,
    )
    for step in (10, 20, 30):
        assert any(reason.startswith(f"Excluded: step {step}: loses words") for reason in found.reasons)


def runaways(one: Candidate, num: int) -> list[SampleRecord]:
    return make.samples(
        KNOWN, make.MANY, problems={(one.name, f"line-{n:02d}"): "runaway" for n in range(num)}
    )


GUARD_CASES = {
    "words": ({"cer": {SECOND.name: 0.3}}, None, "loses words"),
    "endings": ({}, runaways(SECOND, 6), "does not end its lines as the base does"),
}


@pytest.mark.parametrize("guard", GUARD_CASES)
def test_each_guard_refuses_a_candidate_that_fails_it(guard: str) -> None:
    heard, spoken, said = GUARD_CASES[guard]
    assert decide(**NEAREST_IS_SECOND).selected == SECOND.name, "without the fault it would ship"
    found = decide(spoken=spoken, **{**NEAREST_IS_SECOND, **heard})
    assert found.selected == THIRD.name and standing(found, SECOND) == "fails"
    assert any(reason.startswith(f"Excluded: step 20: {said}") for reason in found.reasons)


def test_the_guard_of_quality_refuses_what_is_worse_to_hear() -> None:
    spoken = make.samples(KNOWN, make.MANY)
    guards = make.schema.Guards(0.05, 0.1, 0.2)

    def of(score: dict[str, float]) -> Selection:
        whole = make.measures(spoken, **NEAREST_IS_SECOND)  # type: ignore[arg-type]
        p808 = records.Figure("p808", "MOS", "higher", "artefacts", "")
        rows = [
            replace(one, values={**one.values, "p808": score.get(one.candidate, 3.5)})
            for one in whole.samples
        ]
        figures = [
            *whole.figures,
            records.FigureRecord(p808, "quality", None, None, 3.6, 3.5, 3.7, [3.5, 3.7]),
        ]
        return selection.decide(
            make.run(), make.evaluations(losses(FALLING), KNOWN), losses(FALLING), spoken, None, replace(make.SELECT, guards=guards),
            True, {}, make.checkpoints(KNOWN), replace(whole, samples=rows, figures=figures), make.race(spoken),
        )  # fmt: skip

    assert of({}).selected == SECOND.name
    found = of({SECOND.name: 3.0})
    assert found.selected == THIRD.name
    assert any("step 20: is worse to hear" in reason for reason in found.reasons)


def test_a_loss_within_the_margin_is_no_loss() -> None:
    found = decide(**NEAREST_IS_SECOND, cer={SECOND.name: 0.115})
    assert found.selected == SECOND.name


def test_a_loss_that_is_shown_but_is_within_the_margin_is_open_and_no_failure() -> None:
    found = decide(**NEAREST_IS_SECOND, cer={SECOND.name: 0.145}, noise=0.03)
    row = next(one for one in found.evidence if one.candidate == SECOND.name)
    words = next(guard for guard in row.guards if guard.measure == "words")
    assert words.test is not None and words.test.p_worse < 0.05 and words.verdict == "not_shown"
    assert not any("step 20: loses words" in reason for reason in found.reasons)


def test_what_is_not_shown_to_keep_its_words_does_not_ship_and_says_how_many_lines_would_show_it() -> None:
    few = make.samples(KNOWN, dict(list(make.MANY.items())[:6]))
    found = decide(spoken=few, noise=0.08)
    assert (found.decision, found.selected) == ("do_not_ship", None) and standing(found, FIRST) == "not_shown"
    (reason,) = [one for one in found.reasons if "not shown to keep its words" in one]
    assert "lines would show it" in reason
    assert any("differences smaller than about" in note for note in found.notes)


def test_a_voice_that_is_not_nearer_than_the_base_does_not_ship() -> None:
    found = decide(likeness={one.name: 0.6 for one in KNOWN})
    assert (found.decision, found.selected) == ("do_not_ship", None) and standing(found, FIRST) == "no_gain"
    assert "It is not shown to be nearer to the speaker than the base" in " ".join(found.reasons)
    assert found.nominee is not None, "the nomination stays on record" and not found.moved


def test_better_on_average_and_worse_in_one_stratum_is_refused() -> None:
    numbers = [f"line-{n:02d}" for n in range(4)]
    strata = {line: ["kind:numbers" if line in numbers else "kind:sentence"] for line in make.MANY}
    spoken = make.samples(KNOWN, make.MANY)
    bad = {(SECOND.name, line): 0.45 if line in numbers else 0.0 for line in make.MANY}
    found = decide(spoken=spoken, race=make.race(spoken, strata), cer_on=bad, **NEAREST_IS_SECOND)
    words = next(row.levels["words"].mean for row in found.evidence if row.candidate == SECOND.name)
    base = next(row.levels["words"].mean for row in found.evidence if row.candidate == "base")
    assert words > base, "it keeps more words than the base, on average"
    assert found.selected == THIRD.name
    assert any("step 20: loses words in numbers lines" in reason for reason in found.reasons)
    without = decide(spoken=spoken, cer_on=bad, **NEAREST_IS_SECOND)
    assert without.selected == SECOND.name, "only the stratum shows it"


def test_a_copy_may_be_below_the_base_where_the_original_is() -> None:
    spoken = make.samples(KNOWN, make.MANY)
    heard = {**NEAREST_IS_SECOND, "cer": {"base": 0.05, FIRST.name: 0.2, SECOND.name: 0.2, THIRD.name: 0.2}}
    assert decide(spoken=spoken, **heard).selected is None
    whole = make.measures(spoken, **heard)  # type: ignore[arg-type]
    mumbles = replace(whole.figures[0], real_values=[0.2] * 12)
    rows = losses(FALLING)
    found = selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN),
        replace(whole, figures=[mumbles, whole.figures[1]]), make.race(spoken),
    )  # fmt: skip
    assert found.selected == SECOND.name
    assert "the speaker's own recordings are 0.15 below the base" in " ".join(found.reasons)


# --- ties, and what the loss may do -----------------------------------------------------------------------------------


def test_inside_a_tie_the_lower_loss_wins_then_the_earlier_step() -> None:
    equal = {one.name: 0.8 for one in KNOWN[1:]}
    assert decide(likeness=equal).selected == THIRD.name
    flat = losses({BASE: 1.0, FIRST: 0.8, SECOND: 0.8, THIRD: 0.8}, noise=0.0)
    assert decide(flat, likeness=equal, noise=0.0).selected == FIRST.name


def test_who_keeps_fewer_words_is_not_tied_however_near() -> None:
    """Step 30 is as near and has the lower loss, but keeps 0.08 fewer words than step 20."""
    alike = {"likeness": {FIRST.name: 0.7, SECOND.name: 0.801, THIRD.name: 0.8}}
    assert decide(**alike).selected == THIRD.name, "with equal words it is a tie"
    assert decide(**alike, cer={SECOND.name: 0.02}).selected == SECOND.name


def test_the_loss_alone_changes_nothing_outside_a_tie() -> None:
    rising = losses({BASE: 0.5, FIRST: 0.9, SECOND: 1.8, THIRD: 0.7})
    found = decide(rising, **NEAREST_IS_SECOND)
    assert (found.decision, found.selected, found.by_loss) == ("ship", SECOND.name, THIRD.name)
    assert found.against_base is not None and found.against_base.difference > 0


def test_the_order_of_rows_and_records_does_not_matter() -> None:
    rows, spoken = losses(FALLING), make.samples(KNOWN, make.MANY)
    whole = make.measures(spoken, **NEAREST_IS_SECOND)  # type: ignore[arg-type]
    turned = selection.decide(
        make.run(),
        make.evaluations(rows, KNOWN)[::-1],
        rows[::-1],
        spoken[::-1],
        None,
        make.SELECT,
        True,
        {"x": "0" * 64},
        make.checkpoints(KNOWN),
        replace(whole, samples=whole.samples[::-1]),
        make.race(spoken),
    )
    same = decide(rows, spoken, **NEAREST_IS_SECOND)
    assert digest.of_value(records.to_json(turned)) == digest.of_value(records.to_json(same))


def test_a_selection_survives_its_file() -> None:
    spoken = make.samples(KNOWN, make.MANY)
    verdict = make.verdict(make.sitting(spoken, lambda name, line, seed: len(name)))
    found = decide(spoken=spoken, verdict=verdict)
    assert records.from_json(Selection, records.to_json(found), "selection.json") == found
    assert found.listening is not None


@pytest.mark.parametrize("problem", ["empty", "silent", "nonfinite"])
def test_a_failed_generation_is_a_veto_and_the_next_best_ships(problem: str) -> None:
    spoken = make.samples(KNOWN, make.MANY, problems={(SECOND.name, "line-03"): problem})
    found = decide(spoken=spoken, **NEAREST_IS_SECOND)
    assert found.selected == THIRD.name
    (vetoed,) = [row for row in found.ranking if row.vetoes]
    assert vetoed.candidate == SECOND.name and vetoed.vetoes == [f"{problem}: line line-03, seed 42"]
    assert vetoed.win_probability == 0.0


def test_running_away_where_the_base_runs_away_is_only_a_note() -> None:
    everywhere = {(one.name, line): "runaway" for one in KNOWN for line in make.MANY}
    found = decide(spoken=make.samples(KNOWN, make.MANY, problems=everywhere), **NEAREST_IS_SECOND)
    assert found.selected == SECOND.name
    assert all(row.notes and not row.vetoes for row in found.ranking)


def test_running_away_is_no_veto_beside_an_untrained_base_that_stopped_by_accident() -> None:
    problems = {(one.name, line): "runaway" for one in KNOWN[1:] for line in list(make.MANY)[:12]}
    spoken = make.samples(KNOWN, make.MANY, problems=problems)
    assert not any(row.vetoes for row in decide(spoken=spoken, base_trained=False).ranking)
    trained = decide(spoken=spoken, base_trained=True)
    assert [row.vetoes[0].split(":")[0] for row in trained.ranking if row.vetoes] == ["runaway"] * 3


# --- nothing heard ----------------------------------------------------------------------------------------------------


def nobody_speaks() -> list[SampleRecord]:
    return make.samples(
        KNOWN, problems={(one.name, line): "not_spoken" for one in KNOWN for line in make.LINES}
    )


def test_losses_alone_never_ship_and_the_decision_says_what_to_do_next() -> None:
    found = decide(spoken=nobody_speaks())
    assert (found.decision, found.selected, found.checkpoint_sha256) == ("not_heard", None, None)
    assert found.nominee == THIRD.name and found.moved and not any(row.vetoes for row in found.ranking)
    (reason,) = [reason for reason in found.reasons if reason.startswith("Nothing was heard of")]
    for words in ("voicelathe env list", "dvc repro -f -s listen@mini-lora", "--candidate", "--because"):
        assert words in reason
    assert "Losses alone never ship a voice." in " ".join(found.reasons)


def test_losses_that_do_not_beat_the_base_need_no_ear_to_be_refused() -> None:
    found = decide(losses({BASE: 0.8, FIRST: 0.9, SECOND: 0.85, THIRD: 0.95}), nobody_speaks())
    assert found.decision == "do_not_ship" and not found.moved


def test_a_line_that_one_candidate_could_not_speak_is_not_silence() -> None:
    some = {(SECOND.name, "line-01"): "not_spoken"}
    found = decide(spoken=make.samples(KNOWN, make.MANY, problems=some), **NEAREST_IS_SECOND)
    assert found.selected == SECOND.name


def test_without_a_recogniser_words_are_not_measured_and_a_person_must_say_why() -> None:
    nothing = {one.name: None for one in KNOWN}
    found = decide(cer=nothing, **NEAREST_IS_SECOND)
    assert (found.decision, found.selected, found.nominee, found.unheard) == (
        "not_heard",
        None,
        SECOND.name,
        "not_measured",
    )
    text = " ".join(found.reasons)
    assert "Whether it keeps its words was not measured" in text and "--because" in text


def test_words_that_were_heard_on_some_lines_only_are_not_measured() -> None:
    """Half of the pack in a language that the recogniser does not know, or a recogniser that died on the way."""
    spoken = make.samples(KNOWN, make.MANY)
    unheard = set(list(make.MANY)[:3])

    def of(lost: set[str]) -> Selection:
        whole = make.measures(spoken, **NEAREST_IS_SECOND)  # type: ignore[arg-type]
        rows = [
            replace(one, values={**one.values, "cer": None}) if one.line_id in lost else one
            for one in whole.samples
        ]
        return selection.decide(
            make.run(), make.evaluations(losses(FALLING), KNOWN), losses(FALLING), spoken, None, make.SELECT, True, {},
            make.checkpoints(KNOWN), replace(whole, samples=rows), make.race(spoken),
        )  # fmt: skip

    assert of(set(list(make.MANY)[:2])).decision == "ship", "two of 24 lines are no tenth"
    found = of(unheard)
    assert (found.decision, found.nominee, found.unheard) == ("not_heard", SECOND.name, "not_measured")
    assert "Whether it keeps its words was not measured: 21 of 24 lines were judged." in found.reasons


def test_the_base_to_beat_is_not_judged_against_itself() -> None:
    base = next(one for one in decide().evidence if one.candidate == "base")
    assert (base.standing, base.guards, base.gain) == ("baseline", [], None)


def test_without_a_speaker_metric_nothing_ships_either() -> None:
    nothing = {one.name: None for one in KNOWN}
    found = decide(likeness=nothing)
    assert (found.decision, found.unheard) == ("not_heard", "not_measured")
    assert (
        "Whether the voice came nearer to the speaker was not measured." in found.reasons
        or found.decided_by == "validation"
    )


def test_a_guard_that_is_off_is_not_asked() -> None:
    off = make.schema.Guards(words=None, endings=0.1, quality=None)
    found = decide(cer={one.name: None for one in KNOWN}, guards=off, **NEAREST_IS_SECOND)
    assert (found.decision, found.selected) == ("ship", SECOND.name)


# --- listeners --------------------------------------------------------------------------------------------------------


def heard(taste: make.Taste, listeners: int = 2) -> tuple[list[SampleRecord], Verdict]:
    spoken = make.samples(KNOWN, make.MANY)
    return spoken, make.verdict(
        *(make.sitting(spoken, taste, f"listener {number}") for number in range(listeners))
    )


def test_a_significant_preference_of_listeners_overrides_and_is_recorded() -> None:
    spoken, verdict = heard(
        lambda name, line, seed: {FIRST.name: 3, SECOND.name: 2, THIRD.name: 1}.get(name, 0)
    )
    found = decide(spoken=spoken, verdict=verdict, **NEAREST_IS_SECOND)
    assert (found.selected, found.nominee, found.decided_by) == (FIRST.name, SECOND.name, "listening")
    assert (
        "Listeners overrule the nomination of step 20: step 10 was preferred to step 20 16 to 0"
        in " ".join(found.reasons)
    )


def test_a_preference_that_could_be_chance_changes_nothing() -> None:
    def taste(name: str, line: str, seed: int) -> float:
        return {FIRST.name: 2.0 if line < "line-14" else 0.5, SECOND.name: 1.0}.get(name, 0.0)

    spoken, verdict = heard(taste, listeners=1)
    found = decide(spoken=spoken, verdict=verdict, **NEAREST_IS_SECOND)
    assert (found.selected, found.decided_by) == (SECOND.name, "speech")
    assert any("no clear winner" in note for note in found.notes)


def test_listeners_cannot_ship_a_candidate_with_a_veto_or_one_that_lost_its_words() -> None:
    spoken = make.samples(KNOWN, make.MANY, problems={(FIRST.name, "line-00"): "silent"})
    verdict = make.verdict(*(make.sitting(spoken, lambda name, *_: name == FIRST.name, who) for who in "ab"))
    assert decide(spoken=spoken, verdict=verdict, **NEAREST_IS_SECOND).selected == SECOND.name
    spoken, verdict = heard(lambda name, *_: name == FIRST.name)
    assert (
        decide(spoken=spoken, verdict=verdict, cer={FIRST.name: 0.5}, **NEAREST_IS_SECOND).selected
        == SECOND.name
    )


def test_when_listeners_prefer_the_base_nothing_ships() -> None:
    spoken, verdict = heard(lambda name, *_: name == "base")
    found = decide(spoken=spoken, verdict=verdict, **NEAREST_IS_SECOND)
    assert (found.decision, found.decided_by, found.nominee) == ("do_not_ship", "listening", SECOND.name)


def test_listeners_who_prefer_the_fine_tune_to_the_base_can_ship_what_metrics_could_not_measure() -> None:
    nothing = {one.name: None for one in KNOWN}
    spoken, verdict = heard(lambda name, *_: name == SECOND.name)
    found = decide(spoken=spoken, verdict=verdict, cer=nothing, **NEAREST_IS_SECOND)
    assert (found.decision, found.selected, found.decided_by, found.unheard) == (
        "ship",
        SECOND.name,
        "listening",
        None,
    )


def test_listeners_who_prefer_the_base_end_what_metrics_could_not_measure() -> None:
    nothing = {one.name: None for one in KNOWN}
    spoken, verdict = heard(lambda name, *_: name == "base")
    found = decide(spoken=spoken, verdict=verdict, cer=nothing)
    assert (found.decision, found.selected, found.decided_by, found.unheard) == (
        "do_not_ship",
        None,
        "listening",
        None,
    )


def test_listeners_without_a_preference_do_not_replace_what_nobody_measured() -> None:
    nothing = {one.name: None for one in KNOWN}
    spoken, verdict = heard(lambda *_: 0.0)
    assert decide(spoken=spoken, verdict=verdict, cer=nothing, likeness=nothing).selected is None


def test_a_verdict_on_other_samples_is_noted_and_not_counted() -> None:
    spoken, verdict = heard(lambda name, *_: name == FIRST.name)
    stale = [replace(one, sha256="9" * 64) for one in spoken]
    found = decide(spoken=stale, verdict=verdict, **NEAREST_IS_SECOND)
    assert (found.selected, found.listening) == (SECOND.name, None)
    assert any("other samples" in note for note in found.notes)


def test_too_few_judgements_are_said_to_be_too_few() -> None:
    spoken = make.samples(KNOWN)
    verdict = make.verdict(make.sitting(spoken, lambda name, *_: name == FIRST.name))
    found = decide(spoken=spoken, verdict=verdict)
    assert any("cannot show any preference" in note for note in found.notes)


def test_samples_that_were_spoken_with_other_settings_decide_nothing() -> None:
    """Half of a sweep from before an edit of `speak:` must not be compared with the other half."""
    spoken = make.samples(KNOWN, make.MANY)
    assert decide(spoken=spoken).decoding == make.DECODING
    other = replace(spoken[-1], decoding={**make.DECODING, "steps": 20.0})
    with pytest.raises(
        SelectionError,
        match=r"line-23, was spoken with .*steps 20, and .* with .*steps 10: .*dvc repro -f -s listen@",
    ):
        decide(spoken=[*spoken[:-1], other])
