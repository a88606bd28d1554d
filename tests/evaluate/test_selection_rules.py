"""What may ship: nomination, vetoes, ties, the base, few recordings, and what listeners can change."""

import re
from dataclasses import replace

import pytest

from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.errors import SelectionError
from voicelathe.evaluate import bar, selection
from voicelathe.records import (
    Candidate,
    ClipLoss,
    Figure,
    FigureRecord,
    MetricRun,
    Ranked,
    SampleRecord,
    Selection,
    Verdict,
)

KNOWN = make.candidates(10, 20, 30)
BASE, FIRST, SECOND, THIRD = KNOWN
EIGHT_LINES = {f"line-{number}": f"Sentence {number}." for number in range(8)}


def losses(totals: dict[Candidate, float], **how: object) -> list[ClipLoss]:
    return make.paired_losses(
        {one: {"diff": 0.9 * total, "stop": 0.1 * total} for one, total in totals.items()}, **how
    )  # type: ignore[arg-type]


def decide(
    rows: list[ClipLoss],
    spoken: list[SampleRecord] | None = None,
    verdict: Verdict | None = None,
    base_trained: bool = True,
    outside: make.Outside | None = None,
) -> Selection:
    spoken = make.samples(KNOWN) if spoken is None else spoken
    return selection.decide(
        make.run(),
        make.evaluations(rows, KNOWN),
        rows,
        spoken,
        verdict,
        make.SELECT,
        base_trained,
        {"x": "0" * 64},
        make.checkpoints(KNOWN),
        make.measures(spoken, outside),
    )


CLEAR = {BASE: 1.0, FIRST: 0.9, SECOND: 0.8, THIRD: 0.85}


def test_the_lowest_validation_total_is_nominated_and_ships() -> None:
    found = decide(losses(CLEAR))
    assert (found.decision, found.selected, found.nominee, found.decided_by) == (
        "ship",
        SECOND.name,
        SECOND.name,
        "validation",
    )
    assert found.runner_up == THIRD.name and found.margin == pytest.approx(0.05, abs=1e-9)
    assert (found.step, found.lora_scale) == (20, 1.0) and len(found.checkpoint_sha256 or "") == 64


def test_the_last_checkpoint_is_never_preferred() -> None:
    assert decide(losses({BASE: 1.0, FIRST: 0.8, SECOND: 0.9, THIRD: 0.95})).selected == FIRST.name


def test_the_order_of_rows_and_records_does_not_matter() -> None:
    rows, spoken = losses(CLEAR), make.samples(KNOWN)
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
        make.measures(make.samples(KNOWN)),
    )
    assert digest.of_value(records.to_json(turned)) == digest.of_value(records.to_json(decide(rows, spoken)))


def test_a_selection_survives_its_file() -> None:
    spoken = make.samples(KNOWN, EIGHT_LINES)
    verdict = make.verdict(make.sitting(spoken, lambda name, line, seed: len(name)))
    found = decide(losses(CLEAR), spoken, verdict)
    assert records.from_json(Selection, records.to_json(found), "selection.json") == found
    assert found.listening is not None


def test_a_fine_tune_that_does_not_beat_the_base_does_not_ship() -> None:
    found = decide(losses({BASE: 0.8, FIRST: 0.9, SECOND: 0.85, THIRD: 0.95}))
    assert (found.decision, found.selected, found.step, found.checkpoint_sha256) == (
        "do_not_ship",
        None,
        None,
        None,
    )
    assert found.nominee == SECOND.name, "the nomination stays on record"


def test_a_lead_over_the_base_within_the_interval_does_not_ship() -> None:
    found = decide(losses({BASE: 0.8005, FIRST: 0.9, SECOND: 0.8, THIRD: 0.95}, noise=0.05))
    assert found.decision == "do_not_ship"
    assert found.against_base is not None and found.against_base.difference < 0
    assert "not shown to beat the base" in " ".join(found.reasons)


