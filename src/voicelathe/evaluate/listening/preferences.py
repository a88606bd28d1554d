"""What did the listeners prefer, and could it be chance? From a verdict to win rates, tests and strengths.

Judgements are not independent: one ear hears the same sentence many times (Camp et al., Google, pub52730). The unit of every
test is therefore one listener with one line; seeds within it vote, and hidden repeats only measure self-consistency.
"No clear winner" is a result like any other. Real recordings tell whether the listener hears a difference; they are no candidates
and nothing else is computed from them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from voicelathe import rng
from voicelathe.evaluate import statistics
from voicelathe.evaluate.statistics import Floats
from voicelathe.records import REAL, Anchor, Judgement, Listening, Preference, Sitting, Strength, Verdict

SIGNIFICANT = 0.05
Unit = tuple[str, str]  # listener, line
Signs = dict[
    Unit, Counter[tuple[str, str]]
]  # (better, worse) -> how often; equal candidates appear in both orders


def summarise(verdict: Verdict, candidates: Sequence[str], nominee: str, base: str, seed: int) -> Listening:
    """Everything that is read from a verdict; strengths are ordered from the best."""
    anchors = [one for number, sitting in enumerate(verdict.sittings, 1) if (one := _anchor(number, sitting))]
    verdict = _of_candidates(verdict)
    units = _signs(verdict)
    met = {name for won in units.values() for pair in won for name in pair}
    heard = [name for name in candidates if name in met]
    repeated, consistent = _consistency(verdict)
    return Listening(
        sittings=len(verdict.sittings),
        units=len(units),
        repeated_pairs=repeated,
        consistent_share=round(consistent / repeated, 6) if repeated else None,
        strengths=_strengths(units, heard, rng.key(seed, "bootstrap listeners")),
        against_nominee=_preferences(units, [name for name in heard if name != nominee], nominee),
        against_base=_preferences(units, [name for name in heard if name != base], base),
        defects=_defects(verdict),
        anchors=anchors,
    )


def is_significant(one: Preference) -> bool:
    """Whether the preference, either way, is not chance after Holm's correction."""
    return one.p_holm < SIGNIFICANT and one.wins != one.losses


def is_preferred(one: Preference) -> bool:
    """Whether listeners significantly prefer the candidate to the other."""
    return is_significant(one) and one.wins > one.losses


def against_base(listening: Listening | None, candidate: str | None) -> bool | None:
    """Whether listeners significantly prefer a candidate to the base, or the base to it; None for neither."""
    for one in listening.against_base if listening else []:
        if one.candidate == candidate and is_significant(one):
            return is_preferred(one)
    return None


def hears(one: Anchor) -> bool:
    """Whether the sitting puts the real recordings above the median candidate; where not, it cannot tell a voice from its imitation."""
    return one.real > one.median


def _anchor(number: int, sitting: Sitting) -> Anchor | None:
    """Over the trials with a real recording; None where there is none."""
    scores: dict[str, list[int]] = {}
    for one in sitting.judgements:
        if one.repeats is None and any(opinion.candidate == REAL for opinion in one.opinions):
            for opinion in one.opinions:
                scores.setdefault(opinion.candidate, []).append(opinion.score)
    if not scores:
        return None
    real = scores.pop(REAL)
    every = [score for members in scores.values() for score in members]
    median = np.median([np.mean(members) for members in scores.values()])
    means = (round(float(value), 6) for value in (np.mean(real), np.mean(every), median))
    return Anchor(number, sitting.mode, len(real), *means)


def _of_candidates(verdict: Verdict) -> Verdict:
    """The verdict as if no real recording had taken part."""
    sittings = []
    for sitting in verdict.sittings:
        kept = [
            replace(one, opinions=[opinion for opinion in one.opinions if opinion.candidate != REAL])
            for one in sitting.judgements
        ]
        sittings.append(replace(sitting, judgements=kept))
    return replace(verdict, sittings=sittings)


