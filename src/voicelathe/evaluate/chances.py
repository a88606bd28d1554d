"""Who can still win when all lines are spoken?

Of every draw of the lines to come (`foresight`) the guards, the gain and the ties are asked with their own formulas, which base is the bar,
and whether the other one is better. Strata, vetoes and listeners are not foreseen. Shapes: R draws, C candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voicelathe.evaluate import guards, scores, statistics
from voicelathe.evaluate.evidence import BASE, BASES, ZERO_SHOT
from voicelathe.evaluate.foresight import DRAWS, Final, Flags, drawn
from voicelathe.evaluate.guards import SIGNIFICANT, Bar
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, QUALITY, UTILITY, WORDS, Scores
from voicelathe.records import LineTest

GUARD, NO_GAIN, DOMINATED = "guard", "no_gain", "dominated"
SHIPS = {
    WORDS: "would hardly be shown to keep its words",
    ENDINGS: "would hardly be shown to end its lines as it should",
    QUALITY: "would hardly be shown to keep its sound",
    LIKENESS: "would hardly be shown to be nearer to the speaker",
    UTILITY: "would be shown to be worse than the other base",
    DOMINATED: "another one is nearer to the speaker, or as near with a lower loss",
}
REPLACES = {
    WORDS: "would lose words",
    ENDINGS: "would not end its lines as it should",
    QUALITY: "would be worse to hear",
    LIKENESS: "would hardly be shown to be nearer to the speaker, or to keep more words",
    DOMINATED: "another one is nearer to the speaker",
}
DECODES = {
    **REPLACES,
    WORDS: "would hardly be shown to keep its words",
    ENDINGS: "would hardly be shown to end its lines as it should",
    QUALITY: "would hardly be shown to keep its sound",
    LIKENESS: "would hardly be shown to be better, or as good and cheaper",
}
NEAR = 0.02  # of likeness: what other decoding settings may lose and still count as near; half of what a fine-tune should gain (docs/decoding.md)


@dataclass(frozen=True)
class Chance:
    """Of one candidate: how often it wins, and what stops it most often."""

    wins: float
    code: str  # guard | no_gain | dominated
    because: str
    test: LineTest | None  # what is known of that so far


@dataclass(frozen=True)
class _Outcome:
    """What every candidate passes [R, C], who wins where anybody passes everything [R], and against which base and which alternative."""

    passes: Mapping[str, Flags]
    first_R: NDArray[np.int64]
    bar: Bar
    alternative: str | None = None

    def eligible(self) -> Flags:
        return np.asarray(np.logical_and.reduce(list(self.passes.values())))


def to_ship(names: Sequence[str], against: Bar, num_lines: int, num_out: int = 0) -> dict[str, Chance]:
    """Of each candidate, as `selection` would choose among them. `names`: the lower loss first, to which ties go; `num_out`: who is out already.

    Who was not judged by a guard on enough lines, or whose likeness is unknown, is not there.
    """
    names = _judged(names, against)
    if not names:
        return {}
    base, other = against.base, _other(against)
    everybody = [*names, *([other] if other else [])]
    found = Scores({**against.found.values, **scores.utilities(against.found).values})
    final = drawn(everybody, found, base, _measures(everybody, found, against), num_lines)
    if other is None:
        return _told(
            names, [(_ships(final, against, len(names), num_out), np.ones(DRAWS, dtype=bool))], SHIPS
        )
    place = len(names)
    turned = {measure: one.turned(place) for measure, one in final.items()}
    is_bar_R = _is_better(final, place, against.margins, is_prompted=other != BASE)
    here = _ships(final, against, place, num_out, turned, other)
    there = _ships(turned, against.on(other), place, num_out, final, base)
    return _told(names, [(here, ~is_bar_R), (there, is_bar_R)], SHIPS)


def _ships(
    final: Mapping[str, Final],
    against: Bar,
    num: int,
    num_out: int,
    other: Mapping[str, Final] | None = None,
    alternative: str | None = None,
) -> _Outcome:
    """`final`: of the `num` candidates and the alternative, minus the bar's base; `other`: minus the alternative."""
    own = {measure: one.first(num) for measure, one in final.items()}
    passes = {
        measure: own[measure].lows_RC() + against.allowance(measure) > -margin
        for measure, margin in against.margins.items()
    }
    likeness = own[LIKENESS]
    gains = statistics.holm_rows(final[LIKENESS].p_better_RC(), num_out)[:, :num]
    passes[LIKENESS] = (likeness.lows_RC() > 0.0) & (gains < SIGNIFICANT)
    if other is not None and UTILITY in other:
        is_worse = 1.0 - other[UTILITY].first(num).p_better_RC() < SIGNIFICANT
        passes[UTILITY] = ~(is_worse & _is_fit(final, num, against.margins)[:, None])
    eligible = np.logical_and.reduce(list(passes.values()))
    nearest_R = np.where(eligible, likeness.mean_RC(), -np.inf).argmax(axis=1)
    tied = ~likeness.told_apart_RC(nearest_R)
    if WORDS in own:
        tied &= ~own[WORDS].told_apart_RC(nearest_R)
    tied[np.arange(DRAWS), nearest_R] = True
    return _Outcome(passes, (eligible & tied).argmax(axis=1), against, alternative)