@pytest.mark.parametrize("problem", ["empty", "silent", "nonfinite"])
def test_a_failed_generation_is_a_veto_and_the_next_best_is_nominated(problem: str) -> None:
    found = decide(losses(CLEAR), make.samples(KNOWN, problems={(SECOND.name, "short"): problem}))
    assert found.selected == THIRD.name
    (vetoed,) = [row for row in found.ranking if row.vetoes]
    assert vetoed.candidate == SECOND.name and vetoed.vetoes == [f"{problem}: line short, seed 42"]
    assert vetoed.win_probability == 0.0


def test_running_away_where_the_base_runs_away_is_only_a_note() -> None:
    everywhere = {(one.name, line): "runaway" for one in KNOWN for line in make.LINES}
    found = decide(losses(CLEAR), make.samples(KNOWN, problems=everywhere))
    assert found.selected == SECOND.name
    assert all(row.notes and not row.vetoes for row in found.ranking)


def test_running_away_is_no_veto_beside_an_untrained_base_that_stopped_by_accident() -> None:
    problems = {(one.name, "short"): "runaway" for one in KNOWN[1:]}
    found = decide(losses(CLEAR), make.samples(KNOWN, problems=problems), base_trained=False)
    assert found.selected == SECOND.name
    assert any("3 of 4 candidates ran to the length limit; no veto" in note for note in found.notes)


def test_running_away_where_the_base_stops_is_a_veto() -> None:
    found = decide(
        losses(CLEAR),
        make.samples(KNOWN, problems={(SECOND.name, "short"): "runaway", ("base", "carrier"): "runaway"}),
    )
    assert found.selected == THIRD.name


def nobody_speaks() -> list[SampleRecord]:
    return make.samples(
        KNOWN, problems={(one.name, line): "not_spoken" for one in KNOWN for line in make.LINES}
    )


def test_losses_alone_never_ship_and_the_decision_says_what_to_do_next() -> None:
    found = decide(losses(CLEAR), nobody_speaks())
    assert (found.decision, found.selected, found.checkpoint_sha256) == ("not_heard", None, None)
    assert found.nominee == SECOND.name and found.moved and not any(row.vetoes for row in found.ranking)
    (reason,) = [reason for reason in found.reasons if reason.startswith("Nothing was heard")]
    for words in ("voicelathe env list", "dvc repro -f listen@mini-lora", "--candidate", "--because"):
        assert words in reason


def test_losses_that_do_not_beat_the_base_need_no_ear_to_be_refused() -> None:
    found = decide(losses({BASE: 0.8, FIRST: 0.9, SECOND: 0.85, THIRD: 0.95}), nobody_speaks())
    assert found.decision == "do_not_ship"


def test_a_line_that_one_candidate_could_not_speak_is_not_silence() -> None:
    some = {(SECOND.name, "short"): "not_spoken"}
    assert decide(losses(CLEAR), make.samples(KNOWN, problems=some)).decision == "ship"


def unmeasured(verdict: Verdict | None = None) -> Selection:
    """Everything was spoken, and no metric measured anything."""
    rows, spoken = losses(CLEAR), make.samples(KNOWN, EIGHT_LINES)
    empty = [replace(one, values={"cer": None}) for one in make.measures(spoken).samples]
    return selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, verdict, make.SELECT, True, {},
        make.checkpoints(KNOWN), replace(make.measures(spoken), samples=empty),
    )  # fmt: skip


def test_what_was_spoken_but_neither_measured_nor_listened_to_does_not_ship() -> None:
    found = unmeasured()
    assert found.decision == "not_heard" and found.selected is None
    (reason,) = [reason for reason in found.reasons if reason.startswith("Nothing was heard")]
    assert "no metric measured" in reason and "listening.html" in reason


def test_listeners_are_ears_enough_where_no_metric_measured() -> None:
    spoken = make.samples(KNOWN, EIGHT_LINES)
    assert unmeasured(make.verdict(make.sitting(spoken, lambda *_: 0.0))).decision == "ship"


def test_when_every_checkpoint_has_a_veto_nothing_ships_and_the_reasons_are_named() -> None:
    problems = {(one.name, "short"): "silent" for one in KNOWN[1:]}
    found = decide(losses(CLEAR), make.samples(KNOWN, problems=problems))
    assert (found.decision, found.nominee, found.selected, found.against_base) == (
        "do_not_ship",
        None,
        None,
        None,
    )
    assert "step 10 (silent: line short, seed 42)" in found.reasons[0]


