"""What the losses say, vetoes of metrics, which base is to be beaten, and evidence that does not belong together."""

from dataclasses import replace

import pytest

from tests.evaluate.test_selection_rules import (
    BASE,
    FALLING,
    FIRST,
    KNOWN,
    NEAREST_IS_SECOND,
    SECOND,
    THIRD,
    decide,
    losses,
    nobody_speaks,
)
from tests.factories import evaluations as make
from voicelathe.errors import SelectionError
from voicelathe.evaluate import selection
from voicelathe.records import Candidate, Figure, FigureRecord, MetricRun, PromptClip, Ranked, Selection

CLEAR = {BASE: 1.0, FIRST: 0.9, SECOND: 0.8, THIRD: 0.85}


# --- losses -----------------------------------------------------------------------------------------------------------


def test_where_nothing_is_heard_the_lowest_total_is_nominated() -> None:
    found = decide(losses(CLEAR), nobody_speaks())
    assert (found.nominee, found.by_loss, found.decided_by, found.decision) == (
        SECOND.name,
        SECOND.name,
        "validation",
        "not_heard",
    )
    assert found.runner_up == THIRD.name and found.margin == pytest.approx(0.05, abs=1e-9)


def test_the_weights_of_the_settings_decide_not_the_stored_totals() -> None:
    means = {
        BASE: {"diff": 2.0, "stop": 2.0},
        FIRST: {"diff": 0.5, "stop": 0.9},
        SECOND: {"diff": 0.9, "stop": 0.3},
        THIRD: {"diff": 1.0, "stop": 1.0},
    }
    rows, spoken = make.paired_losses(means), nobody_speaks()
    for weights, winner in (({"diff": 1.0, "stop": 0.0}, FIRST), ({"diff": 1.0, "stop": 1.0}, SECOND)):
        chosen = replace(make.SELECT, loss_weights=weights, vetoes=[])
        found = selection.decide(
            make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, chosen, True, {}, make.checkpoints(KNOWN),
            make.measures(spoken), make.race(spoken),
        )  # fmt: skip
        assert found.by_loss == winner.name


def test_an_untrained_base_is_said_to_be_untrained() -> None:
    assert any("Untrained base" in note for note in decide(base_trained=False).notes)
    assert not any("Untrained base" in note for note in decide(base_trained=True).notes)


def test_losses_that_cannot_be_told_apart_are_marked_as_ties() -> None:
    found = decide(losses({BASE: 1.0, FIRST: 0.9, SECOND: 0.8, THIRD: 0.8002}))
    assert [row.candidate for row in found.ranking if row.is_tied] == [THIRD.name]


def test_fewer_than_eight_recordings_print_both_intervals_and_say_so() -> None:
    found = decide(losses(CLEAR, num_recordings=4), nobody_speaks())
    assert found.against_base is not None and found.against_base.by_recording and found.against_base.by_clip
    text = " ".join(found.reasons)
    assert "over recordings" in text and "over clips" in text
    assert any("4 recordings" in note for note in found.notes)


def test_with_few_recordings_both_intervals_must_be_below_the_base() -> None:
    rows = losses(
        {BASE: 0.81, FIRST: 0.9, SECOND: 0.8, THIRD: 0.95}, num_recordings=3, clips_each=4, noise=0.0
    )
    bent = []
    for row in rows:  # within each recording the clips disagree, between recordings nothing does
        swing = 0.3 * (1 if row.clip_id.endswith(("0", "1")) else -1) * (row.candidate == SECOND.name)
        bent.append(replace(row, losses={**row.losses, "diff": row.losses["diff"] + swing}))
    found = decide(bent, nobody_speaks())
    assert found.against_base is not None and found.against_base.by_recording and found.against_base.by_clip
    assert found.against_base.by_recording.high < 0 < found.against_base.by_clip.high
    assert found.decision == "do_not_ship"


def test_a_single_recording_is_judged_by_its_clips_and_says_so() -> None:
    found = decide(losses(CLEAR, num_recordings=1, clips_each=12), nobody_speaks())
    assert found.against_base is not None
    assert found.against_base.by_recording is None and found.against_base.by_clip
    assert any("single recording" in note for note in found.notes)


def test_a_single_clip_has_no_interval_and_says_so() -> None:
    found = decide(losses(CLEAR, num_recordings=1, clips_each=1), nobody_speaks())
    assert found.decision == "do_not_ship" and found.nominee == SECOND.name
    assert any("single clip" in note for note in found.notes)
    assert all(row.win_probability is None for row in found.ranking)


# --- vetoes of metrics ------------------------------------------------------------------------------------------------


def row(found: Selection, one: Candidate) -> Ranked:
    return next(ranked for ranked in found.ranking if ranked.candidate == one.name)