def _is_better(
    final: Mapping[str, Final], place: int, margins: Mapping[str, float], is_prompted: bool
) -> Flags:
    """Whether the other base is the one to beat, [R]; as `baseline.choose` would have it."""
    ahead = {measure: final[measure].mean_RC()[:, place] for measure in (*margins, LIKENESS)}
    loses = np.logical_or.reduce([ahead[measure] < -margin for measure, margin in margins.items()])
    wins = np.logical_or.reduce([ahead[measure] > margin for measure, margin in margins.items()])
    if is_prompted:
        return np.asarray(~loses & (wins | (ahead[LIKENESS] > 0.0)))
    return np.asarray(wins | (~loses & (ahead[LIKENESS] >= 0.0)))


def _is_fit(final: Mapping[str, Final], place: int, margins: Mapping[str, float]) -> Flags:
    """Whether the alternative is one that users could take, [R]: `guards.fit`."""
    kept = [final[one].mean_RC()[:, place] >= -margins[one] for one in guards.FIT_BY if one in margins]
    return np.asarray(np.logical_and.reduce(kept)) if kept else np.ones(DRAWS, dtype=bool)


def to_replace(names: Sequence[str], against: Bar, num_lines: int, num_out: int = 0) -> dict[str, Chance]:
    """Of each reference clip, to be shown to be better than the one in use (the bar's base): `stages.references.audition.better`.

    There who is out is no longer compared, so `num_out` changes nothing.
    """
    names = _judged(names, against)
    if not names:
        return {}
    final = drawn(names, against.found, against.base, _measures(names, against.found, against), num_lines)
    likeness = final[LIKENESS]
    passes = {
        measure: final[measure].mean_RC() + against.allowance(measure) >= -margin
        for measure, margin in against.margins.items()
    }
    asked = [final[measure].p_better_RC() for measure in (LIKENESS, WORDS) if measure in final]
    shown = (statistics.holm_rows(np.concatenate(asked, axis=1)) < SIGNIFICANT).reshape(
        DRAWS, len(asked), len(names)
    )
    passes[LIKENESS] = shown.any(axis=1) & (likeness.mean_RC() >= 0.0)
    eligible = np.logical_and.reduce(list(passes.values()))
    first_R = np.where(eligible, likeness.mean_RC(), -np.inf).argmax(axis=1)
    return _told(names, [(_Outcome(passes, first_R, against), np.ones(DRAWS, dtype=bool))], REPLACES)


