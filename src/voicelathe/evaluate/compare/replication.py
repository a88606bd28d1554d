"""Was it luck? How far apart do trainings lie that differ in nothing but their seed, and is a gain more than that?

Every training of a recipe speaks the same lines as the base, so a gain of training r on line l is

    gain[r, l] = mean + training[r] + line[l] + rest[r, l]

a crossed layout of two random effects. Its variances come from mean squares (method of moments; Searle, Casella and McCulloch 1992,
"Variance Components", ch. 4). The interval of the mean holds both sources, other trainings and other lines: half-widths of Student's t
with as many degrees of freedom as each source has, added in squares (Howe 1974, "Approximate confidence limits on the mean of X + Y").
Student's t on the means of the trainings alone would be an interval for these lines only.

The same for two recipes: the difference of their means, with the spread between trainings pooled over both. So one recipe may have been
trained only once; its training is then taken to be as uncertain as those of the other.

Shapes: R trainings, L lines.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicelathe.evaluate import scores, statistics
from voicelathe.records import Interval

Gains = NDArray[np.float64]
BETTER, WORSE, LUCK = "better", "worse", "luck"
NORMAL_QUANTILE = 1.6448536269514722  # of LEVEL, two-sided
MORE_TRAININGS, MORE_LINES = "trainings", "lines"
DICE = "not distinguishable from another roll of the dice"


@dataclass(frozen=True)
class Spread:
    """One measure over several trainings; differences are in the unit of the measure, higher is better."""

    measure: str
    lines: int
    trainings: list[float]  # mean gain of each
    gain: float  # of all of them; or the difference of two recipes
    spread: float  # observed standard deviation between the gains of two trainings of one recipe
    between: float  # the part of it that is not the noise of the lines
    within: float  # standard deviation of a line that neither its training nor the line itself explains
    interval: Interval  # 90 %, holds other trainings and other lines
    verdict: str  # better | worse | luck: the interval holds zero
    lacking: str  # trainings | lines: which source makes more of the interval

    @property
    def spreads(self) -> float | None:
        """The gain in spreads between trainings; None where they do not differ at all."""
        return abs(self.gain) / self.spread if self.spread > 0.0 else None


def of(measure: str, gains_RL: Gains) -> Spread | None:
    """The gain of one recipe. None with fewer than two trainings or two lines: nothing can be said of a spread."""
    return _contrast(measure, [gains_RL], [1.0])


def between(measure: str, mine_RL: Gains, theirs_RL: Gains) -> Spread | None:
    """One recipe minus another on the same lines, whose rows are trainings. None where neither was trained twice."""
    return _contrast(measure, [mine_RL, theirs_RL], [1.0, -1.0])


def gains(measure: str, trainings: Sequence[tuple[scores.Scores, str, str]], lines: Sequence[str]) -> Gains:
    """[R, L]: of (scores, candidate, base) of each training on these lines."""
    rows = []
    for found, candidate, base in trainings:
        mine, theirs = found.values[measure][candidate], found.values[measure][base]
        rows.append([mine[line] - theirs[line] for line in lines])
    return np.array(rows, dtype=np.float64).reshape(len(trainings), len(lines))


def common_lines(measure: str, trainings: Sequence[tuple[scores.Scores, str, str]]) -> list[str]:
    """The lines on which every candidate and its base were judged: a race may have ended early for some."""
    sets = [
        set(_judged(found.values, measure, name))
        for found, candidate, base in trainings
        for name in (candidate, base)
    ]
    return sorted(set.intersection(*sets)) if sets else []


def _judged(
    values: Mapping[str, Mapping[str, Mapping[str, float]]], measure: str, name: str
) -> Mapping[str, float]:
    return values.get(measure, {}).get(name, {})


def _contrast(measure: str, groups: Sequence[Gains], signs: Sequence[float]) -> Spread | None:
    lines = groups[0].shape[1]
    freedom = sum(len(one) - 1 for one in groups)
    if freedom < 1 or lines < 2:
        return None
    shares = sum(1.0 / len(one) for one in groups)
    rest = sum(_rest(one) for one in groups) / (freedom * (lines - 1))  # mean square
    of_means = sum(float(np.sum((one.mean(1) - one.mean()) ** 2)) for one in groups) / freedom
    by_line = sum(sign * one.mean(0) for sign, one in zip(signs, groups, strict=True))
    gain = sum(sign * float(one.mean()) for sign, one in zip(signs, groups, strict=True))
    half = 0.5 + scores.LEVEL / 2
    # A few trainings that happen to agree do not prove everything; the floor is no estimate, so it has the normal quantile.
    floor = (NORMAL_QUANTILE * scores.FLOOR[measure]) ** 2 / lines
    trainings = max(statistics.t_quantile(half, freedom) ** 2 * of_means, floor) * shares
    line_variance = max(0.0, float(np.var(by_line, ddof=1)) - rest * shares) / lines
    others = statistics.t_quantile(half, lines - 1) ** 2 * line_variance
    width = math.sqrt(trainings + others)
    low, high = round(gain - width, scores.DIGITS), round(gain + width, scores.DIGITS)
    return Spread(
        measure=measure,
        lines=lines,
        trainings=[round(float(mean), scores.DIGITS) for one in groups for mean in one.mean(1)],
        gain=round(gain, scores.DIGITS),
        spread=round(math.sqrt(of_means), scores.DIGITS),
        between=round(math.sqrt(max(0.0, of_means - rest / lines)), scores.DIGITS),
        within=round(math.sqrt(rest), scores.DIGITS),
        interval=Interval(low, high),
        verdict=BETTER if low > 0.0 else WORSE if high < 0.0 else LUCK,
        lacking=MORE_TRAININGS if trainings >= others else MORE_LINES,
    )


def _rest(one: Gains) -> float:
    """Sum of squares that neither trainings nor lines explain."""
    left = one - one.mean(1, keepdims=True) - one.mean(0, keepdims=True) + one.mean()
    return float(np.sum(left**2))


def sentence(one: Spread) -> str:
    """`likeness +0.031, 90 % interval +0.012 to +0.050 with other trainings and lines: 2.1 spreads between trainings`."""
    ends = one.interval
    figures = f"{one.measure} {one.gain:+.3f}, 90 % interval {ends.low:+.3f} to {ends.high:+.3f} with other trainings and other lines"
    if one.verdict == LUCK:
        told = f"{DICE} (spread between trainings {one.spread:.3f}; more {one.lacking} would tell more)"
    elif one.spreads is None:
        told = "all trainings agree"
    else:
        what = "the gain is" if one.verdict == BETTER else "the loss is"
        told = f"{what} {one.spreads:.1f} spreads between trainings ({one.spread:.3f})"
    return f"{figures}: {told}".replace("-", "\u2212")
