"""Which strength of an adapter sounds best? Validation picks the step; its loss alone tends to favour full strength.

Another strength of the nominated step takes its place when a figure of the metrics is better on significantly more lines and
none is worse on significantly more: an exact sign test over lines and seeds, corrected for all figures and strengths (Holm). With
few lines nothing can be significant, and the nominee stays. Figures without a better direction have no say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from voicelathe.evaluate import statistics
from voicelathe.records import EvaluationRecord, FigureTest, SpeechMeasures

SIGNIFICANT = 0.05
Values = Mapping[tuple[str, int], Mapping[str, float | None]]  # (line, seed) -> figure -> value


def tests(
    measures: SpeechMeasures, nominee: str, eligible: Sequence[str], evaluations: Sequence[EvaluationRecord]
) -> list[FigureTest]:
    """Every figure of every other strength of the nominated step, against the nominee."""
    steps = {one.candidate: one.step for one in evaluations}
    others = [name for name in eligible if steps[name] == steps[nominee] and name != nominee]
    found = [test for name in others for test in against(measures, name, nominee)]
    corrected = statistics.holm([one.p_holm for one in found])
    return [replace(one, p_holm=round(p, 9)) for one, p in zip(found, corrected, strict=True)]


def preferred(found: Sequence[FigureTest], eligible: Sequence[str]) -> str | None:
    """The strength with most figures significantly better and none worse; of equals the one with the lower validation total."""
    gains: dict[str, int] = {}
    for one in found:
        if one.p_holm < SIGNIFICANT:
            gains[one.candidate] = gains.get(one.candidate, 0) + (1 if one.wins > one.losses else -len(found))
    good = [name for name in eligible if gains.get(name, 0) > 0]
    return max(good, key=lambda name: (gains[name], -eligible.index(name))) if good else None


def against(measures: SpeechMeasures, candidate: str, other: str) -> Iterator[FigureTest]:
    """Every figure with a better direction, over the lines and seeds that both spoke; p is not corrected yet."""
    mine, theirs = _values(measures, candidate), _values(measures, other)
    for record in measures.figures:
        name, sign = record.figure.name, {"higher": 1, "lower": -1}.get(record.figure.better or "", 0)
        pairs = [
            (mine[place].get(name), theirs[place].get(name)) for place in sorted(set(mine) & set(theirs))
        ]
        ahead = [sign * (one - other) for one, other in pairs if one is not None and other is not None]
        wins, losses = sum(one > 0 for one in ahead), sum(one < 0 for one in ahead)
        if sign and ahead:
            yield FigureTest(candidate, other, name, wins, losses, statistics.sign_test(wins, losses))


def _values(measures: SpeechMeasures, candidate: str) -> Values:
    return {(one.line_id, one.seed): one.values for one in measures.samples if one.candidate == candidate}
