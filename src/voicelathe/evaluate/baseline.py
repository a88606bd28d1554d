"""Which of the bases is the one to beat: without a prompt, or with a clip of the speaker in front?

A fine-tune is worth shipping when it beats the better of what the base can do without it. The prompted base is the better one when it
is more like the speaker and loses nothing that a guard would miss; where neither was heard, the lower validation total decides.
Nothing must be significant for that: it chooses a baseline, not a winner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicelathe.evaluate import scores
from voicelathe.evaluate.evidence import BASE, ZERO_SHOT
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores


@dataclass(frozen=True)
class Baseline:
    """The base to beat, and why it is that one."""

    name: str
    because: str  # empty where there is only one base


def choose(
    bases: Sequence[str], found: Scores, margins: Mapping[str, float], totals: Mapping[str, float]
) -> Baseline:
    """`totals`: validation totals of the bases; `margins`: measure -> loss that does not count."""
    if ZERO_SHOT not in bases:
        return Baseline(BASE, "")
    if lost := _lost(found, margins, ZERO_SHOT, BASE):
        return Baseline(BASE, f"a clip of the speaker in front costs {lost}")
    if lost := _lost(found, margins, BASE, ZERO_SHOT):
        return Baseline(ZERO_SHOT, f"without a clip of the speaker in front it loses {lost}")
    likeness = scores.test(found, LIKENESS, ZERO_SHOT, BASE)
    if likeness is None or not found.has(WORDS, ZERO_SHOT):
        lower = min(sorted(bases), key=lambda name: totals[name])
        return Baseline(lower, "the lower validation total, as no metric heard both")
    if likeness.difference > 0.0:
        return Baseline(
            ZERO_SHOT,
            f"a clip of the speaker in front brings it nearer by {likeness.difference:.3f} and costs nothing",
        )
    return Baseline(
        BASE,
        f"a clip of the speaker in front does not bring it nearer ({likeness.difference:+.3f})".replace(
            "-", "\u2212"
        ),
    )


def _lost(found: Scores, margins: Mapping[str, float], name: str, against: str) -> str | None:
    """The first measure of which one base keeps less than the other, by more than the margin."""
    for measure, margin in margins.items():
        test = scores.test(found, measure, name, against)
        if test is not None and test.difference < -margin:
            return f"{-test.difference:.2f} of {measure}"
    return None
