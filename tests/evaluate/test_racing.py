"""Who drops out of a race, and how rarely that is a mistake."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from voicelathe.config.schema import Guards, RaceSettings
from voicelathe.errors import SelectionError
from voicelathe.evaluate import baseline, chances, foresight, guards, racing, scores, selection
from voicelathe.evaluate.chances import Chance
from voicelathe.evaluate.evidence import BASE, ZERO_SHOT
from voicelathe.evaluate.report import wording
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS, Scores
from voicelathe.records import Round

GUARDS = Guards(words=0.05, endings=0.2, quality=None)
MARGINS = guards.margins(GUARDS)
LEVEL = racing.level(0.05, [8, 8, 8], 1)
CANDIDATES = [f"step-{number}" for number in range(6)]


def table(
    num_lines: int,
    words: Mapping[str, float] | None = None,
    likeness: Mapping[str, float] | None = None,
    seed: int = 1,
    names: list[str] = CANDIDATES,
) -> Scores:
    """Lines of different difficulty, some of them ruined now and then, as a recogniser hears them; means as given."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(0.0, 0.08, num_lines)
    found: dict[str, dict[str, dict[str, float]]] = {WORDS: {}, ENDINGS: {}, LIKENESS: {}}
    for name in ["base", *names]:
        ruined = generator.random(num_lines) < 0.04
        kept = (words or {}).get(name, 0.85) + shared + generator.normal(0.0, 0.1, num_lines) - 0.5 * ruined
        like = (likeness or {}).get(name, 0.8) + generator.normal(0.0, 0.03, num_lines)
        for line in range(num_lines):
            key = f"line-{line:02d}"
            found[WORDS].setdefault(name, {})[key] = float(np.clip(kept[line], 0.0, 1.0))
            found[ENDINGS].setdefault(name, {})[key] = float(generator.random() > 0.02)
            found[LIKENESS].setdefault(name, {})[key] = float(like[line])
    return Scores(found)


def against(found: Scores) -> guards.Bar:
    return guards.bar(found, "base", GUARDS, {})


def dropped(found: Scores, names: list[str] = CANDIDATES, num_lines: int = 24) -> dict[str, str]:
    bar = against(found)
    known = chances.to_ship(names, bar, num_lines)
    return {one.candidate: one.code for one in racing.drops(names, known, LEVEL, {})}


def test_who_lost_its_words_drops_out_after_the_first_block() -> None:
    out = dropped(table(8, words={"step-5": 0.3, "step-4": 0.4}))
    assert {name: out.get(name) for name in ("step-4", "step-5")} == {"step-4": "guard", "step-5": "guard"}


def test_who_is_far_less_like_the_speaker_than_one_that_keeps_its_words_drops_out() -> None:
    found = table(32, likeness={"step-0": 0.82, "step-1": 0.95}, words={"step-0": 0.95, "step-1": 0.95})
    assert dropped(found, ["step-0", "step-1"], 64) == {"step-0": "dominated"}


def test_who_is_nearest_and_may_still_fail_drops_out_nobody_that_keeps_its_words() -> None:
    """The leader of likeness loses about what the guard allows: it may fail on the lines to come, and then the other one ships."""
    likeness, words = {"step-0": 0.84, "step-1": 0.95}, {"step-0": 0.9, "step-1": 0.81}
    for seed in range(20):
        assert dropped(table(16, words, likeness, seed), ["step-0", "step-1"]).get("step-0") != "dominated"


def test_who_comes_no_nearer_than_the_base_drops_out() -> None:
    assert dropped(table(16, likeness={"step-0": 0.7}), ["step-0"]) == {"step-0": "no_gain"}


