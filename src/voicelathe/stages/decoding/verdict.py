"""Which settings are recommended? Those that lose nothing against the ones in use, and are better, or as good and cheaper.

Nothing is lost where every guard of the recipe is passed (non-inferiority: docs/choosing.md), no stratum is shown to lose more than its
margin, and likeness loses no more than `chances.NEAR`. Better is who is shown to be nearer to the speaker or to keep more words, with an
interval above zero; p values are corrected for all that raced, dropped ones among them (Holm 1979). Cheaper is who computes less by a
count of steps or beams: no clock decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voicelathe.evaluate import chances, guards, statistics
from voicelathe.evaluate.scores import LIKENESS, WORDS
from voicelathe.records import Evidence, LineTest, TriedDecoding

IN_USE, BETTER, CHEAPER = "in_use", "better", "as_good_and_cheaper"
NO_GAIN, NOT_SHOWN, FAILS = guards.NO_GAIN, guards.NOT_SHOWN, guards.FAILS
DROPPED, NOT_MEASURED = guards.DROPPED, guards.NOT_MEASURED
GAINS = (LIKENESS, WORDS)


def gains(names: Sequence[str], against: guards.Bar) -> dict[str, list[LineTest]]:
    """Likeness and words of everybody against the setting in use; p_better corrected over all of them."""
    tests = [
        test
        for name in names
        for measure in GAINS
        if name != against.base and (test := against.test(measure, name)) is not None
    ]
    corrected = statistics.holm([one.p_better for one in tests])
    found: dict[str, list[LineTest]] = {name: [] for name in names}
    for one, p in zip(tests, corrected, strict=True):
        found[one.candidate].append(replace(one, p_better=round(p, 9)))
    return found


def standing(one: Evidence, own: Sequence[LineTest], work: float, work_in_use: float) -> str:
    """What all of this comes to. `own`: its gains."""
    verdicts = {guard.verdict for guard in one.guards}
    if one.standing == guards.BASELINE:
        return IN_USE
    if guards.FAILED in verdicts or one.worse_in:
        return FAILS
    if one.dropped is not None:
        return DROPPED
    likeness = next((test for test in own if test.measure == LIKENESS), None)
    if guards.NOT_MEASURED in verdicts or likeness is None:
        return NOT_MEASURED
    if guards.NOT_SHOWN in verdicts or likeness.interval.low <= -chances.NEAR:
        return NOT_SHOWN
    if any(guards.is_nearer(test) for test in own):
        return BETTER
    return CHEAPER if work < work_in_use else NO_GAIN


def recommended(tried: Sequence[TriedDecoding]) -> tuple[str | None, str | None]:
    """The better one most like the speaker, and of those that are no worse the one that computes least; of equals the most like the speaker."""
    in_use = next(one for one in tried if one.standing == IN_USE)
    better = [one for one in tried if one.standing == BETTER]
    cheaper = [one for one in tried if one.standing in (BETTER, CHEAPER) and one.work < in_use.work]
    best = max(better, key=_ahead, default=None)
    least = min(cheaper, key=lambda one: (one.work, -_ahead(one)), default=None)
    return best.name if best else None, least.name if least else None


def _ahead(one: TriedDecoding) -> float:
    return next(test.difference for test in one.gains if test.measure == LIKENESS)


def tried(
    evidence: Sequence[Evidence],
    against: guards.Bar,
    who: Mapping[str, tuple[str, dict[str, float], float]],
) -> list[TriedDecoding]:
    """One row a name, in the order of the evidence. `who`: name -> candidate, settings, work."""
    own = gains([one.candidate for one in evidence], against)
    rows = []
    for one in evidence:
        candidate, decoding, work = who[one.candidate]
        found = own[one.candidate]
        rows.append(
            TriedDecoding(
                one.candidate, candidate, decoding, work, one.levels, one.guards, one.worse_in, found, one.dropped,
                standing(one, found, work, who[against.base][2]),
            )
        )  # fmt: skip
    return rows