def to_decode(
    names: Sequence[str], against: Bar, num_lines: int, num_out: int = 0, *, work: Mapping[str, float]
) -> dict[str, Chance]:
    """Of each way to decode, to be recommended: as better than the one in use (the bar's base), or as good and cheaper (`stages.decoding.verdict`).

    `work`: how much each of them, and the base, computes.
    """
    names = _judged(names, against)
    if not names:
        return {}
    final = drawn(names, against.found, against.base, _measures(names, against.found, against), num_lines)
    likeness = final[LIKENESS]
    keeps = {
        measure: final[measure].lows_RC() + against.allowance(measure) > -margin
        for measure, margin in against.margins.items()
    }
    asked = [final[measure] for measure in (LIKENESS, WORDS) if measure in final]
    p = statistics.holm_rows(
        np.concatenate([one.p_better_RC() for one in asked], axis=1), len(asked) * num_out
    )
    shown = [
        (of_one < SIGNIFICANT) & (one.lows_RC() > 0.0)
        for one, of_one in zip(asked, np.split(p, len(asked), axis=1), strict=True)
    ]
    is_near = likeness.lows_RC() > -NEAR
    better = {**keeps, LIKENESS: np.logical_or.reduce(shown) & is_near}
    spent_C = np.array([work[name] for name in names])
    cheaper = {**keeps, LIKENESS: is_near & (spent_C < work[against.base])}
    nearest_R = np.where(np.logical_and.reduce(list(better.values())), likeness.mean_RC(), -np.inf).argmax(
        axis=1
    )
    found = _told(names, [(_Outcome(better, nearest_R, against), np.ones(DRAWS, dtype=bool))], DECODES)
    eligible = np.logical_and.reduce(list(cheaper.values()))
    least_R = np.where(eligible, spent_C, np.inf).min(axis=1)
    least = eligible & (spent_C == least_R[:, None])
    first_R = np.where(least, likeness.mean_RC(), -np.inf).argmax(axis=1)
    for place, name in enumerate(names):
        wins = float(np.mean(least[:, place] & (first_R == place)))
        found[name] = replace(found[name], wins=min(1.0, found[name].wins + wins))
    return found


def _told(
    names: Sequence[str], outcomes: Sequence[tuple[_Outcome, Flags]], phrases: Mapping[str, str]
) -> dict[str, Chance]:
    """`outcomes`: what happens in the draws that are flagged, each of which has one."""
    found = {}
    for place, name in enumerate(names):
        wins, stops = 0, dict[tuple[str, int], int]()
        for number, (one, flags_R) in enumerate(outcomes):
            eligible = one.eligible() & flags_R[:, None]
            wins += int(np.sum(eligible[:, place] & (one.first_R == place)))
            for measure, passed in one.passes.items():
                stops[measure, number] = int(np.sum(~passed[:, place] & flags_R))
            for rival in range(len(names)):
                if rival != place:
                    stops[names[rival], number] = int(np.sum(eligible[:, place] & (one.first_R == rival)))
        reason, number = max(stops, key=lambda one: stops[one])
        found[name] = _chance(name, wins / DRAWS, reason, outcomes[number][0], phrases)
    return found


def _chance(name: str, wins: float, reason: str, outcome: _Outcome, phrases: Mapping[str, str]) -> Chance:
    against = outcome.bar
    if reason == UTILITY:
        assert outcome.alternative is not None, "only against it utility is asked"
        test = scores.test(scores.utilities(against.found), UTILITY, name, outcome.alternative)
        return Chance(wins, GUARD, phrases[UTILITY], test)
    if reason in phrases:
        return Chance(
            wins, NO_GAIN if reason == LIKENESS else GUARD, phrases[reason], against.test(reason, name)
        )
    test = scores.test(against.found, LIKENESS, name, reason)
    return Chance(wins, DOMINATED, phrases[DOMINATED], test)


def _judged(names: Sequence[str], against: Bar) -> list[str]:
    """Whom the likeness and every guard judged on enough lines, as they did the base."""
    asked = (*against.margins, LIKENESS)
    if len(against.found.lines(against.base)) < 2 or not all(
        against.found.has(one, against.base) for one in asked
    ):
        return []
    return [
        name
        for name in names
        if against.test(LIKENESS, name) is not None
        and all(guards.is_judged(against.test(one, name), against.found) for one in against.margins)
    ]


def _other(against: Bar) -> str | None:
    """The base that may still become the bar; none where nobody heard its words, because then the losses decide."""
    known = [one for one in BASES if one != against.base and against.found.lines(one)]
    if not against.found.has(WORDS, ZERO_SHOT):
        return None
    return next(iter(_judged(known, against)), None)


def _measures(names: Sequence[str], found: Scores, against: Bar) -> list[str]:
    """Guards and likeness, and what else the selection asks where it judged everybody."""
    more = [
        one
        for one in (WORDS, UTILITY)
        if one not in against.margins
        and all(scores.test(found, one, name, against.base) is not None for name in names)
    ]
    return [*against.margins, LIKENESS, *more]