def test_a_code_of_a_metric_on_too_many_samples_excludes_and_less_is_noted() -> None:
    codes = {"wrong_speaker": "similarity 0.3, at least 0.5"}
    lines = list(make.MANY)
    found = decide(outside={(SECOND.name, line): codes for line in lines[:6]}, **NEAREST_IS_SECOND)
    assert found.selected == SECOND.name and "wrong_speaker: 6 of 24 samples" in row(found, SECOND).notes[0]
    found = decide(outside={(SECOND.name, line): codes for line in lines[:7]}, **NEAREST_IS_SECOND)
    assert found.selected == THIRD.name
    assert row(found, SECOND).vetoes == [
        "wrong_speaker: 7 of 24 samples, line line-00 (similarity 0.3, at least 0.5)"
    ]


def test_a_code_that_the_settings_do_not_name_never_excludes() -> None:
    everywhere = {(SECOND.name, line): {"muffled": "highs_db -60, at least -30"} for line in make.MANY}
    found = decide(outside=everywhere, **NEAREST_IS_SECOND)
    assert found.selected == SECOND.name and row(found, SECOND).notes[0].startswith("muffled")


def test_a_veto_whose_metric_did_not_answer_or_set_no_limit_is_said_to_protect_nobody() -> None:
    rows, spoken = losses(CLEAR), make.samples(KNOWN)

    def notes(*ended: MetricRun, low: float | None, codes: list[str]) -> list[str]:
        whole = make.measures(spoken)
        aligned = FigureRecord(
            Figure("aligned", "share", "higher", "truncated", ""), "words", low, None, 1.0, 1.0, 1.0, [1.0]
        )
        found = selection.decide(
            make.run(), make.evaluations(rows, KNOWN), rows, spoken, None,
            replace(make.SELECT, vetoes=[*codes, *make.PROBE_CODES]), True, {}, make.checkpoints(KNOWN),
            replace(whole, metrics=list(ended), figures=[whole.figures[0], aligned]), make.race(spoken),
        )  # fmt: skip
        return [note for note in found.notes if note.startswith("Vetoes that no metric could show")]

    words = MetricRun("words", "measured", "")
    assert notes(words, low=0.5, codes=["garbled", "truncated"]) == []
    (note,) = notes(words, low=None, codes=["garbled", "truncated"])
    assert "truncated" in note and "words got no limit from 12 held-out clips of the speaker" in note
    quality = MetricRun("quality", "crashed", "exit code 1: no model")
    (note,) = notes(words, quality, low=0.5, codes=["artefacts", "garbled", "wrong_speaker"])
    assert "artefacts (waveform is not in listen.metrics; quality crashed: exit code 1: no model)" in note
    assert "wrong_speaker (speaker is not in listen.metrics)." in note and "garbled" not in note


def test_when_everything_is_garbled_nothing_ships_and_the_reason_says_so() -> None:
    outside = {(one.name, line): {"garbled": "cer 1, at most 0.4"} for one in KNOWN for line in make.MANY}
    found = decide(outside=outside, base_trained=False)
    assert (found.decision, found.nominee, found.selected) == ("do_not_ship", None, None)
    assert found.reasons[0] == "No checkpoint is left to ship."
    assert "Excluded: step 30: garbled: 24 of 24 samples" in found.reasons[1]


# --- evidence that does not belong together ---------------------------------------------------------------------------


def test_metrics_of_another_run_or_of_other_samples_are_refused() -> None:
    rows, spoken = losses(CLEAR), make.samples(KNOWN)
    whole = make.measures(spoken)
    for measures, said in (
        (replace(whole, run_digest="0" * 64), "metrics.json is of run"),
        (replace(whole, samples=whole.samples[1:]), "spoken but not measured"),
        (
            replace(whole, samples=[*whole.samples, replace(whole.samples[0], line_id="other")]),
            "measured but not spoken",
        ),
    ):
        with pytest.raises(SelectionError, match=said):
            selection.decide(
                make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, make.SELECT, True, {},
                make.checkpoints(KNOWN), measures, make.race(spoken),
            )  # fmt: skip


def test_a_candidate_that_spoke_other_lines_than_the_race_gave_it_is_refused() -> None:
    spoken = make.samples(KNOWN, make.MANY)
    whole = make.race(spoken)
    half = replace(whole.rounds[0], lines=whole.rounds[0].lines[:12])
    rest = replace(whole.rounds[0], lines=whole.rounds[0].lines[12:], candidates=["base", FIRST.name])
    with pytest.raises(
        SelectionError, match=r"step_0000020@1 spoke line-12.*, which the race did not ask of it"
    ):
        decide(spoken=spoken, race=replace(whole, rounds=[half, rest]))
    fewer = [one for one in spoken if (one.candidate, one.line_id) != (FIRST.name, "line-03")]
    with pytest.raises(SelectionError, match=r"step_0000010@1 has no sample of line line-03 \(seed 42\)"):
        decide(spoken=fewer, race=whole)


