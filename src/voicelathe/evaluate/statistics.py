"""How sure can one be that a candidate is better? Intervals, probabilities and tests, from numbers to numbers.

Two kinds of evidence need it: paired validation losses (bootstrap over recordings and over clips, robustness over the component
weights) and judgements of listeners (Wilson interval, exact sign test with Holm's correction, Bradley-Terry strengths).
Nothing here knows files or decisions. Every random number comes from a `voicelathe.rng` key.

Shapes: N clips, C candidates, G groups of clips that are drawn together, R resamples, U units of listening (listener x line).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.records import Interval

RESAMPLES = 10_000
LEVEL = 0.95
SETTLED = 1e-7  # relative change of a strength at which its iteration ends
NORMAL_QUANTILE = 1.959963984540054  # two-sided 95 %
Floats = NDArray[np.float64]


# --- limits from real clips ------------------------------------------------------------------------------------------


def t_quantile(p: float, freedom: int) -> float:
    """Quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(freedom, p))


def t_share(value: float, freedom: int) -> float:
    """Probability that Student's t is below a value."""
    from scipy import special

    return float(special.stdtr(freedom, value))


def lowest_expected(values: Sequence[float], share: float, min_spread: float) -> float:
    """Below this, one more value of the same normal distribution falls with this probability: a one-sided prediction interval.

    It is wider than mean minus a quantile of the sample's deviation, because mean and deviation of few values are not known exactly.
    """
    number = len(values)
    spread = max(float(np.std(values, ddof=1)), min_spread)
    return float(np.mean(values)) - t_quantile(1.0 - share, number - 1) * spread * math.sqrt(1 + 1 / number)


# --- paired validation losses ----------------------------------------------------------------------------------------


def resampled_means(
    totals_NC: Floats, groups: Sequence[str], key: int, resamples: int = RESAMPLES
) -> Floats | None:
    """Mean totals [R, C] over bootstrap resamples of whole groups; None with fewer than two groups, which have no spread.

    A group is a recording or a clip. All candidates share each resample, so differences between columns are paired
    (Efron and Tibshirani 1993, ch. 8). Equal columns stay exactly equal. The order of the clips does not matter.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        return None
    place = {name: number for number, name in enumerate(names)}
    members = np.array([place[group] for group in groups])
    sizes_G = np.bincount(members).astype(np.float64)
    columns, original = np.unique(totals_NC, axis=1, return_inverse=True)
    sums_GC = np.stack(
        [[math.fsum(column[members == group]) for column in columns.T] for group in range(len(names))]
    )
    generator = np.random.Generator(np.random.PCG64(key))
    even = np.full(len(names), 1.0 / len(names))
    means = []
    for start in range(0, resamples, 1000):
        draws = generator.multinomial(len(names), even, size=min(1000, resamples - start)).astype(np.float64)
        means.append((draws @ sums_GC) / (draws @ sizes_G)[:, None])
    return np.concatenate(means)[:, original.reshape(-1)]


def percentile_interval(values: Floats, level: float = LEVEL) -> Interval:
    """The middle `level` of resampled values. Too narrow with few groups: under 8 recordings look at both bootstraps."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def win_probabilities(means_RC: Floats, may_win: Sequence[bool]) -> list[float]:
    """How often each candidate has the lowest mean; candidates that are exactly equal share a win."""
    contenders = np.where(np.asarray(may_win)[None, :], means_RC, np.inf)
    wins = (contenders == contenders.min(axis=1, keepdims=True)).astype(np.float64)
    shares = (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0)
    return [float(share) for share in shares]


@dataclass(frozen=True)
class Range:
    """The weights at which one item of a list is lowest; `high` None means without end."""

    index: int
    low: float
    high: float | None


def lowest_ranges(at_zero: Sequence[float], slopes: Sequence[float]) -> list[Range]:
    """For which w >= 0 is `at_zero[i] + w * slopes[i]` the lowest? Ordered by w; equal lines all get the same range.

    The lower envelope of straight lines, solved exactly pair by pair instead of tried on a grid.
    """
    ranges = []
    for index, (start, slope) in enumerate(zip(at_zero, slopes, strict=True)):
        low, high = 0.0, math.inf
        for other_start, other_slope in zip(at_zero, slopes, strict=True):
            if slope == other_slope:
                high = high if start <= other_start else -math.inf
            elif slope > other_slope:
                high = min(high, (other_start - start) / (slope - other_slope))
            else:
                low = max(low, (start - other_start) / (other_slope - slope))
        if low < high:
            ranges.append(Range(index, low, None if math.isinf(high) else high))
    return sorted(ranges, key=lambda part: (part.low, part.index))