def _signs(verdict: Verdict) -> Signs:
    units: Signs = {}
    for sitting in verdict.sittings:
        for one in sitting.judgements:
            if one.repeats is None:
                units.setdefault((sitting.listener, one.line_id), Counter()).update(_pairs(one))
    return units


def _pairs(one: Judgement) -> Iterator[tuple[str, str]]:
    """(better, worse) of every two samples of a trial; equal ones in both orders."""
    for first in one.opinions:
        for second in one.opinions:
            if first.candidate != second.candidate and first.score >= second.score:
                yield first.candidate, second.candidate


def _preferences(units: Signs, candidates: Sequence[str], against: str) -> list[Preference]:
    """One row a candidate that met `against`; a unit goes to whoever won more of its seeds."""
    rows = []
    for name in candidates:
        leads = [
            won[name, against] - won[against, name]
            for won in units.values()
            if won[name, against] + won[against, name]
        ]
        if leads:
            wins, losses = sum(lead > 0 for lead in leads), sum(lead < 0 for lead in leads)
            rows.append((name, wins, losses, len(leads) - wins - losses))
    p_values = [statistics.sign_test(wins, losses) for _, wins, losses, _ in rows]
    return [
        _preference(name, against, wins, losses, ties, p, p_holm)
        for (name, wins, losses, ties), p, p_holm in zip(
            rows, p_values, statistics.holm(p_values), strict=True
        )
    ]


def _preference(
    name: str, against: str, wins: int, losses: int, ties: int, p: float, p_holm: float
) -> Preference:
    trials, points = wins + losses + ties, wins + ties / 2.0
    interval = statistics.wilson_interval(points, trials)
    return Preference(
        name, against, wins, losses, ties, round(points / trials, 6), interval, round(p, 9), round(p_holm, 9)
    )


def _strengths(units: Signs, candidates: Sequence[str], key: int) -> list[Strength]:
    if not candidates:
        return []
    wins_UCC = np.stack([_win_matrix(units[unit], candidates) for unit in sorted(units)])
    strengths, intervals = statistics.bradley_terry_intervals(wins_UCC, key)
    rows = [
        Strength(
            name, round(strengths[place], 6), statistics.rounded(intervals[place]) if intervals else None
        )
        for place, name in enumerate(candidates)
    ]
    return sorted(rows, key=lambda one: (-one.strength, one.candidate))


def _win_matrix(won: Counter[tuple[str, str]], candidates: Sequence[str]) -> Floats:
    """Row beats column, one point shared out for every two that met: seeds of one unit do not add up, they vote."""
    matrix = np.array([[won[row, column] for column in candidates] for row in candidates], dtype=np.float64)
    met = matrix + matrix.T
    return np.divide(matrix, met, out=np.zeros_like(matrix), where=met > 0)


def _consistency(verdict: Verdict) -> tuple[int, int]:
    """How many pairs were heard twice, and how many of them got the same order again."""
    same: list[bool] = []
    for sitting in verdict.sittings:
        scores = {
            one.trial: {opinion.candidate: opinion.score for opinion in one.opinions}
            for one in sitting.judgements
        }
        for one in sitting.judgements:
            if one.repeats is not None:
                before, again = scores[one.repeats], scores[one.trial]
                same += [
                    _order(before, pair) == _order(again, pair) for pair in combinations(sorted(again), 2)
                ]
    return len(same), sum(same)


def _order(scores: dict[str, int], pair: tuple[str, str]) -> int:
    first, second = scores[pair[0]], scores[pair[1]]
    return (first > second) - (first < second)


def _defects(verdict: Verdict) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for sitting in verdict.sittings:
        for one in sitting.judgements:
            if one.repeats is None:
                for opinion in one.opinions:
                    counts.setdefault(opinion.candidate, Counter()).update(opinion.defects)
    return {name: dict(sorted(codes.items())) for name, codes in sorted(counts.items()) if codes}