# --- two bases --------------------------------------------------------------------------------------------------------

ZERO_SHOT = Candidate(0, None, True)
TWO_BASES = [BASE, ZERO_SHOT, FIRST, SECOND, THIRD]


def with_two_bases(
    zero_shot: float,
    problems: dict[tuple[str, str], str] | None = None,
    prompt: PromptClip | None = None,
    **heard: object,
) -> Selection:
    rows = losses({**FALLING, ZERO_SHOT: zero_shot})
    spoken = make.samples(TWO_BASES, make.MANY, problems=problems)
    return selection.decide(
        make.run(), make.evaluations(rows, TWO_BASES), rows, spoken, None, make.SELECT, True, {},
        make.checkpoints(KNOWN), make.measures(spoken, **heard), replace(make.race(spoken), prompt=prompt),  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_prompted_base_is_to_be_beaten_where_it_is_nearer_and_keeps_its_words() -> None:
    found = with_two_bases(1.5, likeness={ZERO_SHOT.name: 0.85})
    assert (found.base, found.decision) == ("base_zero_shot", "do_not_ship"), "0.8 is not nearer than 0.85"
    assert found.reasons[-1].startswith(
        "Until a checkpoint ships, speak with the zero-shot base: against the base +0.225, "
    )
    assert found.reasons[-1].endswith(
        " in words kept \u00d7 likeness (words kept 0.900 for 0.900, likeness 0.850 for 0.600)."
    )
    assert "brings it nearer by 0.250 and costs nothing" in " ".join(found.reasons)
    found = with_two_bases(1.5, likeness={ZERO_SHOT.name: 0.7})
    assert (found.base, found.decision) == ("base_zero_shot", "ship")
    assert found.fallback is None and not any(one.startswith("Until") for one in found.reasons)


def test_the_prompted_base_is_no_measure_where_it_loses_words_or_says_nothing() -> None:
    found = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.5}, likeness={ZERO_SHOT.name: 0.9})
    assert (found.base, found.decision) == ("base", "ship")
    assert "a clip of the speaker in front costs 0.40 of words" in " ".join(found.reasons)
    silent = with_two_bases(0.2, problems={(ZERO_SHOT.name, line): "silent" for line in make.MANY})
    assert (silent.base, silent.decision) == ("base", "ship"), "who says nothing at all is no measure"


def test_a_fine_tune_does_not_ship_where_the_prompted_base_does_more_although_it_costs_words() -> None:
    """The prompted base loses 0.1 of words, so it is not the bar; it is so much nearer that words kept x likeness are 0.78 and not 0.72."""
    near = {ZERO_SHOT.name: 0.98, FIRST.name: 0.8, SECOND.name: 0.8, THIRD.name: 0.8}
    found = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.2}, likeness=near)
    assert (found.base, found.decision, found.selected) == ("base", "do_not_ship", None)
    behind = {one.candidate: one.behind for one in found.evidence}
    assert behind["base"] is behind[ZERO_SHOT.name] is None, "bases are judged by the bar alone"
    test = behind[FIRST.name]
    assert (
        test is not None
        and test.against == ZERO_SHOT.name
        and test.difference == pytest.approx(-0.064, abs=1e-3)
    )
    assert any(
        one.startswith(
            "Excluded: step 10: does less than the zero-shot base in words kept \u00d7 likeness (\u22120.06"
        )
        for one in found.reasons
    )
    further = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.2}, likeness={**near, THIRD.name: 0.97})
    assert further.selected == THIRD.name and "step 10" not in further.reasons[0]
    lost = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.3}, likeness=near)
    assert lost.decision == "ship", "0.69 against 0.72"


@pytest.mark.parametrize(
    ("words", "likeness", "endings", "best"),
    [
        (0.2, 0.98, False, "base_zero_shot"),  # 0.78 against 0.54, although it costs words and is not the bar
        (0.45, 0.9, False, "base"),  # 0.50 against 0.54
        (0.2, 0.98, True, "base"),  # it does not end
    ],
)
def test_where_nothing_ships_the_base_that_does_more_is_the_one_to_speak_with(
    words: float, likeness: float, endings: bool, best: str
) -> None:
    same = {one.name: 0.6 for one in TWO_BASES} | {ZERO_SHOT.name: likeness}
    runaway = {(ZERO_SHOT.name, line): "runaway" for line in make.MANY} if endings else None
    found = with_two_bases(0.2, runaway, cer={ZERO_SHOT.name: words}, likeness=same)
    assert (found.decision, found.base) == ("do_not_ship", "base")
    assert found.fallback is not None and found.fallback.candidate == best
    said = [one for one in found.reasons if one.startswith("Until a checkpoint ships, speak with ")]
    assert (
        len(said) == 1 and f"speak with the {best.replace('base_zero_shot', 'zero-shot base')}: " in said[0]
    )
    assert not endings or ": the zero-shot base is vetoed (runaway" in said[0]


