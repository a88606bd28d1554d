"""Intervals, probabilities and tests, against values that are known from elsewhere."""

import itertools
import math

import numpy as np
import pytest

from voicelathe.evaluate import statistics
from voicelathe.records import Interval


def two_columns(
    num_recordings: int, clips_each: int, shift: float = 0.1
) -> tuple[np.ndarray, list[str], list[str]]:
    """Clips whose recordings differ much more than the two candidates do."""
    generator = np.random.default_rng(5)
    recordings = [f"r{number}" for number in range(num_recordings) for _ in range(clips_each)]
    level = np.repeat(generator.normal(0, 1, num_recordings), clips_each)
    effect = np.repeat(generator.normal(0, 0.05, num_recordings), clips_each)
    clip = generator.normal(0, 0.02, len(level))
    totals = np.stack([level, level + shift + effect + clip], axis=1)
    return totals, recordings, [f"c{number}" for number in range(len(level))]


def difference(totals: np.ndarray, groups: list[str], key: int = 1) -> Interval:
    means = statistics.resampled_means(totals, groups, key)
    assert means is not None
    return statistics.percentile_interval(means[:, 1] - means[:, 0])


def test_pairing_removes_the_difficulty_of_the_clips() -> None:
    totals, recordings, _ = two_columns(20, 5)
    paired = difference(totals, recordings)
    assert 0.03 < paired.low < paired.high < 0.17, "the recordings' own spread of 1.0 must not matter"


def test_resampling_recordings_is_wider_than_resampling_clips_when_clips_of_a_recording_are_alike() -> None:
    totals, recordings, clips = two_columns(10, 20)
    over_recordings, over_clips = difference(totals, recordings), difference(totals, clips)
    assert (over_recordings.high - over_recordings.low) > 2 * (over_clips.high - over_clips.low)


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for trial in range(200):
        generator = np.random.default_rng(trial)
        totals = np.zeros((60, 2))
        totals[:, 1] = 0.5 + np.repeat(generator.normal(0, 0.3, 20), 3) + generator.normal(0, 0.1, 60)
        means = statistics.resampled_means(
            totals, [f"r{number // 3}" for number in range(60)], trial, resamples=600
        )
        assert means is not None
        interval = statistics.percentile_interval(means[:, 1] - means[:, 0])
        hits += interval.low <= 0.5 <= interval.high
    assert 0.89 <= hits / 200 <= 0.985


def test_the_order_of_the_clips_does_not_matter() -> None:
    totals, recordings, _ = two_columns(6, 4)
    turned = np.random.default_rng(0).permutation(len(recordings))
    again = statistics.resampled_means(totals[turned], [recordings[place] for place in turned], 3)
    assert np.array_equal(statistics.resampled_means(totals, recordings, 3), again)


def test_one_group_has_no_interval() -> None:
    assert statistics.resampled_means(np.ones((4, 2)), ["r"] * 4, 1) is None
    assert statistics.resampled_means(np.ones((1, 2)), ["c"], 1) is None


def test_unequal_recordings_weigh_by_their_clips() -> None:
    totals = np.array([[0.0], [0.0], [0.0], [9.0]])
    means = statistics.resampled_means(totals, ["long", "long", "long", "short"], 1)
    assert means is not None
    assert sorted({round(value, 9) for value in means[:, 0].tolist()}) == [0.0, 2.25, 9.0]