def test_inside_a_tie_the_nominee_stays() -> None:
    found = decide(losses({BASE: 1.0, FIRST: 0.9, SECOND: 0.8, THIRD: 0.8002}))
    assert found.selected == SECOND.name
    assert [row.candidate for row in found.ranking if row.is_tied] == [THIRD.name]
    assert "a tie" in " ".join(found.reasons)


def test_the_weights_of_the_settings_decide_not_the_stored_totals() -> None:
    means = {
        BASE: {"diff": 2.0, "stop": 2.0},
        FIRST: {"diff": 0.5, "stop": 0.9},
        SECOND: {"diff": 0.9, "stop": 0.3},
        THIRD: {"diff": 1.0, "stop": 1.0},
    }
    rows = make.paired_losses(means)
    for weights, winner in (({"diff": 1.0, "stop": 0.0}, FIRST), ({"diff": 1.0, "stop": 1.0}, SECOND)):
        chosen = make.settings.Select(weights, [], 1.0, make.PROBE_LIMITS)
        found = selection.decide(
            make.run(),
            make.evaluations(rows, KNOWN),
            rows,
            make.samples(KNOWN),
            None,
            chosen,
            True,
            {},
            make.checkpoints(KNOWN),
            make.measures(make.samples(KNOWN)),
        )
        assert found.selected == winner.name


def test_an_untrained_base_is_said_to_be_untrained() -> None:
    assert any("Untrained base" in note for note in decide(losses(CLEAR), base_trained=False).notes)
    assert not any("Untrained base" in note for note in decide(losses(CLEAR), base_trained=True).notes)


def test_reasons_give_distances_in_the_direction_they_name() -> None:
    below = decide(losses(CLEAR)).reasons
    assert re.search(r"0\.2000 below the base .*95 % interval 0\.1\d+ to 0\.2\d+ over recordings", below[1])
    assert re.search(r"Runner-up is step 30, 0\.0500 behind, 95 % interval 0\.0\d+ to 0\.0\d+ over", below[2])
    above = decide(losses({BASE: 0.7, FIRST: 0.9, SECOND: 0.8, THIRD: 0.85})).reasons
    assert re.search(r"0\.1000 above the base .*95 % interval 0\.0\d+ to 0\.1\d+ over recordings", above[1])


# --- little validation data ------------------------------------------------------------------------------------------


def test_fewer_than_eight_recordings_print_both_intervals_and_say_so() -> None:
    found = decide(losses(CLEAR, num_recordings=4))
    assert found.against_base is not None and found.against_base.by_recording and found.against_base.by_clip
    assert "over recordings" in found.reasons[1] and "over clips" in found.reasons[1]
    assert any("4 recordings" in note for note in found.notes)
    assert found.decision == "ship"


def test_with_few_recordings_both_intervals_must_beat_the_base() -> None:
    rows = losses(
        {BASE: 0.81, FIRST: 0.9, SECOND: 0.8, THIRD: 0.95}, num_recordings=3, clips_each=4, noise=0.0
    )
    bent = []
    for row in rows:  # within each recording the clips disagree, between recordings nothing does
        swing = 0.3 * (1 if row.clip_id.endswith(("0", "1")) else -1) * (row.candidate == SECOND.name)
        bent.append(replace(row, losses={**row.losses, "diff": row.losses["diff"] + swing}))
    found = decide(bent)
    assert found.against_base is not None and found.against_base.by_recording and found.against_base.by_clip
    assert found.against_base.by_recording.high < 0 < found.against_base.by_clip.high
    assert found.decision == "do_not_ship"


def test_a_single_recording_is_judged_by_its_clips_and_says_so() -> None:
    found = decide(losses(CLEAR, num_recordings=1, clips_each=12))
    assert (
        found.against_base is not None
        and found.against_base.by_recording is None
        and found.against_base.by_clip
    )
    assert any("single recording" in note for note in found.notes)


def test_a_single_clip_ships_nothing_and_says_why() -> None:
    found = decide(losses(CLEAR, num_recordings=1, clips_each=1))
    assert found.decision == "do_not_ship" and found.nominee == SECOND.name
    assert found.against_base is not None and (
        found.against_base.by_recording,
        found.against_base.by_clip,
    ) == (None, None)
    assert any("single clip" in note for note in found.notes)
    assert all(row.win_probability is None for row in found.ranking)


