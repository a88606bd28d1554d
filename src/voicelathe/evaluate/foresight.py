"""What may the results be when all lines are spoken? The rest of a race is drawn many times from the lines so far.

Lines that are not spoken yet are drawn from those that were, with weights that are drawn first (Bayesian bootstrap, Rubin 1981): all
candidates share a draw, so they stay paired. Each candidate gets lines of its own besides, better and worse than its mean by
`scores.PSEUDO`, and its differences vary by `scores.FLOOR` at least, so that a handful of equal lines does not foretell certainty.

Shapes: R draws, C candidates, n lines so far, N lines in the end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voicelathe import rng
from voicelathe.evaluate import scores, statistics
from voicelathe.evaluate.guards import SIGNIFICANT
from voicelathe.evaluate.scores import Scores
from voicelathe.evaluate.statistics import Floats

DRAWS = 2000
SEED = 17
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Final:
    """One measure when all lines are spoken, candidate minus base: sums [R, C], and sums of products [R, C, C]."""

    measure: str
    num_lines: int
    sums_RC: Floats
    products_RCC: Floats

    def first(self, number: int) -> "Final":
        """Of the first candidates alone."""
        return replace(
            self, sums_RC=self.sums_RC[:, :number], products_RCC=self.products_RCC[:, :number, :number]
        )

    def turned(self, place: int) -> "Final":
        """The same, minus one of the candidates instead of the base; in its place stands the base."""
        products, own = self.products_RCC, self.products_RCC[:, place, place]
        with_it = products[:, :, place]
        across = products - with_it[:, :, None] - with_it[:, None, :] + own[:, None, None]
        across[:, :, place] = across[:, place, :] = own[:, None] - with_it
        across[:, place, place] = own
        sums = self.sums_RC - self.sums_RC[:, place][:, None]
        sums[:, place] = -self.sums_RC[:, place]
        return replace(self, sums_RC=sums, products_RCC=across)

    def mean_RC(self) -> Floats:
        return self.sums_RC / self.num_lines

    def squares_RC(self) -> Floats:
        return np.asarray(np.einsum("rcc->rc", self.products_RCC))

    def lows_RC(self) -> Floats:
        """Low ends of the intervals of `scores.test`."""
        num, mean = self.num_lines, self.mean_RC()
        spread = np.maximum(self.squares_RC() - num * mean**2, 0.0) + 2.0 * scores.PSEUDO[self.measure] ** 2
        error = np.sqrt(spread / (num + 1) / (num + 2))
        return np.asarray(mean - statistics.t_quantile(0.5 + scores.LEVEL / 2, num + 1) * error)

    def p_better_RC(self) -> Floats:
        return self._p(self.sums_RC, self.squares_RC())

    def told_apart_RC(self, other_R: NDArray[np.int64]) -> Flags:
        """Whether the measure tells a candidate from the one of `other_R`, either way."""
        draws = np.arange(len(other_R))
        squares = self.squares_RC()
        sums = self.sums_RC - self.sums_RC[draws, other_R][:, None]
        between = squares + squares[draws, other_R][:, None] - 2.0 * self.products_RCC[draws, :, other_R]
        p = self._p(sums, np.maximum(between, 0.0))
        return np.asarray(np.minimum(p, 1.0 - p) < SIGNIFICANT / 2)

    def _p(self, sums: Floats, squares: Floats) -> Floats:
        """One-sided p of a mean this far above zero, with the floor of `scores.test`."""
        from scipy import special

        num = self.num_lines
        mean = sums / num
        deviation = np.sqrt(np.maximum(squares - num * mean**2, 0.0) / (num - 1))
        error = np.maximum(deviation, scores.FLOOR[self.measure]) / math.sqrt(num)
        return np.asarray(special.stdtr(num - 1, -mean / error))


@dataclass(frozen=True)
class Rest:
    """The lines to come, in every draw."""

    num: int  # lines so far
    num_lines: int
    counts_Rn: Floats  # how often each line so far stands for one to come
    spread_R: Floats  # their distance from the mean, in parts of that of the lines so far


def drawn(
    names: Sequence[str], found: Scores, base: str, measures: Sequence[str], num_lines: int
) -> dict[str, Final]:
    """measure -> the results that may come; each measure judged the base and all of `names`."""
    spoken = found.lines(base)
    rest = _rest(len(spoken), num_lines)
    return {one: _final(one, names, _ahead(one, names, found, base, spoken), rest) for one in measures}


def _rest(num: int, num_lines: int) -> Rest:
    """A bootstrap's mean varies too little by (n - 1) / (n + 1), and the deviation of so few lines is not known exactly: hence the chi square."""
    weights = _generator("lines", num, num_lines)
    shares = weights.dirichlet(np.ones(num), size=DRAWS)
    counts = weights.multinomial(num_lines - num, shares).astype(np.float64)
    known = weights.chisquare(num - 1, size=DRAWS) / (num - 1)
    return Rest(num, num_lines, counts, np.sqrt((num + 1) / (num - 1) / known))