def test_of_equals_who_has_the_higher_loss_drops_out_in_the_end() -> None:
    """The lower loss is named first: ties go to it."""
    found = table(20, likeness=dict.fromkeys(CANDIDATES, 0.9), words=dict.fromkeys(CANDIDATES, 0.95))
    same = Scores({m: {n: by["step-0" if n != "base" else n] for n in by} for m, by in found.values.items()})
    assert dropped(same, ["step-0", "step-1"], 20) == {"step-1": "dominated"}
    assert dropped(same, ["step-1", "step-0"], 20) == {"step-0": "dominated"}


def test_nobody_drops_out_for_a_prompted_base_that_may_turn_out_not_to_be_the_one_to_beat() -> None:
    """After one block the base with a clip in front is the one to beat, and far nearer; it keeps about as many words less as a guard allows."""
    names, seen = [*CANDIDATES, ZERO_SHOT], 0
    like = dict.fromkeys(CANDIDATES, 0.85) | {ZERO_SHOT: 0.95}
    for seed in range(12):
        found = table(8, {ZERO_SHOT: 0.81}, like, seed=seed, names=names)
        bar = guards.bar(found, baseline.choose([BASE, ZERO_SHOT], found, MARGINS, {}).name, GUARDS, {})
        known = chances.to_ship(CANDIDATES, bar, 40)
        out = racing.drops(CANDIDATES, known, LEVEL, {})
        if bar.base == ZERO_SHOT:
            seen += 1
            assert len(out) <= 2, f"seed {seed}: {[one.because for one in out]}"
    assert seen > 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("prompted_words", "prompted_likeness"), [(0.82, 0.85), (0.95, 0.78)])
def test_the_base_to_beat_is_foreseen_as_it_is_chosen(
    seed: int, prompted_words: float, prompted_likeness: float
) -> None:
    """With all lines spoken nothing is drawn: whoever ships against the base that is chosen ships in every draw, whichever is the bar now."""
    names, real = [*CANDIDATES, ZERO_SHOT], {WORDS: [0.8] * 8}
    likeness = {name: 0.83 + 0.02 * at for at, name in enumerate(CANDIDATES)} | {ZERO_SHOT: prompted_likeness}
    found = table(24, {ZERO_SHOT: prompted_words}, likeness, seed=50 + seed, names=names)
    chosen = baseline.choose([BASE, ZERO_SHOT], found, MARGINS, {}).name
    best = chosen_by_selection(found, guards.bar(found, chosen, GUARDS, real))
    for name in (BASE, ZERO_SHOT):
        known = chances.to_ship(CANDIDATES, guards.bar(found, name, GUARDS, real), 24)
        assert [one for one, chance in known.items() if chance.wins] == [one for one in [best] if one]


def chosen_by_selection(found: Scores, bar: guards.Bar, candidates: Sequence[str] = CANDIDATES) -> str | None:
    """Who ships of those named, the lower loss first, when everybody spoke everything."""
    names = [name for name in (BASE, ZERO_SHOT) if found.lines(name)]
    judged = guards.judge([*names, *candidates], bar, {}, {})
    passing = {
        one.candidate: one for one in judged if one.standing == guards.PASSES and one.candidate in candidates
    }
    return (
        selection.nominee([name for name in candidates if name in passing], passing, found)
        if passing
        else None
    )


