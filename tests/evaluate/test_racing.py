"""Who drops out of a race, and how rarely that is a mistake."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from voicelathe.config.schema import Guards, RaceSettings
from voicelathe.errors import SelectionError
from voicelathe.evaluate import guards, racing, scores, selection
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS, Scores
from voicelathe.records import Round

GUARDS = Guards(words=0.05, endings=0.2, quality=None)
LEVEL = racing.level(0.05, 3)
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


def dropped(found: Scores, names: list[str] = CANDIDATES) -> dict[str, str]:
    return {one.candidate: one.code for one in racing.drops(names, against(found), LEVEL, {})}


def test_who_lost_its_words_drops_out_after_the_first_block() -> None:
    assert dropped(table(8, words={"step-5": 0.3, "step-4": 0.4})) == {
        "step-4": "worse_than_base",
        "step-5": "worse_than_base",
    }


def test_who_is_less_like_the_speaker_and_keeps_no_more_words_drops_out() -> None:
    found = table(8, likeness={"step-0": 0.6, "step-1": 0.95}, words={"step-0": 0.8, "step-1": 0.9})
    assert dropped(found).get("step-0") == "dominated" and "step-1" not in dropped(found)


def test_who_keeps_more_words_than_the_leader_stays_however_unlike() -> None:
    likeness = dict.fromkeys(CANDIDATES, 0.9) | {"step-0": 0.6}
    words = dict.fromkeys(CANDIDATES, 0.8) | {"step-0": 0.95}
    assert "step-0" not in dropped(table(8, words, likeness))


def test_a_leader_that_lost_its_words_drops_nobody() -> None:
    likeness = dict.fromkeys(CANDIDATES, 0.7) | {"step-5": 0.95}
    found = table(8, {"step-5": 0.2}, likeness)
    assert dropped(found) == {"step-5": "worse_than_base"}


def test_who_so_far_loses_more_than_the_margin_does_not_lead() -> None:
    """Steps 0 and 1 keep 0.06 fewer words, which is not shown yet; the leader is step 2, which step 1 is nearly as alike as."""
    words = {"step-0": -0.06, "step-1": -0.06, "step-2": 0.0}
    like = {"step-0": 0.35, "step-1": 0.0, "step-2": 0.01}
    assert dropped(constant({WORDS: words, LIKENESS: like}), sorted(words)) == {}


def test_the_reason_names_the_measure_the_base_the_lines_and_the_chance() -> None:
    ruined = table(8, words={"step-5": 0.05})
    (drop,) = racing.drops(CANDIDATES, against(ruined), LEVEL, {})
    assert drop.text.startswith("fewer words kept than base on 8 lines: \u22120.") and ", p " in drop.text
    certain = Scores(
        {WORDS: {"base": {f"{n}": 1.0 for n in range(20)}, "x-0": {f"{n}": 0.0 for n in range(20)}}}
    )
    (drop,) = racing.drops(["x-0"], against(certain), LEVEL, {})
    assert drop.text == "fewer words kept than base on 20 lines: \u22121.000, p < 0.0001"


def test_a_veto_ends_it_at_once() -> None:
    (drop,) = racing.drops(CANDIDATES, against(table(8)), LEVEL, {"step-2": "silent: line-00"})
    assert (drop.candidate, drop.code, drop.text) == ("step-2", "veto", "silent: line-00")


def test_who_is_vetoed_leads_nobody_and_is_no_rival() -> None:
    like = {"step-0": 0.3, "step-1": 0.1, "step-2": 0.0788}  # of step-1 and step-2 p = 0.01 on 8 lines
    found, vetoed = constant({LIKENESS: like}), {"step-0": "silent: line-00"}
    out = racing.drops(sorted(like), against(found), LEVEL, vetoed)
    assert [(drop.candidate, drop.code) for drop in out] == [("step-0", "veto"), ("step-2", "dominated")]


def test_the_order_of_candidates_and_lines_does_not_matter() -> None:
    found = table(8, words={"step-5": 0.3}, likeness={"step-0": 0.5})
    turned = Scores(
        {
            m: {n: dict(reversed(lines.items())) for n, lines in reversed(by.items())}
            for m, by in found.values.items()
        }
    )
    assert dropped(found) == dropped(turned, CANDIDATES[::-1])


def shipped(found: Scores) -> str | None:
    """Who ships if everybody speaks all lines; the earlier candidate has the lower loss."""
    judged = {one.candidate: one for one in guards.judge(["base", *CANDIDATES], against(found), {}, {})}
    eligible = [name for name in CANDIDATES if judged[name].standing != guards.FAILS]
    passes = any(judged[name].standing == guards.PASSES for name in eligible)
    return selection.nominee(eligible, judged, found) if passes else None


@pytest.mark.parametrize("loss", [0.0, 0.025, 0.05])
@pytest.mark.parametrize("ahead", [0.0, 0.01, 0.02])
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


def constant(differences: Mapping[str, Mapping[str, float]], num_lines: int = 8) -> Scores:
    """Every candidate differs from the base by the same on every line, so that its p value is known: T(difference / (floor / sqrt(n)))."""
    return Scores(
        {
            measure: {
                name: {f"line-{line:02d}": 0.6 + ahead for line in range(num_lines)}
                for name, ahead in {"base": 0.0, **by}.items()
            }
            for measure, by in differences.items()
        }
    )


LOSES = {"step-0": -0.0757}  # of words kept: p = 0.035 on 8 lines, and more than the margin


def test_a_block_of_three_gets_half_of_the_error_rate() -> None:
    assert race(constant({WORDS: LOSES}, 24), HOW, ["step-0"])[0][0].drops == []
    lines = [f"line-{line:02d}" for line in range(16)]
    two, _ = racing.run(Rehearsed(constant({WORDS: LOSES}, 16)), "x", ["base"], ["step-0"], lines, 1, HOW)
    assert [drop.code for drop in two[0].drops] == ["worse_than_base"], "of two blocks the first has it all"


def test_p_values_of_a_candidate_are_corrected_for_each_other() -> None:
    worse = constant({WORDS: {"step-0": -0.09}})  # p = 0.019
    assert dropped(worse, ["step-0"]) == {"step-0": "worse_than_base"}
    both = constant({WORDS: {"step-0": -0.09}, ENDINGS: {"step-0": 0.0}})
    assert dropped(both, ["step-0"]) == {}, "one of two measures: 0.038"


def test_the_p_value_against_the_leader_is_corrected_for_the_number_of_rivals() -> None:
    like = {"step-0": 0.1, "step-1": 0.0788}  # p = 0.01 on 8 lines
    assert dropped(constant({LIKENESS: like}), ["step-0", "step-1"]) == {"step-1": "dominated"}
    crowd = {**like, **dict.fromkeys(("step-2", "step-3", "step-4"), 0.0999)}
    assert dropped(constant({LIKENESS: crowd}), sorted(crowd)) == {}, "four rivals: 0.04"


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
    assert {drop.candidate for drop in rounds[0].drops} == {"step-4", "step-5"}
    assert rounds[1].candidates[0] == "base" and not {"step-4", "step-5"} & set(rounds[1].candidates)
    assert num < 7 * 24 and rounds[-1].drops == [], "after the last block nothing is saved"


def test_when_nobody_is_left_the_race_ends() -> None:
    rounds, ended, num = race(table(24, words=dict.fromkeys(CANDIDATES, 0.1)), HOW)
    assert (ended, len(rounds), num) == ("nobody_left", 1, 7 * 8)


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
    rounds, ended, _ = race(table(24, seed=7), replace(HOW, **budget))  # type: ignore[arg-type]
    assert len(rounds) == num_rounds and ended == ("all_lines" if num_rounds == 3 else "budget")


def test_the_order_in_which_candidates_are_named_changes_no_drop() -> None:
    found = table(24, words={"step-5": 0.2}, likeness={"step-0": 0.5})
    one, other = race(found, HOW), race(found, HOW, CANDIDATES[::-1])
    assert [{d.candidate for d in part.drops} for part in one[0]] == [
        {d.candidate for d in part.drops} for part in other[0]
    ]
