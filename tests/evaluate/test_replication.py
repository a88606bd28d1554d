"""Was it luck? Variances and intervals hold what they promise on simulated trainings whose truth is known."""

import numpy as np
import pytest

from voicelathe.evaluate.compare import replication
from voicelathe.evaluate.compare.replication import BETTER, LUCK, WORSE
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores

LINES, REST = 24, 0.04
TIMES = 400


def simulated(
    generator: np.random.Generator,
    trainings: int,
    gain: float,
    between: float,
    line: float,
    lines: int = LINES,
) -> replication.Gains:
    """Gains of trainings on lines: mean, training, line and rest, each with its known deviation."""
    made = gain + between * generator.normal(size=(trainings, 1)) + line * generator.normal(size=(1, lines))
    return made + REST * generator.normal(size=(trainings, lines))


def spreads(
    trainings: int, gain: float, between: float, line: float = 0.04, lines: int = LINES
) -> list[replication.Spread]:
    generator = np.random.default_rng(20260511)
    made = [
        replication.of(LIKENESS, simulated(generator, trainings, gain, between, line, lines))
        for _ in range(TIMES)
    ]
    return [one for one in made if one is not None]


@pytest.mark.parametrize("trainings", [2, 3, 5])
@pytest.mark.parametrize("between", [0.0, 0.01, 0.04])
@pytest.mark.parametrize("line", [0.0, 0.04])
def test_the_interval_holds_the_true_gain_as_often_as_it_says(
    trainings: int, between: float, line: float
) -> None:
    found = spreads(trainings, 0.03, between, line)
    held = sum(one.interval.low <= 0.03 <= one.interval.high for one in found) / TIMES
    assert 0.85 <= held <= 0.97


@pytest.mark.parametrize(("between", "line"), [(0.0, 0.0), (0.02, 0.0), (0.02, 0.08), (0.05, 0.04)])
def test_variances_come_out_as_they_were_put_in(between: float, line: float) -> None:
    """However much the lines differ: lines are shared, so they do not spread the trainings."""
    found = spreads(5, 0.03, between, line)
    variance = np.mean([one.spread**2 for one in found])
    assert variance == pytest.approx(between**2 + REST**2 / LINES, rel=0.15)
    assert np.mean([one.within**2 for one in found]) == pytest.approx(REST**2, rel=0.05)
    assert np.mean([one.between**2 for one in found]) == pytest.approx(between**2, rel=0.15, abs=4e-5)


@pytest.mark.parametrize("between", [0.0, 0.01, 0.04])
def test_a_gain_that_is_not_there_is_rarely_announced(between: float) -> None:
    told = [one.verdict for one in spreads(3, 0.0, between)]
    assert told.count(BETTER) <= 0.07 * TIMES and told.count(WORSE) <= 0.07 * TIMES


def test_a_real_gain_of_equal_trainings_is_rarely_called_luck_and_one_of_unequal_trainings_often_is() -> None:
    equal = [one.verdict for one in spreads(3, 0.05, 0.0)]
    unequal = [one.verdict for one in spreads(3, 0.05, 0.05)]
    assert equal.count(LUCK) <= 0.05 * TIMES
    assert unequal.count(LUCK) >= 0.5 * TIMES


def test_two_recipes_are_told_apart_by_trainings_and_not_by_lines() -> None:
    """Lines are many and exact here; only the trainings spread. A test over lines alone would always find a difference."""
    generator = np.random.default_rng(7)
    told = []
    for _ in range(TIMES):
        mine, theirs = (simulated(generator, number, 0.03, 0.03, 0.0, 48) for number in (3, 1))
        found = replication.between(LIKENESS, mine, theirs)
        assert found is not None
        told.append(found.verdict)
    assert 0.85 * TIMES <= told.count(LUCK) <= 0.97 * TIMES
    far = replication.between(
        LIKENESS, simulated(generator, 3, 0.3, 0.01, 0.0), simulated(generator, 3, 0.0, 0.01, 0.0)
    )
    assert far is not None and far.verdict == BETTER and len(far.trainings) == 6


def test_one_training_or_one_line_says_nothing() -> None:
    assert replication.of(LIKENESS, np.ones((1, 24))) is None
    assert replication.of(LIKENESS, np.ones((3, 1))) is None
    assert replication.between(LIKENESS, np.ones((1, 24)), np.zeros((1, 24))) is None


def test_trainings_that_happen_to_agree_do_not_prove_a_small_gain() -> None:
    same = replication.of(LIKENESS, np.full((3, 8), 0.005))
    assert same is not None and same.verdict == LUCK and same.spreads is None
    large = replication.of(LIKENESS, np.full((3, 8), 0.1))
    assert large is not None and large.verdict == BETTER
    assert "all trainings agree" in replication.sentence(large)


def test_sentences_name_the_spreads_and_the_dice_and_what_would_help() -> None:
    rows = np.array([[0.10, 0.12], [0.11, 0.13], [0.09, 0.11]])
    good = replication.of(LIKENESS, np.tile(rows, (1, 12)))
    assert good is not None and good.gain == pytest.approx(0.11) and good.spread == pytest.approx(0.01)
    assert "the gain is 11.0 spreads between trainings (0.010)" in replication.sentence(good)
    assert "the loss is 11.0 spreads between trainings" in replication.sentence(
        replication.of(LIKENESS, -np.tile(rows, (1, 12)))  # type: ignore[arg-type]
    )
    dice = replication.of(LIKENESS, np.array([[0.2] * 24, [-0.1] * 24, [0.0] * 24]))
    assert dice is not None and dice.lacking == "trainings"
    assert "not distinguishable from another roll of the dice" in replication.sentence(dice)
    lines = replication.of(WORDS, np.array([[1.0, -1.0] * 4, [1.0, -1.0] * 4]))
    assert lines is not None and lines.lacking == "lines"


def test_only_lines_that_everybody_spoke_are_counted() -> None:
    one = Scores({LIKENESS: {"base": {"a": 0.5, "b": 0.5, "c": 0.5}, "x": {"a": 0.6, "b": 0.7, "c": 0.8}}})
    two = Scores({LIKENESS: {"base": {"a": 0.5, "b": 0.5, "c": 0.5}, "x": {"b": 0.9, "c": 0.8}}})
    both = [(one, "x", "base"), (two, "x", "base")]
    assert replication.common_lines(LIKENESS, both) == ["b", "c"]
    assert replication.gains(LIKENESS, both, ["b", "c"]) == pytest.approx(np.array([[0.2, 0.3], [0.4, 0.3]]))
    assert replication.common_lines(WORDS, both) == []