FAR_NEARER = {
    "words": {"step-0": 0.86, "step-1": 0.98, ZERO_SHOT: 0.76},
    "likeness": {"step-0": 0.83, "step-1": 0.82, ZERO_SHOT: 0.97},
}
NEARER_BAR = {
    "words": {"step-0": 0.7, "step-1": 0.83, ZERO_SHOT: 0.84},
    "likeness": {"step-0": 0.84, "step-1": 0.84, ZERO_SHOT: 0.815},
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("asks_words", [True, False])
@pytest.mark.parametrize("means", [FAR_NEARER, NEARER_BAR])
def test_the_other_base_is_foreseen_where_it_is_not_the_bar_but_does_more(
    seed: int, asks_words: bool, means: dict[str, dict[str, float]]
) -> None:
    """Step 0 is behind the base that is not the bar: the prompted one, which costs words and is far nearer, or the bare one."""
    asked, names = replace(GUARDS, words=0.05 if asks_words else None), ["step-0", "step-1", ZERO_SHOT]
    found = table(24, means["words"], means["likeness"], seed=70 + seed, names=names)
    chosen = baseline.choose([BASE, ZERO_SHOT], found, guards.margins(asked), {}).name
    best = chosen_by_selection(found, guards.bar(found, chosen, asked, {}), names[:2])
    for name in (BASE, ZERO_SHOT):
        known = chances.to_ship(names[:2], guards.bar(found, name, asked, {}), 24)
        assert [one for one, chance in known.items() if chance.wins] == [one for one in [best] if one]


def test_what_is_turned_to_another_base_and_back_is_what_it_was() -> None:
    final = foresight.drawn(CANDIDATES, table(8, seed=4), "base", (WORDS,), 24)[WORDS]
    back = final.turned(2).turned(2)
    assert np.allclose(back.sums_RC, final.sums_RC) and np.allclose(back.products_RCC, final.products_RCC)


def test_a_race_tells_how_many_are_out() -> None:
    told: list[tuple[int, int]] = []

    def foresee(names: Sequence[str], bar: guards.Bar, num_lines: int, num_out: int) -> dict[str, Chance]:
        told.append((len(names), num_out))
        return {
            names[0]: Chance(0.0, "guard", "", None),
            **{one: Chance(0.2, "guard", "", None) for one in names[1:]},
        }

    lines = [f"line-{line:02d}" for line in range(24)]
    racing.run(Rehearsed(table(24)), "x", [BASE], CANDIDATES, lines, 1, HOW, foresee)
    assert told == [(6, 0), (5, 1)]


def test_who_is_behind_the_other_base_drops_out_for_that() -> None:
    names = ["step-0", ZERO_SHOT]
    found = table(40, {ZERO_SHOT: 0.76}, {"step-0": 0.83, ZERO_SHOT: 1.2}, seed=1, names=names)
    bar = guards.bar(found, BASE, GUARDS, {})
    (drop,) = racing.drops(["step-0"], chances.to_ship(["step-0"], bar, 80), LEVEL, {})
    assert drop.code == "guard" and drop.because == "would be shown to be worse than the other base"
    assert drop.test is not None and drop.test.measure == "utility" and drop.test.difference < 0.0
    assert drop.test is not None and drop.test.against == ZERO_SHOT


def test_without_words_of_the_prompted_base_the_bar_stays_as_it_is() -> None:
    """`baseline` takes the lower loss then, which the race does not know: it holds to the bar that it is given."""
    found = table(
        16,
        likeness={"step-0": 0.7, "step-1": 0.68, BASE: 0.6, ZERO_SHOT: 0.9},
        names=["step-0", "step-1", ZERO_SHOT],
    )
    values = {m: dict(by) for m, by in found.values.items() if m != WORDS}
    values[LIKENESS][BASE] = {line: value - 0.2 for line, value in values[LIKENESS][BASE].items()}
    bar = guards.bar(Scores(values), BASE, replace(GUARDS, words=None), {})
    known = chances.to_ship(["step-0", "step-1"], bar, 24)
    assert sum(one.wins for one in known.values()) > 0.9


def test_words_break_ties_where_they_are_heard_but_not_guarded() -> None:
    found = table(
        40,
        {"step-0": 0.75, "step-1": 0.95},
        {"step-0": 0.86, "step-1": 0.863},
        seed=2,
        names=["step-0", "step-1"],
    )
    bar = guards.bar(found, BASE, replace(GUARDS, words=None), {})
    best = chosen_by_selection(found, bar, ["step-0", "step-1"])
    known = chances.to_ship(["step-0", "step-1"], bar, 40)
    assert best is not None and known[best].wins == 1.0


def clear_winner() -> tuple[Scores, dict[str, dict[str, dict[str, float]]]]:
    """Step 0 is nearer than step 1, both keep their words; and a copy that may be changed."""
    names = ["step-0", "step-1"]
    found = table(32, dict.fromkeys(names, 0.95), {"step-0": 0.95, "step-1": 0.85}, names=names)
    return found, {m: {n: dict(lines) for n, lines in by.items()} for m, by in found.values.items()}


def test_who_a_guard_judged_on_too_few_lines_stops_nobody() -> None:
    found, values = clear_winner()
    values[WORDS]["step-0"] = dict(list(values[WORDS]["step-0"].items())[::2])
    assert "step-1" not in dropped(Scores(values), ["step-0", "step-1"], 64)
    assert "step-1" in dropped(found, ["step-0", "step-1"], 64)


def test_two_that_no_line_was_judged_for_are_compared_by_nothing() -> None:
    _, values = clear_winner()
    values[LIKENESS]["step-0"] = {f"line-{n:02d}": 0.95 for n in range(16)}
    values[LIKENESS]["step-1"] = {f"line-{n:02d}": 0.85 for n in range(16, 32)}
    bar = against(Scores(values))
    out = racing.drops(["step-0", "step-1"], chances.to_ship(["step-0", "step-1"], bar, 64), LEVEL, {})
    assert [(one.candidate, one.code, one.test) for one in out] == [("step-1", "dominated", None)]
    said = wording.dropped(out[0], str)
    assert said.startswith(
        "another one is nearer to the speaker, or as near with a lower loss ("
    ) and said.endswith(" % chance to win)")


def test_who_is_out_still_counts_among_those_that_a_gain_is_corrected_for() -> None:
    """A gain whose p value is between 0.05 / 4 and 0.05 is shown for one candidate, and not for one of four."""
    found = constant_gain(0.0095)
    bar = against(found)
    assert chances.to_ship(["step-0"], bar, 16)["step-0"].wins == 1.0
    assert chances.to_ship(["step-0"], bar, 16, 3)["step-0"].wins == 0.0


def constant_gain(size: float, num_lines: int = 16) -> Scores:
    """One candidate nearer by the same on every line: p = T(size / (0.02 / sqrt(n)))."""
    lines = [f"line-{line:02d}" for line in range(num_lines)]
    like = {"base": dict.fromkeys(lines, 0.8), "step-0": dict.fromkeys(lines, 0.8 + size)}
    perfect = {name: dict.fromkeys(lines, 1.0) for name in like}
    return Scores({WORDS: perfect, ENDINGS: perfect, LIKENESS: like})


def test_who_was_not_judged_stays_and_stops_nobody() -> None:
    found = table(8, words={"step-5": 0.3})
    values = {m: {n: by for n, by in names.items()} for m, names in found.values.items()}
    values[LIKENESS].pop("step-5")
    assert "step-5" not in dropped(Scores(values))
    values[LIKENESS].clear()
    assert dropped(Scores(values)) == {}, "nothing was heard of anybody"


def test_the_reason_names_the_measure_the_base_the_lines_and_the_chance() -> None:
    bar = against(table(8, words={"step-5": 0.05}))
    (drop,) = racing.drops(["step-5"], chances.to_ship(["step-5"], bar, 24), LEVEL, {})
    assert drop.test is not None and drop.test.measure == WORDS
    said = f"{drop.test.difference:+.3f}".replace("-", "\u2212")
    assert wording.dropped(drop, lambda name: f"the {name}") == (
        f"would hardly be shown to keep its words (words {said} against the base over 8 lines; "
        "under 0.05 % chance to win)"
    )


def test_a_veto_ends_it_at_once() -> None:
    (drop,) = racing.drops(CANDIDATES, {}, LEVEL, {"step-2": "silent: line-00"})
    assert (drop.candidate, drop.code, wording.dropped(drop, str)) == ("step-2", "veto", "silent: line-00")


def test_who_is_vetoed_is_no_rival() -> None:
    """Alone in front it would end the race for the other one."""
    found = table(32, likeness={"step-0": 0.95, "step-1": 0.85}, words={"step-0": 0.95, "step-1": 0.95})
    names = ["step-0", "step-1"]

    class Vetoed(Rehearsed):
        def speak(self, names: Sequence[str], lines: Sequence[str]) -> racing.BlockResult:
            return replace(super().speak(names, lines), failed={"step-0": "silent: line-00"})

    lines = [f"line-{line:02d}" for line in range(32)]
    assert "step-1" in dropped(found, names, 64)
    rounds, _ = racing.run(Vetoed(found), "x", ["base"], names, lines, 1, HOW)
    assert [(drop.candidate, drop.code) for part in rounds for drop in part.drops] == [("step-0", "veto")]


def test_the_order_in_which_lines_were_heard_does_not_matter() -> None:
    found = table(8, words={"step-5": 0.3}, likeness={"step-0": 0.5})
    turned = Scores(
        {
            m: {n: dict(reversed(list(lines.items()))) for n, lines in reversed(list(by.items()))}
            for m, by in found.values.items()
        }
    )
    assert dropped(found) == dropped(turned) != {}


def shipped(found: Scores) -> str | None:
    """Who ships if everybody speaks all lines; the earlier candidate has the lower loss."""
    judged = {one.candidate: one for one in guards.judge(["base", *CANDIDATES], against(found), {}, {})}
    eligible = [name for name in CANDIDATES if judged[name].standing != guards.FAILS]
    passes = any(judged[name].standing == guards.PASSES for name in eligible)
    return selection.nominee(eligible, judged, found) if passes else None


RACES = [(ahead, loss) for ahead in (0.0, 0.01, 0.02) for loss in (0.0, 0.025, 0.05)]
ENDS = [(0.0, 0.0), (0.02, 0.05)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "ahead, loss", [pytest.param(*one, marks=[] if one in ENDS else pytest.mark.campaign) for one in RACES]
)
def test_the_candidate_that_would_have_shipped_drops_out_in_at_most_one_race_of_twenty(
    ahead: float, loss: float
) -> None:
    """200 simulated races over three blocks: `step-0` is a little nearer to the speaker, or not, and loses up to what the guard allows."""
    wrong, num = 0, 0
    for seed in range(200):
        nearer = {name: 0.83 + (ahead if name == "step-0" else 0.0) for name in CANDIDATES}
        found = table(24, words={"step-0": 0.85 - loss}, likeness=nearer, seed=1000 + seed)
        best = shipped(found)
        rounds, _, _ = race(found, HOW)
        num += best is not None
        wrong += best is not None and best in {drop.candidate for part in rounds for drop in part.drops}
    assert num > 80 and wrong <= num / 20, f"{wrong} of {num}"


def test_the_candidates_that_drop_out_have_together_no_more_than_the_error_rate() -> None:
    known = {name: Chance(0.004, "guard", "", None) for name in CANDIDATES}
    known["step-0"] = replace(known["step-0"], wins=0.98)
    out = racing.drops(CANDIDATES, known, 0.0125, {})
    assert [one.candidate for one in out] == ["step-1", "step-2", "step-3"], "0.012 of 0.0125"
    assert racing.drops(CANDIDATES, known, 0.003, {}) == []


def test_the_blocks_but_the_last_share_half_of_the_error_rate_by_the_lines_that_are_known() -> None:
    assert [racing.level(0.06, [8, 8, 8], number) for number in range(3)] == pytest.approx([0.01, 0.02, 0.0])
    assert racing.level(0.06, [8, 8], 0) == 0.03 and racing.level(0.06, [24], 0) == 0.0


@pytest.mark.slow
def test_a_chance_is_as_often_true_as_it_says() -> None:
    """Of what was foreseen of 16 lines after 8, in 150 races of six candidates: how often did they ship?"""
    said: list[tuple[float, bool]] = []
    for seed in range(150):
        likeness = {name: 0.83 + 0.01 * place for place, name in enumerate(CANDIDATES)}
        words = {name: 0.87 - 0.01 * place for place, name in enumerate(CANDIDATES)}
        found = table(16, words, likeness, seed=7000 + seed)
        first = {f"line-{line:02d}" for line in range(8)}
        early = Scores(
            {
                m: {n: {line: v for line, v in by.items() if line in first} for n, by in names.items()}
                for m, names in found.values.items()
            }
        )
        best = shipped(found)
        known = chances.to_ship(CANDIDATES, against(early), 16)
        said += [(one.wins, name == best) for name, one in known.items()]
    for low, high in ((0.0, 0.02), (0.02, 0.1), (0.1, 0.3), (0.3, 1.01)):
        inside = [(p, true) for p, true in said if low <= p < high]
        foretold, true = np.mean([p for p, _ in inside]), np.mean([true for _, true in inside])
        assert len(inside) > 20 and abs(foretold - true) < 0.08, (
            f"{low} to {high}: {foretold:.3f}, {true:.3f}"
        )


def test_sums_and_squares_of_a_draw_are_of_the_same_lines() -> None:
    """Else a deviation would be none (Cauchy and Schwarz): of every candidate, and of the difference of two."""
    final = foresight.drawn(CANDIDATES, table(8, seed=3), "base", (WORDS, LIKENESS, ENDINGS), 24)
    for one in (final[WORDS], final[LIKENESS], final[ENDINGS], final[WORDS].turned(2)):
        assert np.all(one.squares_RC() * 24 - one.sums_RC**2 > -1e-6)
        assert np.std(one.mean_RC()[:, 0]) > 0.0


def test_foreseen_results_are_those_of_the_selection_when_nothing_is_left_to_speak() -> None:
    """With all lines spoken every draw is what was spoken: interval, p and ties are those of `scores` and `selection`."""
    names = CANDIDATES[:3]
    found = table(24, likeness={"step-1": 0.9, "step-2": 0.9}, seed=11, names=names)
    final = foresight.drawn(names, found, "base", (WORDS, ENDINGS, LIKENESS), 24)
    for measure in (WORDS, ENDINGS, LIKENESS):
        tests = [scores.test(found, measure, name, "base") for name in names]
        lows = [one.interval.low for one in tests if one]
        assert np.allclose(final[measure].lows_RC()[0], lows, atol=1e-6)
        p = [one.p_better for one in tests if one]
        assert np.allclose(final[measure].p_better_RC()[0], p, atol=1e-6)
    for place, name in enumerate(names):
        nearest = np.full(foresight.DRAWS, place)
        apart = final[LIKENESS].told_apart_RC(nearest)[0] | final[WORDS].told_apart_RC(nearest)[0]
        others = [other for other in names if other != name]
        assert [selection.is_tied(found, other, name) for other in others] == [
            not apart[names.index(other)] for other in others
        ]
    alike, rises = (
        dict.fromkeys(CANDIDATES, 0.82),
        {name: 0.85 + 0.01 * at for at, name in enumerate(CANDIDATES)},
    )
    differ = {name: 0.95 - 0.08 * (at % 2) for at, name in enumerate(CANDIDATES)}
    for seed in range(40):
        found = table(24, differ, (alike, rises)[seed % 2], seed=900 + seed)
        known = chances.to_ship(CANDIDATES, against(found), 24)
        assert [name for name, one in known.items() if one.wins] == [
            name for name in [shipped(found)] if name
        ]


def test_of_equal_candidates_none_is_called_nearer_in_more_than_one_of_twenty() -> None:
    called = 0
    for seed in range(200):
        found = table(24, seed=2000 + seed)
        rows = guards.judge(["base", *CANDIDATES], against(found), {}, {})
        called += any(one.standing == guards.PASSES for one in rows)
    assert called <= 10, f"{called} of 200"


def test_a_candidate_that_loses_twice_the_margin_hardly_ever_passes_the_guard() -> None:
    passed = 0
    for seed in range(200):
        found = table(
            24, words={"step-0": 0.75}, likeness={"step-0": 0.95}, seed=3000 + seed, names=["step-0"]
        )
        (row,) = guards.judge(["step-0"], against(found), {}, {})
        passed += row.standing == guards.PASSES
    assert passed <= 10, f"{passed} of 200"


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(400):
        found = table(24, words={"step-0": 0.75}, seed=4000 + seed, names=["step-0"])
        test = scores.test(found, WORDS, "step-0", "base")
        assert test is not None
        held += test.interval.low <= -0.1 <= test.interval.high
    assert 0.88 <= held / 400 <= 0.99


def test_probabilities_that_one_is_better_are_calibrated() -> None:
    """Where the truth is drawn at random, of the statements of p about so many are true."""
    said: list[tuple[float, bool]] = []
    generator = np.random.default_rng(5)
    for seed in range(600):
        truth = float(generator.normal(0.0, 0.04))
        found = table(24, words={"step-0": 0.85 + truth}, seed=6000 + seed, names=["step-0"])
        test = scores.test(found, WORDS, "step-0", "base")
        assert test is not None
        said.append((test.probability, truth > 0.0))
    for low in np.arange(0.0, 1.0, 0.25):
        inside = [(p, true) for p, true in said if low <= p < low + 0.25]
        assert abs(np.mean([p for p, _ in inside]) - np.mean([true for _, true in inside])) < 0.12


def test_blocks_keep_the_order_and_leave_no_crumb() -> None:
    lines = [f"l{n}" for n in range(19)]
    assert [len(block) for block in racing.blocks(lines, 8)] == [8, 11]
    assert [len(block) for block in racing.blocks([*lines, "l19"], 8)] == [8, 8, 4], "half a block is one"
    assert [line for block in racing.blocks(lines, 8) for line in block] == lines
    assert racing.blocks(lines, 40) == [lines]


def test_a_budget_that_does_not_hold_the_first_block_is_refused_with_its_number() -> None:
    with pytest.raises(
        SelectionError, match=r"race.max_samples = 20, but the first block alone takes 64 samples"
    ):
        racing.require_first("mini", 64, 20)
    racing.require_first("mini", 64, 64)
    lines, two = ["line-00", "line-01"], replace(HOW, block_lines=2, max_samples=7)
    with pytest.raises(SelectionError, match="takes 8 samples"):
        racing.run(Rehearsed(table(2)), "mini", ["base"], ["step-0"], lines, 2, two)


class Rehearsed:
    """Speaks from a table: two seconds a sample."""

    def __init__(self, found: Scores) -> None:
        self.found, self.spoken = found, set[tuple[str, str]]()

    def speak(self, names: Sequence[str], lines: Sequence[str]) -> racing.BlockResult:
        self.spoken |= {(name, line) for name in names for line in lines}
        known = {
            measure: {
                name: {line: value for line, value in by.items() if (name, line) in self.spoken}
                for name, by in names_.items()
            }
            for measure, names_ in self.found.values.items()
        }
        return racing.BlockResult(against(Scores(known)), {}, len(self.spoken), 2.0 * len(self.spoken))


def race(found: Scores, how: RaceSettings, names: Sequence[str] = CANDIDATES) -> tuple[list[Round], str, int]:
    track, lines = Rehearsed(found), [f"line-{line:02d}" for line in range(24)]
    rounds, ended = racing.run(track, "mini", ["base"], names, lines, 1, how)
    return rounds, ended, len(track.spoken)


HOW = RaceSettings(block_lines=8, error_rate=0.05, max_samples=None, max_audio_s=None, workers=1)


def test_the_rest_speak_the_next_block_and_the_base_speaks_every_line() -> None:
    rounds, ended, num = race(table(24, words={"step-5": 0.2, "step-4": 0.2}), HOW)
    assert ended == "all_lines" and [len(part.lines) for part in rounds] == [8, 8, 8]
    assert {drop.candidate for drop in rounds[0].drops} >= {"step-4", "step-5"}
    assert rounds[1].candidates[0] == "base" and not {"step-4", "step-5"} & set(rounds[1].candidates)
    assert num < 7 * 24 and rounds[-1].drops == [], "after the last block nothing is saved"


def test_when_nobody_is_left_the_race_ends() -> None:
    rounds, ended, num = race(table(24, words=dict.fromkeys(CANDIDATES, 0.1)), HOW)
    assert (ended, len(rounds), num) == ("nobody_left", 1, 7 * 8)


def race_of_bases(found: Scores, budget: int | None = None) -> tuple[list[Round], str]:
    """All candidates lose their words in the first block; two bases are left."""
    lines = [f"line-{line:02d}" for line in range(24)]
    how = replace(HOW, max_samples=budget)
    return racing.run(Rehearsed(found), "mini", [BASE, ZERO_SHOT], CANDIDATES, lines, 1, how)


def both_bases(likeness: float, words: float) -> Scores:
    """A table in which only the zero-shot base has something to show, and all candidates have lost their words."""
    lost = dict.fromkeys(CANDIDATES, 0.1)
    return table(24, {**lost, ZERO_SHOT: words}, {ZERO_SHOT: likeness}, names=[*CANDIDATES, ZERO_SHOT])


def test_where_nobody_is_left_two_bases_that_are_alike_speak_on() -> None:
    rounds, ended = race_of_bases(both_bases(0.8, 0.85))
    assert ended == "nobody_left" and [len(part.lines) for part in rounds] == [8, 8, 8]
    assert [part.candidates for part in rounds[1:]] == [[BASE, ZERO_SHOT]] * 2
    assert [part.drops for part in rounds[1:]] == [[], []]


@pytest.mark.parametrize("likeness", [0.2, 0.999])
def test_where_nobody_is_left_bases_stop_when_one_is_shown_to_be_the_better(likeness: float) -> None:
    rounds, ended = race_of_bases(both_bases(likeness, 0.85))
    assert ended == "nobody_left" and len(rounds) < 3


def test_bases_that_speak_on_alone_keep_to_the_budget() -> None:
    rounds, ended = race_of_bases(both_bases(0.8, 0.85), 8 * 8 + 2 * 8)
    assert ended == "nobody_left" and [len(part.candidates) for part in rounds] == [8, 2]


def test_one_block_of_all_lines_drops_nobody() -> None:
    rounds, ended, num = race(table(24, words={"step-5": 0.2}), replace(HOW, block_lines=24))
    assert (ended, len(rounds), num, rounds[0].drops) == ("all_lines", 1, 7 * 24, [])


@pytest.mark.parametrize(
    ("budget", "num_rounds"),
    [
        ({"max_samples": 7 * 16}, 2),
        ({"max_samples": 7 * 16 - 1}, 1),
        ({"max_audio_s": 2.0 * 7 * 24}, 3),
        ({"max_audio_s": 2.0 * 7 * 24 - 1}, 2),
    ],
)
def test_a_budget_ends_the_race_before_the_block_that_it_does_not_hold(
    budget: dict[str, float], num_rounds: int
) -> None:
    near = table(24, likeness=dict.fromkeys(CANDIDATES, 0.9), words=dict.fromkeys(CANDIDATES, 0.95), seed=13)
    rounds, ended, _ = race(near, replace(HOW, **budget))  # type: ignore[arg-type]
    assert len(rounds) == num_rounds and ended == ("all_lines" if num_rounds == 3 else "budget")
