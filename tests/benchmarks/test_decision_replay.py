"""The replay of decisions: rules over kept samples give what they must on records in which the truth is planted."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.decisions import cases, hearing, making, oracle, packs, replay, report
from benchmarks.decisions.hearing import Heard
from benchmarks.decisions.replay import Trained
from tests.factories import evaluations as make
from voicelathe.config import params
from voicelathe.errors import SelectionError
from voicelathe.evaluate import racing, scores
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores
from voicelathe.records import STRATA, Candidate, PackLine

KNOWN = make.candidates(10, 20, 30)
BASE, FIRST, SECOND, THIRD = KNOWN
FALLING = {BASE: 1.0, FIRST: 0.9, SECOND: 0.8, THIRD: 0.7}
PACK = [
    PackLine(name, said, "en", None, STRATA[at % len(STRATA)], None, None)
    for at, (name, said) in enumerate(make.MANY.items())
]
NEAR = {FIRST.name: 0.8, SECOND.name: 0.9, THIRD.name: 0.95}
LOST = {THIRD.name: 0.6}  # character errors: the last one ruined its words


def trained(
    totals: Mapping[Candidate, float] = FALLING, num_lines: int = 24, noise: float = 0.02, **heard: object
) -> Trained:
    """`heard`: what `make.measures` takes."""
    lines = dict(list(make.MANY.items())[:num_lines])
    rows = make.paired_losses(
        {one: {"diff": 0.9 * total, "stop": 0.1 * total} for one, total in totals.items()}
    )
    spoken = make.samples(KNOWN, lines)
    measures = make.measures(spoken, noise=noise, **heard)  # type: ignore[arg-type]
    return Trained(
        "case", make.run(), make.evaluations(rows, KNOWN), rows, make.checkpoints(KNOWN), [], make.SELECT, make.RACE,
        PACK[:num_lines], Heard(spoken, measures),
    )  # fmt: skip


def truth(words: Mapping[str, float], likeness: Mapping[str, float]) -> oracle.Oracle:
    """Every line as the mean, and a little of its own."""
    by = {
        WORDS: {name: {f"l{n}": mean + 0.001 * (n % 3) for n in range(20)} for name, mean in words.items()},
        LIKENESS: {
            name: dict.fromkeys((f"l{n}" for n in range(20)), mean) for name, mean in likeness.items()
        },
    }
    return oracle.judge(Scores(by))


TRUTH = truth(
    {"base": 0.9, FIRST.name: 0.9, SECOND.name: 0.9, THIRD.name: 0.4},
    {"base": 0.6, FIRST.name: 0.8, SECOND.name: 0.9, THIRD.name: 0.95},
)


def test_ours_ships_the_nearest_that_keeps_its_words_and_the_loss_ships_the_ruined_one() -> None:
    one = trained(likeness=NEAR, cer=LOST)
    assert replay.ours(one, PACK, 8).gets == SECOND.name
    assert replay.by_number(one, replay.LAST).gets == replay.by_number(one, replay.LOSS).gets == THIRD.name


def test_racing_decides_as_exhaustive_listening_and_spends_less() -> None:
    one = trained(likeness=NEAR, cer=LOST)
    raced, heard_out = replay.ours(one, PACK, 8), replay.ours(one, PACK, 24)
    assert raced.gets == heard_out.gets == SECOND.name
    assert heard_out.samples == len(KNOWN) * 24 and raced.samples < heard_out.samples


def test_a_replay_gives_out_only_what_was_asked_for() -> None:
    found = replay.Replayed(trained(), 24)
    heard = found.speak(["base", FIRST.name], ["line-03"])
    assert {(one.candidate, one.line_id) for one in found.samples} == {
        ("base", "line-03"),
        (FIRST.name, "line-03"),
    }
    assert isinstance(heard, racing.BlockResult) and heard.num_samples == 2 == len(found.measures.samples)


def test_where_nobody_is_nearer_users_get_the_base() -> None:
    equal = {one.name: 0.6 for one in KNOWN}
    decided = replay.ours(trained(likeness=equal), PACK, 8)
    assert decided.gets == "base" and not decided.ships


def test_the_lowest_diff_is_not_the_lowest_total() -> None:
    one = trained()
    other = [
        replace(row, losses={"diff": 0.1, "stop": 5.0}) if row.candidate == FIRST.name else row
        for row in one.evaluations
    ]
    one = replace(one, evaluations=other)
    assert replay.by_number(one, replay.DIFF).gets == FIRST.name
    assert replay.by_number(one, replay.LOSS).gets == THIRD.name


def test_two_lines_let_the_loss_nominate_among_those_without_a_veto() -> None:
    outside = {(THIRD.name, "line-00"): {"garbled": "cer 0.9, at most 0.4"}}
    assert replay.two_lines(trained(), PACK[:2]).gets == THIRD.name
    assert replay.two_lines(trained(outside=outside), PACK[:2]).gets == SECOND.name
    rising = {BASE: 0.5, FIRST: 0.9, SECOND: 0.8, THIRD: 0.7}
    assert replay.two_lines(trained(rising), PACK[:2]).gets == "base"


def test_a_tie_is_broken_by_three_rules_that_can_differ() -> None:
    equal = {one.name: 0.8 for one in KNOWN[1:]}
    one = trained(likeness=equal, cer={"base": 0.1, FIRST.name: 0.1, SECOND.name: 0.095, THIRD.name: 0.1})
    decided = replay.ours(one, PACK, 24)
    steps = {found.candidate: found.step for found in one.evaluations}
    assert set(replay.tied(decided)) == {FIRST.name, SECOND.name, THIRD.name}
    assert [replay.with_ties(decided, rule, steps) for rule in replay.TIES] == [
        THIRD.name,
        SECOND.name,
        FIRST.name,
    ]


def test_the_first_tie_rule_is_that_of_the_selection() -> None:
    for likeness in ({one.name: 0.8 for one in KNOWN[1:]}, NEAR):
        one = trained(likeness=likeness)
        decided = replay.ours(one, PACK, 24)
        assert replay.with_ties(decided, replay.TIES[0], {}) == decided.gets


def test_regret_is_nought_for_the_best_and_counts_words_and_likeness() -> None:
    assert TRUTH.regret(SECOND.name) == 0.0
    assert TRUTH.regret("base") == pytest.approx(0.9 * 0.9 - 0.9 * 0.6, abs=0.002)
    assert TRUTH.regret(THIRD.name) == pytest.approx(0.81 - 0.38, abs=0.002)


def test_a_failed_sample_is_worth_nothing_whoever_it_sounds_like() -> None:
    found = Scores({WORDS: {"base": {"l": 0.0}, "x": {"l": 0.5}}, LIKENESS: {"x": {"l": 0.8}}})
    assert oracle.utilities(found) == {"base": {"l": 0.0}, "x": {"l": 0.4}}


def test_candidates_that_spoke_other_lines_are_refused() -> None:
    with pytest.raises(AssertionError, match="different lines"):
        oracle.judge(Scores({WORDS: {"base": {"a": 1.0, "b": 1.0}, "x": {"a": 1.0}}}))


def test_helpers_are_those_that_truly_are_better() -> None:
    assert set(TRUTH.helpers()) == {FIRST.name, SECOND.name}
    assert TRUTH.ahead(THIRD.name, "base").is_worse
    equal = dict.fromkeys(("base", FIRST.name), 0.8)
    assert truth(equal, equal).helpers() == []


def test_rows_say_what_each_rule_costs() -> None:
    one = report.Judged(trained(likeness=NEAR, cer=LOST), TRUTH)
    found = {row.rule: row for row in report.rows(one)}
    assert found["last"].worse == 1.0 and found["last"].regret == pytest.approx(0.43, abs=0.01)
    assert found["ours, 24 lines"].regret == 0.0 and found["ours, 24 lines"].better == 1.0
    expected = (TRUTH.regret(FIRST.name) + TRUTH.regret(SECOND.name) + TRUTH.regret(THIRD.name)) / 3
    assert found["random"].regret == pytest.approx(expected)
    assert "ours, 64 lines" not in found, "there are 24 lines"
    assert found["ours, 24 lines"].samples < found["ours, 24 lines, exhaustive"].samples


def test_shipping_nothing_is_never_worse_than_the_base() -> None:
    low = truth({"base": 0.5, "base_zero_shot": 0.9}, {"base": 0.5, "base_zero_shot": 0.9})
    one = report.row(report.Judged(trained(), low), "x", [replay.Decided("base", 0)])
    assert one.worse == 0.0 and one.regret > 0.5


@pytest.mark.slow
def test_tables_hold_every_rule_and_every_column() -> None:
    known = [report.Judged(trained(likeness=NEAR, cer=LOST), TRUTH)]
    for told in (
        report.cases_table(known), report.rules_table(known), report.ties_table(known), report.calibration_table(known)
    ):  # fmt: skip
        widths = {line.count("|") for line in told.splitlines() if line.startswith("|")}
        assert len(widths) == 1, told
    assert all(f"| {rule} |" in report.ties_table(known) for rule in replay.TIES)


@pytest.mark.slow
def test_a_case_counts_once_however_often_its_lines_are_drawn() -> None:
    many = report.Judged(trained(likeness=NEAR, cer=LOST), TRUTH)
    once = report.Judged(replace(trained(likeness=NEAR), name="other"), TRUTH)

    def rules(*known: report.Judged) -> list[list[str]]:
        rows = [line.split("|") for line in report.rules_table(known).splitlines()[4:]]
        return [[*row[:7], row[8]] for row in rows]  # all but the share of draws in which somebody helps

    assert rules(many, once) == rules(many, many, many, once)


def test_the_oracle_takes_likeness_from_where_it_is_told_to() -> None:
    near, far = (trained(likeness=dict.fromkeys(NEAR, value)).heard for value in (0.9, 0.5))
    lines = PACK[:12]
    mixed = oracle.of(hearing.of_lines(near, lines), hearing.of_lines(far, lines))
    assert mixed.scores.mean(LIKENESS, FIRST.name) == pytest.approx(0.5, abs=0.05)
    assert mixed.scores.values[WORDS] == oracle.of(hearing.of_lines(near, lines)).scores.values[WORDS]
    assert sorted(mixed.scores.values[WORDS][FIRST.name]) == sorted(line.id for line in lines)


def test_statements_go_into_ten_bins_and_certainty_into_the_last() -> None:
    found = report.bins(report.Statement(WORDS, p, 1.0) for p in (0.0, 0.05, 0.99, 1.0))
    assert [len(one) for one in found] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_a_sure_statement_about_a_ruined_voice_is_confirmed_by_the_oracle() -> None:
    one = report.Judged(trained(likeness=NEAR, cer=LOST), TRUTH)
    said = sorted((found.p, found.truth) for found in report.statements(one, 24))
    assert said[0][0] < 0.01 and said[0][1] == 0.0
    assert said[-1] > (0.99, 0.5)


def test_the_table_of_statements_has_each_measure_alone() -> None:
    one = report.Judged(trained(likeness=NEAR, cer=LOST), TRUTH)
    lines = [row.split(" | ") for row in report.calibration_table([one]).splitlines()[2:]]
    of = [
        sum(int(row[at].strip(" |").split(" of ")[1]) for row in lines if " of " in row[at])
        for at in (5, 6, 7)
    ]
    assert sum(of) == sum(int(row[1]) for row in lines) and min(of[0], of[2]) > 0
    said = list(report.statements(one, 24))
    assert of == [sum(found.measure == measure for found in said) for measure in report.MEASURED]


def test_a_training_that_diverged_ships_nothing_and_other_refusals_are_errors() -> None:
    one = trained(likeness=NEAR)
    lost = [
        replace(row, total=math.nan, losses={"diff": math.nan, "stop": 0.1})
        if row.candidate == THIRD.name
        else row
        for row in one.evaluations
    ]
    diverged = replace(one, evaluations=lost)
    assert replay.ours(diverged, PACK, 24).gets == "base"
    assert replay.by_number(diverged, replay.LOSS).gets == SECOND.name
    with pytest.raises(SelectionError, match="lists no step"):
        replay.ours(replace(one, checkpoints=[]), PACK, 24)


# --- what goes on where it was killed ---------------------------------------------------------------------------------


def test_what_is_finished_is_not_done_again_and_what_failed_is(tmp_path: Path) -> None:
    done: list[str] = []

    def fails() -> None:
        done.append("failed")
        raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        making._once(tmp_path, "train", fails)
    for _ in range(2):
        making._once(tmp_path, "train", lambda: done.append("trained"))
    assert done == ["failed", "trained"]


def test_what_was_heard_of_each_candidate_becomes_one_sweep_again(tmp_path: Path) -> None:
    whole = trained(likeness=NEAR, cer=LOST).heard
    for name in (one.name for one in KNOWN):
        own = [row for row in whole.measures.samples if row.candidate == name]
        said = [row for row in whole.samples if row.candidate == name]
        hearing.write(
            tmp_path / f"{name}.json", Heard(said, replace(whole.measures, run_digest="another", samples=own))
        )
    parts = [hearing.read(tmp_path / f"{one.name}.json") for one in KNOWN]
    assert hearing.joined(make.run(), parts) == whole


def test_every_case_is_a_recipe_that_params_accept(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    shutil.copy(Path(__file__).parents[2] / "params.yaml", file)
    params.edit(making._changes("slt", [one for one in cases.CASES if one.voice == "slt"]), file)
    found = params.load(file)
    ruinous = found.recipes["slt-lora-ruinous"]
    assert ruinous.train.lora is not None and ruinous.listen.lines == making.PACK
    recipe = params.read_yaml(Path(__file__).parents[2] / "recipes/ruined.yaml")["recipes"]["ruined"]["train"]
    shipped = (recipe["learning_rate"], recipe["steps"], recipe["lora"]["rank"], recipe["lora"]["scope"])
    lora = ruinous.train.lora
    assert shipped == (ruinous.train.learning_rate, ruinous.train.steps, lora.rank, list(lora.scope))
    assert found.recipes["slt-full-long"].train.steps == 120 and found.consent.policy == "research"
    assert making._changes(cases.DEMO, []).get("consent/policy") is None, "the demo's voice has its record"


# --- the lines and the table of fine-tunes ----------------------------------------------------------------------------


def test_no_decision_hears_a_line_of_the_oracle() -> None:
    pool = packs.pool()
    assert len({line.id for line in pool}) == len(pool) == packs.NUM_DECISION + packs.NUM_ORACLE
    for number in range(3):
        decision, judge = packs.drawn("case", number)
        assert (len(decision), len(judge)) == (packs.NUM_DECISION, packs.NUM_ORACLE)
        assert packs.strangers(judge, [line.text for line in decision]) == []
        assert sorted(line.id for line in [*decision, *judge]) == sorted(line.id for line in pool)
    assert packs.oracle(16) == packs.oracle()[:16]


def test_every_fine_tune_and_every_draw_has_lines_of_its_own() -> None:
    """All have the same base: what it happens to say well on one draw would count in each of them."""
    drawn = [frozenset(line.id for line in packs.drawn(case, at)[0]) for case in ("a", "b") for at in (0, 1)]
    assert len(set(drawn)) == 4 and packs.drawn("a") == packs.drawn("a")


def test_decision_and_oracle_ask_of_the_same_kinds_of_lines() -> None:
    """Else the oracle would judge which lines a decision heard, and not the decision."""

    def grammar(pack: Sequence[PackLine]) -> float:
        return sum(packs.is_grammar(line.id) for line in pack) / len(pack)

    decision, judge = packs.drawn("case")
    assert abs(grammar(decision) - grammar(judge)) < 0.05
    for size in (8, 24):
        assert {grammar(part) for part in packs.parts(decision, size)} == {0.75}, (
            "every decision, however short"
        )


def test_a_line_of_the_corpus_is_a_stranger_however_it_is_written() -> None:
    line = packs.pool()[0]
    assert packs.strangers([line], [f"  {line.text.upper()} "]) == [line.id]


def test_the_table_has_what_a_benchmark_of_decisions_needs() -> None:
    known = cases.CASES
    assert len(known) >= 12 and len({one.name for one in known}) == len(known)
    assert len({one.voice for one in known}) >= 3 and {one.start for one in known} == {cases.LORA, cases.FULL}
    assert {one.dirty for one in known} == {True, False}


def test_scores_of_the_replay_are_those_of_the_package() -> None:
    one = trained(likeness=NEAR)
    decided = replay.ours(one, PACK, 24)
    assert decided.spoken == scores.of(one.heard.samples, one.heard.measures)
