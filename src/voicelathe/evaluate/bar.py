"""Which of the two bases is the one to beat: without a prompt, or with a clip of the speaker in front?

A fine-tune is worth shipping when it beats the better of what the base can do without it, and better is what is heard. So the base
with fewer failed or vetoed samples is the bar; of equals the one that is ahead in more figures; of equals, or where no metric
measured both, the one with the lower validation total. Nothing must be significant for that: it chooses a bar, not a winner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from voicelathe.evaluate import design, evidence, statistics, strengths
from voicelathe.records import FigureTest, SampleRecord, SpeechMeasures


@dataclass(frozen=True)
class Bar:
    """The base to beat, and why it is that one."""

    name: str
    because: str  # empty where there is only one base


def choose(
    bases: Sequence[str],
    samples: Sequence[SampleRecord],
    measures: SpeechMeasures,
    codes: Sequence[str],
    totals: Mapping[str, float],
) -> Bar:
    """`codes`: the vetoes that count; `totals`: validation totals of the bases."""
    by_loss = sorted(bases, key=lambda name: totals[name])
    if len(by_loss) == 1:
        return Bar(by_loss[0], "")
    first, second = by_loss
    if not all(_is_judged(name, samples, measures) for name in by_loss):
        return Bar(first, "the lower validation total, as no metric measured both")
    failed = {name: _failed(name, samples, measures, codes) for name in by_loss}
    if failed[first] != failed[second]:
        better, worse = sorted(by_loss, key=lambda name: failed[name])
        return Bar(
            better, f"fewer of its samples failed or were vetoed: {failed[better]} against {failed[worse]}"
        )
    tests = list(strengths.against(measures, first, second))
    lead = len(leads(tests)) - len(leads(tests, behind=True))
    if lead == 0:
        return Bar(first, "the lower validation total, as they were heard alike")
    turned = tests if lead > 0 else [replace(one, wins=one.losses, losses=one.wins) for one in tests]
    return Bar(first if lead > 0 else second, f"heard better: {described(turned)}")


def heard(measures: SpeechMeasures, candidate: str, base: str) -> list[FigureTest]:
    """Every figure of a candidate against the base, line by line; p corrected for the number of figures."""
    found = list(strengths.against(measures, candidate, base))
    corrected = statistics.holm([one.p_holm for one in found])
    return [replace(one, p_holm=round(p, 9)) for one, p in zip(found, corrected, strict=True)]


def leads(tests: Sequence[FigureTest], behind: bool = False) -> list[FigureTest]:
    """The figures that are better on more lines than they are worse; or the other way."""
    return [one for one in tests if (one.losses > one.wins if behind else one.wins > one.losses)]


def described(tests: Sequence[FigureTest]) -> str:
    """`ahead in similarity (8 to 0 lines); behind in wer (3 to 5 lines)`."""
    parts = [("ahead", leads(tests)), ("behind", leads(tests, behind=True))]
    return "; ".join(
        f"{word} in " + ", ".join(f"{one.figure} ({one.wins} to {one.losses} lines)" for one in some)
        for word, some in parts
        if some
    )


def _is_judged(name: str, samples: Sequence[SampleRecord], measures: SpeechMeasures) -> bool:
    """Whether a metric measured it, or it was asked and every single sample failed."""
    mine = [one for one in samples if one.candidate == name]
    failed = bool(mine) and all(one.problem in evidence.HARD_FAILURES for one in mine)
    return failed or evidence.is_measured(name, measures)


def _failed(
    name: str, samples: Sequence[SampleRecord], measures: SpeechMeasures, codes: Sequence[str]
) -> int:
    vetoed = {
        (one.line_id, one.seed)
        for one in measures.samples
        if one.candidate == name and set(one.vetoes) & set(codes)
    }
    broken = {
        (one.line_id, one.seed) for one in samples if one.candidate == name and not design.is_hearable(one)
    }
    return len(vetoed | broken)