# --- listeners -------------------------------------------------------------------------------------------------------


def heard(taste: make.Taste, listeners: int = 2) -> tuple[list[SampleRecord], Verdict]:
    spoken = make.samples(KNOWN, EIGHT_LINES)
    return spoken, make.verdict(
        *(make.sitting(spoken, taste, f"listener {number}") for number in range(listeners))
    )


def test_a_significant_preference_of_listeners_overrides_validation_and_is_recorded() -> None:
    found = decide(
        losses(CLEAR),
        *heard(lambda name, line, seed: {FIRST.name: 3, SECOND.name: 2, THIRD.name: 1}.get(name, 0)),
    )
    assert (found.selected, found.nominee, found.decided_by) == (FIRST.name, SECOND.name, "listening")
    assert "Listeners overrule it: step 10 was preferred to step 20 16 to 0" in " ".join(found.reasons)
    assert found.runner_up == SECOND.name and found.margin == pytest.approx(-0.1, abs=1e-9)


def test_a_preference_that_could_be_chance_changes_nothing() -> None:
    def taste(name: str, line: str, seed: int) -> float:
        return {FIRST.name: 2.0 if line < "line-5" else 0.5, SECOND.name: 1.0}.get(name, 0.0)

    found = decide(losses(CLEAR), *heard(taste, listeners=1))
    assert (found.selected, found.decided_by) == (SECOND.name, "validation")
    assert any("no clear winner" in note for note in found.notes)


def test_listeners_cannot_ship_a_candidate_with_a_veto() -> None:
    spoken = make.samples(KNOWN, EIGHT_LINES, problems={(FIRST.name, "line-0"): "silent"})
    verdict = make.verdict(*(make.sitting(spoken, lambda name, *_: name == FIRST.name, who) for who in "ab"))
    assert decide(losses(CLEAR), spoken, verdict).selected == SECOND.name


def test_when_listeners_prefer_the_base_nothing_ships() -> None:
    found = decide(losses(CLEAR), *heard(lambda name, *_: name == "base"))
    assert (found.decision, found.decided_by, found.nominee) == ("do_not_ship", "listening", SECOND.name)


def test_listeners_who_prefer_the_fine_tune_to_the_base_can_ship_what_validation_could_not_tell_apart() -> (
    None
):
    rows = losses({BASE: 0.8005, FIRST: 0.9, SECOND: 0.8, THIRD: 0.95}, noise=0.05)
    assert decide(rows).decision == "do_not_ship"
    found = decide(rows, *heard(lambda name, *_: name == SECOND.name))
    assert (found.decision, found.selected, found.decided_by) == ("ship", SECOND.name, "listening")


def test_a_verdict_on_other_samples_is_noted_and_not_counted() -> None:
    spoken, verdict = heard(lambda name, *_: name == FIRST.name)
    stale = [replace(one, sha256="9" * 64) for one in spoken]
    found = decide(losses(CLEAR), stale, verdict)
    assert (found.selected, found.listening) == (SECOND.name, None)
    assert any("other samples" in note for note in found.notes)


def test_too_few_judgements_are_said_to_be_too_few() -> None:
    spoken = make.samples(KNOWN)
    found = decide(
        losses(CLEAR), spoken, make.verdict(make.sitting(spoken, lambda name, *_: name == FIRST.name))
    )
    assert found.selected == SECOND.name
    assert any("cannot show any preference" in note for note in found.notes)