# --- judgements of listeners -----------------------------------------------------------------------------------------


def wilson_interval(wins: float, trials: int) -> Interval:
    """95 % interval of a share (Wilson 1927); honest for few trials, [0, 1] for none. Ties may count as half a win."""
    if trials == 0:
        return Interval(0.0, 1.0)
    share, spread = wins / trials, NORMAL_QUANTILE**2 / trials
    centre = (share + spread / 2.0) / (1.0 + spread)
    half = (
        NORMAL_QUANTILE * math.sqrt(share * (1.0 - share) / trials + spread / (4.0 * trials)) / (1.0 + spread)
    )
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p of a fair coin giving a split at least this uneven; ties are left out beforehand. 1 without any."""
    trials = wins + losses
    tail = sum(math.comb(trials, count) for count in range(min(wins, losses) + 1)) / 2.0**trials
    return min(1.0, 2.0 * tail)


def smallest_p(units: int) -> float:
    """What the sign test gives when all units agree: the most that so few judgements can show."""
    return sign_test(units, 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for being several (Holm 1979), in the order given."""
    return [float(p) for p in holm_rows(np.array([p_values], dtype=np.float64))[0]]


def holm_rows(p_RC: Floats, others: int = 0) -> Floats:
    """The same of every row, whose values are compared with `others` besides that have higher ones."""
    number = p_RC.shape[1]
    order = np.argsort(p_RC, axis=1, kind="stable")
    ranked = np.take_along_axis(p_RC, order, axis=1) * (number + others - np.arange(number))
    corrected = np.empty_like(p_RC)
    np.put_along_axis(corrected, order, np.maximum.accumulate(np.minimum(ranked, 1.0), axis=1), axis=1)
    return corrected


def bradley_terry(wins_RCC: NDArray[Any], prior: float = 0.5, rounds: int = 200) -> Floats:
    """Strengths [R, C] in log-odds with mean 0 from win counts [R, C, C] (row beats column; ties half and half).

    Minorise-maximise steps of Hunter (2004). `prior` virtual ties between every two candidates keep a candidate that always won
    finite; they pull strengths together, so few judgements never look like many.
    """
    num = wins_RCC.shape[-1]
    wins = wins_RCC + prior / 2.0 * (1.0 - np.eye(num))
    games = wins + np.swapaxes(wins, -1, -2)
    total = wins.sum(axis=-1)
    power = np.ones_like(total)
    for _ in range(rounds):
        before = power
        power = total / (games / (power[..., :, None] + power[..., None, :])).sum(axis=-1)
        power = power / np.exp(np.log(power).mean(axis=-1, keepdims=True))
        if np.abs(power / before - 1.0).max() < SETTLED:
            break
    return np.asarray(np.log(power), dtype=np.float64)


def bradley_terry_intervals(
    wins_UCC: Floats, key: int, resamples: int = 1000
) -> tuple[list[float], list[Interval] | None]:
    """Strengths and their intervals from the win counts of each unit; whole units are resampled, so repeats of one ear do not count twice.

    No intervals with fewer than two units.
    """
    units = len(wins_UCC)
    strengths = bradley_terry(wins_UCC.sum(axis=0)[None])[0]
    if units < 2:
        return [float(value) for value in strengths], None
    generator = np.random.Generator(np.random.PCG64(key))
    draws = generator.multinomial(units, np.full(units, 1.0 / units), size=resamples).astype(np.float64)
    resampled = bradley_terry(np.einsum("ru,uij->rij", draws, wins_UCC))
    return [float(value) for value in strengths], [percentile_interval(column) for column in resampled.T]


def rounded(interval: Interval, digits: int = 6) -> Interval:
    """For records: the last bits of a sum may differ between machines, a decision may not."""
    return Interval(round(interval.low, digits), round(interval.high, digits))
