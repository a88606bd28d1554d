"""Who can still win when all lines are spoken? The rest of a race is drawn many times from the lines so far.

Lines that are not spoken yet are drawn from those that were, with weights that are drawn first (Bayesian bootstrap, Rubin 1981): all
candidates share a draw, so they stay paired. With that each candidate gets two lines of its own that may come, one better and one worse
than all others (`scores.PSEUDO`), so that a handful of equal lines does not foretell certainty. What the guards, the gain and the ties
would say of the result is asked with their own formulas; strata, vetoes and listeners are not foreseen.

Shapes: R draws, C candidates, n lines so far, N lines in the end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voicelathe import rng
from voicelathe.evaluate import scores, statistics
from voicelathe.evaluate.evidence import BASE, BASES
from voicelathe.evaluate.guards import SIGNIFICANT, Bar
from voicelathe.evaluate.scores import LIKENESS, WORDS
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

    def against(self, place: int) -> "Final":
        """The same, minus one of the candidates instead of the base."""
        products, own = self.products_RCC, self.products_RCC[:, place, place]
        with_it = products[:, :, place]
        return replace(
            self,
            sums_RC=self.sums_RC - self.sums_RC[:, place][:, None],
            products_RCC=products - with_it[:, :, None] - with_it[:, None, :] + own[:, None, None],
        )

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
class Chance:
    """Of one candidate: how often it wins, and what stops it most often."""

    wins: float
    stopped_by: str  # a guard's measure, LIKENESS (no nearer than the base), or the name of who wins instead


def to_ship(names: Sequence[str], against: Bar, num_lines: int) -> dict[str, Chance]:
    """Of each candidate, as `selection` would choose among them. `names`: the lower loss first, to which ties go.

    Where there are two bases, which of them is the one to beat is foreseen, too (`baseline`). Who was not judged by a guard, or whose
    likeness is unknown, is not there.
    """
    bases = [one for one in BASES if against.found.lines(one)]
    names, others = _judged(names, against), [one for one in _judged(bases, against) if one != against.base]
    if not names:
        return {}
    final = drawn([*names, *others], against, num_lines)
    passes, first_R = _ships(against, {measure: one.first(len(names)) for measure, one in final.items()})
    for place, other in enumerate(others, len(names)):
        is_bar_R = _is_better(final, place, against.margins, is_prompted=other != BASE)
        turned = {measure: one.against(place).first(len(names)) for measure, one in final.items()}
        then, first_then_R = _ships(against.on(other), turned)
        passes = {one: np.where(is_bar_R[:, None], then[one], passes[one]) for one in passes}
        first_R = np.where(is_bar_R, first_then_R, first_R)
    return _told(names, passes, first_R)


def _ships(against: Bar, final: Mapping[str, Final]) -> tuple[dict[str, Flags], NDArray[np.int64]]:
    """What every candidate passes, and the place of the one that ships where anybody passes everything."""
    passes = {
        measure: final[measure].lows_RC() + against.allowance(measure) > -margin
        for measure, margin in against.margins.items()
    }
    likeness = final[LIKENESS]
    passes[LIKENESS] = (likeness.lows_RC() > 0.0) & (_holm(likeness.p_better_RC()) < SIGNIFICANT)
    eligible = np.logical_and.reduce(list(passes.values()))
    nearest_R = np.where(eligible, likeness.mean_RC(), -np.inf).argmax(axis=1)
    tied = ~likeness.told_apart_RC(nearest_R)
    if WORDS in final:
        tied &= ~final[WORDS].told_apart_RC(nearest_R)
    tied[np.arange(DRAWS), nearest_R] = True
    return passes, (eligible & tied).argmax(axis=1)


def _is_better(
    final: Mapping[str, Final], place: int, margins: Mapping[str, float], is_prompted: bool
) -> Flags:
    """Whether the other base is the one to beat, [R]; as `baseline.choose` would have it."""
    ahead = {measure: one.mean_RC()[:, place] for measure, one in final.items()}
    loses = np.logical_or.reduce([ahead[measure] < -margin for measure, margin in margins.items()])
    wins = np.logical_or.reduce([ahead[measure] > margin for measure, margin in margins.items()])
    nearer = ahead[LIKENESS] > 0.0 if is_prompted else ahead[LIKENESS] >= 0.0
    if is_prompted:
        return np.asarray(~loses & (wins | nearer))
    return np.asarray(wins | (~loses & nearer))


def to_replace(names: Sequence[str], against: Bar, num_lines: int) -> dict[str, Chance]:
    """Of each reference clip, to be shown to be better than the one in use (the bar's base): `stages.references.audition.better`."""
    names = _judged(names, against)
    if not names:
        return {}
    final = drawn(names, against, num_lines)
    likeness = final[LIKENESS]
    passes = {
        measure: final[measure].mean_RC() + against.allowance(measure) >= -margin
        for measure, margin in against.margins.items()
    }
    asked = [final[measure].p_better_RC() for measure in (LIKENESS, WORDS) if measure in final]
    shown = (_holm(np.concatenate(asked, axis=1)) < SIGNIFICANT).reshape(DRAWS, len(asked), len(names))
    passes[LIKENESS] = shown.any(axis=1) & (likeness.mean_RC() >= 0.0)
    eligible = np.logical_and.reduce(list(passes.values()))
    return _told(names, passes, np.where(eligible, likeness.mean_RC(), -np.inf).argmax(axis=1))


def _told(names: Sequence[str], passes: Mapping[str, Flags], first_R: NDArray[np.int64]) -> dict[str, Chance]:
    """`first_R`: who wins, where anybody passes everything."""
    eligible = np.logical_and.reduce(list(passes.values()))
    somebody = eligible.any(axis=1)
    found = {}
    for place, name in enumerate(names):
        stops = {measure: int(np.sum(~passed[:, place])) for measure, passed in passes.items()}
        for rival in range(len(names)):
            if rival != place:
                stops[names[rival]] = int(np.sum(eligible[:, place] & (first_R == rival)))
        wins = float(np.mean(somebody & (first_R == place)))
        found[name] = Chance(wins, max(stops, key=lambda one: stops[one]))
    return found


def _judged(names: Sequence[str], against: Bar) -> list[str]:
    """Whom every guard and the likeness judged, as they did the base."""
    asked = (*against.margins, LIKENESS)
    if len(against.found.lines(against.base)) < 2 or not all(
        against.found.has(one, against.base) for one in asked
    ):
        return []
    return [name for name in names if all(against.test(one, name) is not None for one in asked)]


def _holm(p_RK: Floats) -> Floats:
    """`statistics.holm` of every row."""
    number = p_RK.shape[1]
    order = np.argsort(p_RK, axis=1, kind="stable")
    sorted_p = np.take_along_axis(p_RK, order, axis=1) * (number - np.arange(number))
    corrected = np.empty_like(p_RK)
    np.put_along_axis(corrected, order, np.maximum.accumulate(np.minimum(sorted_p, 1.0), axis=1), axis=1)
    return corrected


@dataclass(frozen=True)
class Rest:
    """The lines to come, in every draw."""

    num: int  # lines so far
    num_lines: int
    counts_Rn: Floats  # how often each line so far stands for one to come
    spread_R: Floats  # their distance from the mean, in parts of that of the lines so far


def drawn(names: Sequence[str], against: Bar, num_lines: int) -> dict[str, Final]:
    """measure -> the results that may come, of every guard and the likeness; each of them judged all of `names`."""
    spoken = against.found.lines(against.base)
    rest = _rest(len(spoken), num_lines)
    return {
        measure: _final(measure, names, _ahead(measure, names, against, spoken), rest)
        for measure in (*against.margins, LIKENESS)
    }


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
    """How often a line comes that is better, or worse, than all so far."""
    generator = _generator(name, measure, sign, rest.num, rest.num_lines)
    chances = generator.beta(1.0, rest.num + 1.0, size=DRAWS)
    return generator.binomial(rest.num_lines - rest.num, chances).astype(np.float64)


def _luck(name: str, measure: str, rest: Rest) -> Floats:
    """Standard normal, as wide as Student's t is: lines that differ less than they should may do so by luck."""
    return _generator(name, measure, "luck", rest.num, rest.num_lines).standard_normal(DRAWS) * rest.spread_R


def _ahead(measure: str, names: Sequence[str], against: Bar, spoken: Sequence[str]) -> Floats:
    """Candidate minus base [n, C]; a line that was not judged counts as the mean of those that were."""
    values = against.found.values.get(measure, {})
    theirs = values.get(against.base, {})
    columns = []
    for name in names:
        mine = values.get(name, {})
        known = {line: mine[line] - theirs[line] for line in spoken if line in mine and line in theirs}
        mean = math.fsum(known.values()) / len(known)
        columns.append([known.get(line, mean) for line in spoken])
    return np.array(columns, dtype=np.float64).T


def _generator(*parts: str | int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(rng.key(SEED, "race", *parts)))