@pytest.mark.parametrize(("candidates", "recordings"), [(3, 9), (9, 36), (11, 60), (17, 36)])
def test_equal_candidates_share_their_wins_exactly(candidates: int, recordings: int) -> None:
    """A plain matrix product does not give equal columns equal sums in these shapes: its kernels treat edges differently."""
    totals = np.random.default_rng(0).normal(1.0, 0.2, (recordings, candidates)) + 5.0
    totals[:, candidates // 2] = totals[:, -1] = totals[:, 0] = totals[:, 0] - 5.0
    means = statistics.resampled_means(totals, [f"r{number}" for number in range(recordings)], 1)
    assert means is not None
    assert np.array_equal(means[:, 0], means[:, -1]) and np.array_equal(
        means[:, 0], means[:, candidates // 2]
    )
    shares = statistics.win_probabilities(means, [True] * candidates)
    assert [shares[place] for place in (0, candidates // 2, -1)] == pytest.approx([1 / 3] * 3, abs=1e-12)
    assert sum(shares) == pytest.approx(1.0)


def test_a_candidate_that_may_not_win_leaves_its_wins_to_the_others() -> None:
    means = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
    assert statistics.win_probabilities(means, [False, True, True]) == [0.0, 0.5, 0.5]


def test_the_lower_envelope_agrees_with_trying_many_weights() -> None:
    generator = np.random.default_rng(2)
    for _ in range(30):
        start, slope = generator.random(8), generator.random(8)
        found = statistics.lowest_ranges(start.tolist(), slope.tolist())
        assert found[0].low == 0.0 and found[-1].high is None
        for one, following in itertools.pairwise(found):
            assert one.high == pytest.approx(following.low, abs=1e-12)
        for weight in generator.random(40) * 5:
            best = int(np.argmin(start + weight * slope))
            assert [one.index for one in found if one.low <= weight <= (one.high or math.inf)] == [best]


def test_parallel_lines_leave_only_the_lower_one() -> None:
    assert [one.index for one in statistics.lowest_ranges([2.0, 1.0], [0.5, 0.5])] == [1]


@pytest.mark.parametrize(
    ("wins", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433)],
)
def test_wilson_intervals_agree_with_the_published_ones(
    wins: int, trials: int, low: float, high: float
) -> None:
    found = statistics.wilson_interval(wins, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_no_judgements_leave_every_win_rate_possible() -> None:
    assert statistics.wilson_interval(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(5, 0, 0.0625), (6, 0, 0.03125), (8, 2, 0.109375), (3, 3, 1.0), (0, 0, 1.0)]
)
def test_the_sign_test_is_exact(wins: int, losses: int, p: float) -> None:
    assert statistics.sign_test(wins, losses) == pytest.approx(p)
    assert statistics.sign_test(losses, wins) == pytest.approx(p)


def test_holm_corrects_from_the_smallest_and_never_turns_the_order_round() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_bradley_terry_recovers_the_strengths_that_made_the_wins() -> None:
    truth = np.array([1.2, 0.4, -0.3, -1.3])
    chance = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    np.fill_diagonal(chance, 0)
    found = statistics.bradley_terry(1000 * chance[None], prior=0.5)[0]
    assert found == pytest.approx(truth, abs=0.01)


def test_a_candidate_that_always_won_stays_finite() -> None:
    strengths = statistics.bradley_terry(np.array([[[0.0, 9.0], [0.0, 0.0]]]))[0]
    assert np.isfinite(strengths).all() and strengths[0] > strengths[1]


def test_few_judgements_never_look_like_many() -> None:
    once, often = (
        statistics.bradley_terry(np.array([[[0.0, count], [0.0, 0.0]]]))[0][0] for count in (1.0, 50.0)
    )
    assert 0 < once < often


def test_strengths_of_one_unit_have_no_interval() -> None:
    assert statistics.bradley_terry_intervals(np.array([[[0.0, 1.0], [0.0, 0.0]]]), 1)[1] is None


@pytest.mark.parametrize(
    ("p", "freedom", "published"),
    [(0.975, 10, 2.228), (0.999, 23, 3.485), (0.995, 5, 4.032), (0.95, 30, 1.697)],
)
def test_quantiles_of_t_agree_with_the_published_ones(p: float, freedom: int, published: float) -> None:
    assert statistics.t_quantile(p, freedom) == pytest.approx(published, rel=0.01)


def test_a_prediction_limit_stops_as_many_new_values_as_it_says_however_few_set_it() -> None:
    draw = np.random.default_rng(5)
    for number in (8, 24):
        rounds = [draw.normal(0.0, 1.0, number + 200) for _ in range(400)]
        stopped = [
            np.mean(one[number:] < statistics.lowest_expected(one[:number].tolist(), 0.01, 0.0))
            for one in rounds
        ]
        assert float(np.mean(stopped)) == pytest.approx(0.01, abs=0.003)