def test_a_code_of_a_metric_on_too_many_samples_excludes_and_less_is_noted() -> None:
    codes = {"garbled": "cer 0.8, at most 0.4"}
    one, two = {(SECOND.name, "short"): codes}, {(SECOND.name, line): codes for line in ("short", "carrier")}
    eight = {f"l{number}": "x" for number in range(8)}
    spoken = make.samples(KNOWN, eight)

    def row(found: Selection, one: Candidate) -> Ranked:
        return next(ranked for ranked in found.ranking if ranked.candidate == one.name)

    found = decide(losses(CLEAR), spoken, outside={(SECOND.name, f"l{number}"): codes for number in range(2)})
    assert found.nominee == SECOND.name and "garbled: 2 of 8 samples" in row(found, SECOND).notes[0]
    found = decide(losses(CLEAR), spoken, outside={(SECOND.name, f"l{number}"): codes for number in range(3)})
    assert found.nominee == THIRD.name
    assert row(found, SECOND).vetoes == ["garbled: 3 of 8 samples, line l0, cer 0.8, at most 0.4"]
    assert decide(losses(CLEAR), outside=one).nominee == THIRD.name, "one of two lines is half"
    assert decide(losses(CLEAR), outside=two).nominee == THIRD.name


def test_a_code_that_the_settings_do_not_name_never_excludes() -> None:
    found = decide(losses(CLEAR), outside={(SECOND.name, "short"): {"muffled": "highs_db -60, at least -30"}})
    noted = next(ranked.notes for ranked in found.ranking if ranked.candidate == SECOND.name)
    assert found.nominee == SECOND.name and noted[0].startswith("muffled")


def test_a_veto_whose_metric_did_not_answer_or_set_no_limit_is_said_to_protect_nobody() -> None:
    rows, spoken = losses(CLEAR), make.samples(KNOWN)

    def notes(*ended: MetricRun, low: float | None, codes: list[str]) -> list[str]:
        whole = make.measures(spoken)
        aligned = FigureRecord(
            Figure("aligned", "share", "higher", "truncated", ""), "words", low, None, 1.0, 1.0, 1.0
        )
        found = selection.decide(
            make.run(), make.evaluations(rows, KNOWN), rows, spoken, None,
            replace(make.SELECT, vetoes=[*codes, *make.PROBE_CODES]), True, {}, make.checkpoints(KNOWN),
            replace(whole, metrics=list(ended), figures=[*whole.figures, aligned]),
        )  # fmt: skip
        return [note for note in found.notes if note.startswith("Vetoes that no metric could show")]

    words = MetricRun("words", "measured", "")
    assert notes(words, low=0.5, codes=["garbled", "truncated"]) == []
    (note,) = notes(words, low=None, codes=["garbled", "truncated"])
    assert (
        "samples: truncated (recogniser is not in listen.metrics; words got no limit from 12 held-out clips of the speaker)."
        in note
    )
    quality = MetricRun("quality", "crashed", "exit code 1: no model")
    (note,) = notes(words, quality, low=0.5, codes=["artefacts", "garbled", "wrong_speaker"])
    assert "artefacts (waveform is not in listen.metrics; quality crashed: exit code 1: no model)" in note
    assert "wrong_speaker (speaker is not in listen.metrics)." in note and "garbled" not in note


def test_when_everything_is_garbled_nothing_ships_and_the_reason_says_so() -> None:
    outside = {
        (one.name, line): {"garbled": "cer 1, at most 0.4"} for one in KNOWN for line in ("short", "carrier")
    }
    found = decide(losses(CLEAR), outside=outside, base_trained=False)
    assert (found.decision, found.nominee, found.selected) == ("do_not_ship", None, None)
    assert "Every checkpoint has a veto" in found.reasons[0] and "garbled: 2 of 2 samples" in found.reasons[0]


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
                make.checkpoints(KNOWN), measures,
            )  # fmt: skip


ZERO_SHOT = Candidate(0, None, True)
TWO_BASES = [BASE, ZERO_SHOT, FIRST, SECOND, THIRD]


def with_two_bases(
    zero_shot: float,
    cer: dict[str, float | None] | None = None,
    outside: make.Outside | None = None,
    problems: dict[tuple[str, str], str] | None = None,
) -> Selection:
    """`cer`: candidate -> what the metric says on every line; 0.2 for the others."""
    rows, spoken = losses({**CLEAR, ZERO_SHOT: zero_shot}), make.samples(TWO_BASES, problems=problems)
    found = make.measures(spoken, outside)
    samples = [replace(one, values={"cer": (cer or {}).get(one.candidate, 0.2)}) for one in found.samples]
    return selection.decide(
        make.run(), make.evaluations(rows, TWO_BASES), rows, spoken, None, make.SELECT, True, {},
        make.checkpoints(KNOWN), replace(found, samples=samples),
    )  # fmt: skip


