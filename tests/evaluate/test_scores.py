"""Values of the lines: what failed samples count as, pairing, and caution in both directions."""

from dataclasses import replace

import pytest

from tests.factories import evaluations as make
from voicelathe.evaluate import scores
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS, Scores

KNOWN = make.candidates(10)


def of(values: list[float], other: list[float], measure: str = WORDS) -> scores.LineTest:
    found = scores.test(
        Scores(
            {
                measure: {
                    "a": {f"{n}": v for n, v in enumerate(values)},
                    "b": {f"{n}": v for n, v in enumerate(other)},
                }
            }
        ),
        measure,
        "a",
        "b",
    )
    assert found is not None
    return found


def test_a_failed_sample_kept_no_words_and_did_not_end_and_its_likeness_is_unknown() -> None:
    spoken = make.samples(KNOWN, problems={(KNOWN[1].name, "short"): "silent"})
    found = scores.of(spoken, make.measures(spoken))
    assert found.values[WORDS][KNOWN[1].name]["short"] == 0.0
    assert found.values[ENDINGS][KNOWN[1].name] == {"carrier": 1.0, "short": 0.0}
    assert "short" not in found.values[LIKENESS][KNOWN[1].name]


def test_what_nobody_measured_is_missing_and_never_a_zero() -> None:
    spoken = make.samples(KNOWN)
    whole = make.measures(spoken, cer={KNOWN[1].name: None})
    found = scores.of(spoken, whole)
    assert not found.has(WORDS, KNOWN[1].name) and found.has(WORDS, "base")
    assert scores.test(found, WORDS, KNOWN[1].name, "base") is None
    without = scores.of(
        spoken,
        replace(whole, figures=[whole.figures[1]], samples=[replace(s, values={}) for s in whole.samples]),
    )
    assert not without.has(WORDS, "base"), "no metric offers character errors"
    silent = make.samples(KNOWN, problems={("base", line): "not_spoken" for line in make.LINES})
    assert scores.of(silent, make.measures(silent)).lines("base") == []


@pytest.mark.parametrize(
    ("figure", "value", "ends"),
    [
        ("truncated", 0.0, 1.0),
        ("truncated", 1.0, 1.0),
        ("truncated", 2.0, 0.0),
        ("aligned", 0.0, 0.0),
        ("aligned", 1.0, 1.0),
    ],
)
def test_a_sample_without_its_last_words_did_not_end_but_one_misheard_word_is_no_missing_end(
    figure: str, value: float, ends: float
) -> None:
    spoken = make.samples(KNOWN)
    whole = make.measures(spoken)
    rows = [
        replace(one, values={**one.values, figure: value}) if one.line_id == "short" else one
        for one in whole.samples
    ]
    assert scores.of(spoken, replace(whole, samples=rows)).values[ENDINGS]["base"] == {
        "carrier": 1.0,
        "short": ends,
    }


def test_a_sample_that_goes_on_after_its_text_did_not_end_there() -> None:
    spoken = make.samples(KNOWN)
    late = make.measures(spoken, outside={("base", "short"): {"trailing_silence": "3.1 s, at most 0.8"}})
    assert scores.of(spoken, late).values[ENDINGS]["base"] == {"carrier": 1.0, "short": 0.0}


def test_an_allowance_makes_harm_harder_to_show() -> None:
    table = Scores(
        {WORDS: {"a": {f"{n}": 0.7 + 0.01 * n for n in range(6)}, "b": {f"{n}": 0.9 for n in range(6)}}}
    )
    plain, granted = scores.test(table, WORDS, "a", "b"), scores.test(table, WORDS, "a", "b", allowance=0.15)
    assert plain and granted and plain.p_worse < 0.01 < 0.1 < granted.p_worse


def test_seeds_of_a_line_are_one_observation() -> None:
    spoken = make.samples(KNOWN, make.MANY, seeds=(1, 2))
    found = scores.of(spoken, make.measures(spoken))
    test = scores.test(found, WORDS, KNOWN[1].name, "base")
    assert test is not None and test.lines == 24


def test_equal_lines_do_not_prove_that_nothing_is_ever_lost() -> None:
    few, many = of([1.0] * 8, [1.0] * 8), of([1.0] * 60, [1.0] * 60)
    assert few.interval.low < -0.05 < many.interval.low, (
        "eight perfect lines do not exclude a loss of five in a hundred"
    )
    assert few.p_worse == few.p_better == pytest.approx(0.5)
    ends = of([1.0] * 24, [1.0] * 24, ENDINGS)
    assert -0.1 < ends.interval.low < -0.05


def test_a_few_equal_losses_do_not_prove_everything() -> None:
    assert of([0.95] * 3, [1.0] * 3).p_worse > 0.2
    assert of([0.2] * 3, [1.0] * 3).p_worse < 0.01
    assert of([0.2], [1.0]).p_worse == 1.0, "one line shows nothing"


def test_p_values_agree_with_the_paired_t_test_of_scipy() -> None:
    from scipy import stats

    mine, theirs = [0.9, 0.4, 0.7, 0.2, 0.8, 0.1], [0.95, 0.9, 0.8, 0.9, 0.7, 0.6]
    found = of(mine, theirs)
    assert found.p_worse == pytest.approx(stats.ttest_rel(mine, theirs, alternative="less").pvalue, abs=1e-8)
    assert found.p_better == pytest.approx(
        stats.ttest_rel(mine, theirs, alternative="greater").pvalue, abs=1e-8
    )


def test_only_lines_that_both_spoke_are_compared() -> None:
    found = scores.test(
        Scores({WORDS: {"a": {"1": 0.5, "2": 0.5}, "b": {"2": 1.0, "3": 1.0}}}), WORDS, "a", "b"
    )
    assert found is not None and (found.lines, found.difference) == (1, -0.5)


def test_lines_that_would_be_needed_grow_with_the_square_of_the_width() -> None:
    found = of([1.0, 0.8] * 4, [0.9, 0.9] * 4)
    half = (found.interval.high - found.interval.low) / 2
    assert scores.lines_needed(found, half) == 10 and scores.lines_needed(found, half / 2) == 40
    assert scores.lines_needed(found, 0.0) is None


def test_utility_is_words_times_likeness_and_nothing_where_no_word_was_kept() -> None:
    found = scores.Scores(
        {
            WORDS: {"a": {"l1": 0.5, "l2": 0.0, "l3": 0.9}, "b": {"l1": 1.0}},
            LIKENESS: {"a": {"l1": 0.8}},
        }
    )
    assert scores.utilities(found).values == {scores.UTILITY: {"a": {"l1": 0.4, "l2": 0.0}}}, (
        "l3: unknown; b: nobody judged its likeness"
    )