def _final(measure: str, names: Sequence[str], ahead_nC: Floats, rest: Rest) -> Final:
    size, to_come = scores.PSEUDO[measure], rest.num_lines - rest.num
    better, worse = (
        np.stack([_own(name, measure, sign, rest) for name in names], axis=1) for sign in ("better", "worse")
    )
    mean_C = ahead_nC.mean(axis=0)
    off_nC = ahead_nC - mean_C
    off_RC = rest.spread_R[:, None] * np.einsum("rn,nc->rc", rest.counts_Rn, off_nC)
    luck_C = np.sqrt(np.maximum(scores.FLOOR[measure] ** 2 - ahead_nC.var(axis=0, ddof=1), 0.0))
    drift = math.sqrt(
        to_come + to_come**2 / rest.num
    )  # of the sum to come, by its own lines and by those that its mean is known from
    luck_RC = luck_C * drift * np.stack([_luck(name, measure, rest) for name in names], axis=1)
    away_RC = off_RC + size * (better - worse) + luck_RC
    sums = ahead_nC.sum(axis=0) + to_come * mean_C + away_RC
    off_RCC = np.einsum("r,rn,nc,nd->rcd", rest.spread_R**2, rest.counts_Rn, off_nC, off_nC)
    across = away_RC[:, :, None] * mean_C[None, None, :]
    products = np.einsum("nc,nd->cd", ahead_nC, ahead_nC) + to_come * np.outer(mean_C, mean_C)
    products = products + across + across.transpose(0, 2, 1) + off_RCC
    place = np.arange(len(names))
    products[:, place, place] += (
        size**2 * (better + worse) + luck_RC**2 / max(to_come, 1) + luck_C**2 * to_come
    )
    return Final(measure, rest.num_lines, sums, products)


def _own(name: str, measure: str, sign: str, rest: Rest) -> Floats:
    """How often a line comes that is better, or worse, than the mean by PSEUDO."""
    generator = _generator(name, measure, sign, rest.num, rest.num_lines)
    chances = generator.beta(1.0, rest.num + 1.0, size=DRAWS)
    return generator.binomial(rest.num_lines - rest.num, chances).astype(np.float64)


def _luck(name: str, measure: str, rest: Rest) -> Floats:
    """Standard normal, as wide as Student's t is: lines that differ less than they should may do so by luck."""
    return _generator(name, measure, "luck", rest.num, rest.num_lines).standard_normal(DRAWS) * rest.spread_R


def _ahead(measure: str, names: Sequence[str], found: Scores, base: str, spoken: Sequence[str]) -> Floats:
    """Candidate minus base [n, C]; a line that was not judged counts as the mean of those that were."""
    values = found.values[measure]
    theirs, columns = values[base], []
    for name in names:
        mine = values[name]
        known = {line: mine[line] - theirs[line] for line in spoken if line in mine and line in theirs}
        mean = math.fsum(known.values()) / len(known)
        columns.append([known.get(line, mean) for line in spoken])
    return np.array(columns, dtype=np.float64).T


def _generator(*parts: str | int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(rng.key(SEED, "race", *parts)))