def test_where_both_bases_are_heard_alike_the_one_with_the_lower_loss_must_be_beaten() -> None:
    worse, better = with_two_bases(1.1), with_two_bases(0.7)
    assert (worse.base, better.base) == ("base", "base_zero_shot")
    assert worse.against_base is not None and worse.against_base.against == "base"
    assert (worse.decision, worse.selected) == ("ship", SECOND.name)
    assert better.against_base is not None and better.against_base.against == "base_zero_shot"
    assert (better.decision, better.selected) == ("do_not_ship", None)
    assert "not shown to beat the better of the two bases" in " ".join(better.reasons)
    assert "the base, zero-shot (0.7000)" in " ".join(better.reasons)
    assert "the lower validation total, as they were heard alike" in " ".join(better.reasons)


def test_of_two_bases_the_one_that_is_heard_better_must_be_beaten_whatever_its_loss() -> None:
    found = with_two_bases(0.7, {"base_zero_shot": 0.6})
    assert (found.base, found.decision, found.selected) == ("base", "ship", SECOND.name)
    assert found.against_base is not None and found.against_base.against == found.base
    assert found.best_against_base.against == found.base and found.moved
    assert "heard better: ahead in cer (2 to 0 lines)" in " ".join(found.reasons)
    (note,) = [note for note in found.notes if note.startswith("The other base")]
    assert "the base, zero-shot" in note and "not shown to be beaten" in note
    other = with_two_bases(1.1, {"base": 0.6})
    assert other.base == "base_zero_shot" and not any("other base" in note for note in other.notes)


def test_a_base_with_fewer_vetoed_samples_is_the_better_one_before_any_figure() -> None:
    garbled = {("base", "short"): {"garbled": "cer 0.8, at most 0.4"}}
    found = with_two_bases(1.1, {"base": 0.1}, garbled)
    assert found.base == "base_zero_shot"
    assert "fewer of its samples failed or were vetoed: 0 against 1" in " ".join(found.reasons)
    unnamed = {("base", "short"): {"muffled": "highs_db -60, at least -30"}}
    assert with_two_bases(1.1, {"base": 0.1}, unnamed).base == "base", "a code that vetoes nothing has no say"
    failed = with_two_bases(1.1, {"base": 0.1}, problems={("base", "short"): "silent"})
    assert failed.base == "base_zero_shot"
    silent = with_two_bases(0.7, problems={("base_zero_shot", line): "silent" for line in make.LINES})
    assert (silent.base, silent.decision) == ("base", "ship"), "who says nothing at all is no bar"


def test_where_nothing_was_measured_of_a_base_loss_chooses_between_the_two() -> None:
    found = with_two_bases(0.95, {"base": None, "base_zero_shot": None})
    assert found.base == "base_zero_shot"
    assert "the lower validation total, as no metric measured both" in " ".join(found.reasons)
    unasked = [one for one in make.samples(TWO_BASES) if one.candidate != "base_zero_shot"]
    measures = replace(make.measures(unasked), figures=[])
    bases = ["base", "base_zero_shot"]
    chosen = bar.choose(bases, unasked, measures, ["garbled"], {"base": 1.0, "base_zero_shot": 0.9})
    assert chosen.because == "the lower validation total, as no metric measured both", (
        "it did not fail: it was not asked"
    )
    silent = {("base_zero_shot", line): "not_spoken" for line in make.LINES}
    assert with_two_bases(0.95, problems=silent).base == "base_zero_shot"


def test_the_report_says_what_the_metrics_hear_between_the_chosen_one_and_the_base() -> None:
    notes = " ".join(with_two_bases(1.1, {SECOND.name: 0.1}).notes)
    assert "Metrics against the base: ahead in cer (2 to 0 lines); none of it significant" in notes
    notes = " ".join(with_two_bases(1.1, {SECOND.name: 0.3}).notes)
    assert "Metrics against the base: behind in cer (0 to 2 lines); none of it significant" in notes


def test_no_base_is_ever_nominated() -> None:
    assert with_two_bases(0.1).nominee == SECOND.name
