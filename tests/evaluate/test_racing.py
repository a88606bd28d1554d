"""Who drops out of a race, and how rarely that is a mistake."""

from collections.abc import Mapping

import numpy as np
import pytest

from voicelathe.errors import SelectionError
from voicelathe.evaluate import guards, racing, scores
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS, Scores
from voicelathe.settings import Guards

MARGINS = guards.margins(Guards(words=0.05, endings=0.1, quality=None))
RULES = racing.Rules(racing.level(0.05, 3), MARGINS)
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


def dropped(found: Scores, names: list[str] = CANDIDATES) -> dict[str, str]:
    return {one.candidate: one.code for one in racing.drops(names, "base", found, RULES, {}, {})}


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


def test_the_reason_names_the_measure_the_base_the_lines_and_the_chance() -> None:
    ruined = table(8, words={"step-5": 0.05})
    (drop,) = racing.drops(CANDIDATES, "base", ruined, RULES, {}, {})
    assert drop.text.startswith("fewer words kept than base on 8 lines: \u22120.") and ", p " in drop.text
    certain = Scores(
        {WORDS: {"base": {f"{n}": 1.0 for n in range(20)}, "x-0": {f"{n}": 0.0 for n in range(20)}}}
    )
    (drop,) = racing.drops(["x-0"], "base", certain, RULES, {}, {})
    assert drop.text == "fewer words kept than base on 20 lines: \u22121.000, p < 0.0001"


def test_a_veto_ends_it_at_once() -> None:
    (drop,) = racing.drops(CANDIDATES, "base", table(8), RULES, {}, {"step-2": "silent: line-00"})
    assert (drop.candidate, drop.code, drop.text) == ("step-2", "veto", "silent: line-00")


def test_the_order_of_candidates_and_lines_does_not_matter() -> None:
    found = table(8, words={"step-5": 0.3}, likeness={"step-0": 0.5})
    turned = Scores(
        {
            m: {n: dict(reversed(lines.items())) for n, lines in reversed(by.items())}
            for m, by in found.values.items()
        }
    )
    assert dropped(found) == dropped(turned, CANDIDATES[::-1])


def test_equal_candidates_drop_out_wrongly_in_at_most_one_race_of_twenty() -> None:
    """200 simulated races of equal candidates over three blocks: nothing may be invented."""
    wrong = 0
    for seed in range(200):
        whole, gone = table(24, seed=1000 + seed), False
        for lines in (8, 16):
            part = Scores(
                {
                    measure: {name: dict(list(by.items())[:lines]) for name, by in names.items()}
                    for measure, names in whole.values.items()
                }
            )
            gone = gone or bool(dropped(part))
        wrong += gone
    assert wrong <= 10, f"{wrong} of 200"


def test_of_equal_candidates_none_is_called_nearer_in_more_than_one_of_twenty() -> None:
    called = 0
    for seed in range(200):
        found = table(24, seed=2000 + seed)
        rows = guards.judge(["base", *CANDIDATES], "base", found, MARGINS, {}, {}, {})
        called += any(one.standing == guards.PASSES for one in rows)
    assert called <= 10, f"{called} of 200"


def test_a_candidate_that_loses_twice_the_margin_hardly_ever_passes_the_guard() -> None:
    passed = 0
    for seed in range(200):
        found = table(
            24, words={"step-0": 0.75}, likeness={"step-0": 0.95}, seed=3000 + seed, names=["step-0"]
        )
        (row,) = guards.judge(["step-0"], "base", found, MARGINS, {}, {}, {})
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
    assert [line for block in racing.blocks(lines, 8) for line in block] == lines
    assert racing.blocks(lines, 40) == [lines]


def test_a_budget_that_does_not_hold_the_first_block_is_refused_with_its_number() -> None:
    with pytest.raises(
        SelectionError, match=r"race.max_samples = 20, but the first block alone takes 64 samples"
    ):
        racing.require_first("mini", 64, 20)
    racing.require_first("mini", 64, 64)


def test_a_budget_ends_the_race_before_the_block_that_it_does_not_hold() -> None:
    assert racing.affordable(4, 8, 1, 64, 128.0, 96, None)
    assert not racing.affordable(4, 8, 1, 64, 128.0, 95, None)
    assert racing.affordable(4, 8, 1, 64, 128.0, None, 192.0)
    assert not racing.affordable(4, 8, 1, 64, 128.0, None, 191.0), "two seconds a sample so far"