def test_the_zero_shot_base_to_speak_with_is_named_with_its_clip_and_its_command() -> None:
    prompt = PromptClip("book-07", "lark", "continuation", "a" * 64, 0.5, 5.25, "The lamp is on.")
    same = {one.name: 0.6 for one in TWO_BASES} | {ZERO_SHOT.name: 0.98}
    found = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.2}, likeness=same, prompt=prompt)
    assert found.race.prompt == prompt, "selection.json keeps it"
    how = (
        "speak with the zero-shot base (clip book-07, continuation; voicelathe say TEXT --zero-shot mini-lora, and into production: "
        "voicelathe promote mini-lora --candidate base_zero_shot --because TEXT): against"
    )
    assert any(how in one for one in found.reasons), found.reasons
    plain = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.45}, likeness=same, prompt=prompt)
    assert any("speak with the base: against" in one for one in plain.reasons), plain.reasons


def test_a_bar_that_nobody_could_use_is_not_the_one_to_speak_with() -> None:
    """The plain base is the bar, because the clip costs words; it runs away on more than half of its lines."""
    same = {one.name: 0.6 for one in TWO_BASES}
    lines = list(make.MANY)
    runaway = {("base", line): "runaway" for line in lines[: len(lines) * 6 // 10]}
    found = with_two_bases(0.2, runaway, cer={ZERO_SHOT.name: 0.2}, likeness=same)
    assert found.fallback is not None and found.fallback.candidate == ZERO_SHOT.name
    assert any(
        one.startswith("Until a checkpoint ships, speak with the zero-shot base: the base ")
        for one in found.reasons
    )


def test_a_base_that_nobody_could_use_excludes_nobody() -> None:
    """Words and likeness do not tell that it never ends, or that it is vetoed."""
    near = {ZERO_SHOT.name: 0.98, FIRST.name: 0.8, SECOND.name: 0.8, THIRD.name: 0.8}
    runaway = {(ZERO_SHOT.name, line): "runaway" for line in make.MANY}
    found = with_two_bases(0.2, runaway, likeness=near)
    assert (found.base, found.decision) == ("base", "ship")
    assert all(one.behind is None for one in found.evidence)
    few = {(ZERO_SHOT.name, line): "runaway" for line in list(make.MANY)[: len(make.MANY) // 3]}
    assert with_two_bases(0.2, few, likeness=near).decision == "ship", "a third of its lines does not end"


def test_a_prompted_base_that_is_vetoed_for_its_words_or_voice_alone_is_still_compared() -> None:
    """Words and likeness are what it is compared by; a veto for anything else is not."""
    near = {ZERO_SHOT.name: 0.98, FIRST.name: 0.8, SECOND.name: 0.8, THIRD.name: 0.8}
    for code, decision in (
        ("garbled", "do_not_ship"),
        ("wrong_speaker", "do_not_ship"),
        ("truncated", "ship"),
    ):
        outside = {(ZERO_SHOT.name, line): {code: "0.4, at most 0.3"} for line in make.MANY}
        found = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.2}, likeness=near, outside=outside)
        row = next(one for one in found.ranking if one.candidate == ZERO_SHOT.name)
        assert [one.code for one in row.vetoes] == [code] and found.decision == decision


def test_behind_the_other_base_is_who_is_shown_to_be_and_not_who_may_be() -> None:
    near = {ZERO_SHOT.name: 0.905, FIRST.name: 0.8, SECOND.name: 0.8, THIRD.name: 0.8}
    found = with_two_bases(0.2, cer={ZERO_SHOT.name: 0.2}, likeness=near)
    assert found.decision == "ship" and all(one.behind is None for one in found.evidence), (
        "0.724 against 0.72"
    )


def test_of_two_bases_that_nobody_heard_the_lower_loss_is_to_be_beaten() -> None:
    nothing = {one.name: None for one in TWO_BASES}
    for zero_shot, name in ((0.5, "base_zero_shot"), (1.5, "base")):
        found = with_two_bases(zero_shot, likeness=nothing)
        assert found.base == name
        assert "the lower validation total, as no metric heard both" in " ".join(found.reasons)


def test_no_base_is_ever_nominated() -> None:
    found = with_two_bases(0.1, likeness={ZERO_SHOT.name: 0.95, "base": 0.9})
    assert found.nominee not in ("base", "base_zero_shot") and found.decision == "do_not_ship"
