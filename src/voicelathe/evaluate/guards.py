"""Does a candidate lose anything against the better base? Then: did its voice come nearer to the speaker?

A guard is passed when the candidate is shown to be no worse than the base by more than a margin (non-inferiority): its interval lies
above the margin. It fails when the candidate is shown to be worse, and by more than the margin. In between nothing is shown, and
nothing ships; nor where a tenth of the lines was not judged at all. No copy can be better than its original: where the speaker's own recordings are below the base, the candidate may be, too.
In each stratum of the lines (kind of sentence, language, speaker) a candidate that is shown to lose more than the margin fails,
however good it is on average; p values are corrected for the number of strata (Holm 1979).
The other base is an alternative, too, where it is not vetoed (but for its words) and keeps endings and quality: a candidate fails that is shown to be worse than it in words kept times likeness (each at 5 %: a correction
would protect candidates and not users), or a fine-tune would ship where a clip of the speaker in front of the base does more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from voicelathe.config import schema
from voicelathe.evaluate import scores, statistics
from voicelathe.evaluate.evidence import BASES
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, QUALITY, UTILITY, WORDS, Scores
from voicelathe.records import Drop, Evidence, Fallback, Guard, LineTest

SIGNIFICANT = 0.05
MIN_LINES = 3  # of a stratum that is judged by itself
MIN_JUDGED = 0.9  # of the lines that both spoke: what was judged on fewer could be the easy ones, or one language of two
JUDGED_BY_STRATUM = (WORDS, ENDINGS)
FIT_BY = (ENDINGS, QUALITY)
PRICED = ("garbled", "wrong_speaker")  # vetoes of what words times likeness tells by itself
PASSED, FAILED, NOT_SHOWN, NOT_MEASURED = "passed", "failed", "not_shown", "not_measured"
PASSES, FAILS, DROPPED, NO_GAIN = "passes", "fails", "dropped", "no_gain"  # standings, as are the last two
BASELINE = "baseline"  # the standing of the base to beat, which is not judged against itself


def margins(how: schema.Guards) -> dict[str, float]:
    """measure -> margin, of the guards that are on."""
    named = {WORDS: how.words, ENDINGS: how.endings, QUALITY: how.quality}
    return {measure: margin for measure, margin in named.items() if margin is not None}


@dataclass(frozen=True)
class Bar:
    """What candidates are held against: the better base, and how far below it one may be."""

    found: Scores
    base: str
    margins: Mapping[str, float]  # of the guards that are on
    real: Mapping[str, float]  # measure -> mean of the speaker's own recordings

    def on(self, base: str) -> "Bar":
        """The same with another base."""
        return replace(self, base=base)

    def allowance(self, measure: str) -> float:
        """By how much the speaker's own recordings are below the base; nothing in likeness."""
        own = self.found.mean(measure, self.base)
        if own is None or measure not in self.real or measure == LIKENESS:
            return 0.0
        return round(max(0.0, own - self.real[measure]), scores.DIGITS)

    def test(
        self, measure: str, name: str, lines: Sequence[str] | None = None, stratum: str | None = None
    ) -> LineTest | None:
        """The candidate against the base, on the lines that both spoke."""
        return scores.test(self.found, measure, name, self.base, lines, stratum, self.allowance(measure))

    def is_below(self, test: LineTest) -> bool:
        """By more than a loss that does not count; whether it is shown is another question."""
        return test.difference + self.allowance(test.measure) < -self.margins[test.measure]


def bar(found: Scores, base: str, how: schema.Guards, real: Mapping[str, Sequence[float]]) -> Bar:
    """`real`: measure -> what the speaker's own recordings show."""
    means = {measure: sum(values) / len(values) for measure, values in real.items() if values}
    return Bar(found, base, margins(how), means)


def judge(
    names: Sequence[str],
    against: Bar,
    strata: Mapping[str, Sequence[str]],
    dropped: Mapping[str, Drop],
    unfit: Collection[str] = (),
) -> list[Evidence]:
    """One row a candidate, in the order given. `strata`: line -> its strata; `dropped`: whom the race dropped, and why; `unfit`: who has a veto."""
    gains, behind = _gains(names, against), _behind(names, against, unfit)
    return [
        _of(name, against, strata, dropped.get(name), gains.get(name), behind.get(name)) for name in names
    ]


def _of(
    name: str,
    against: Bar,
    strata: Mapping[str, Sequence[str]],
    dropped: Drop | None,
    gain: LineTest | None,
    behind: LineTest | None,
) -> Evidence:
    found = against.found
    lines, levels = len(found.lines(name)), scores.levels(found, name)
    if name == against.base:
        return Evidence(name, lines, levels, [], [], None, None, BASELINE)
    guards = [_guard(measure, name, against) for measure in against.margins]
    worse = _worse_strata(name, against, strata)
    standing = _standing(guards, worse, behind, gain, dropped)
    return Evidence(name, lines, levels, guards, worse, gain, dropped, standing, behind)


def _guard(measure: str, name: str, against: Bar) -> Guard:
    test = against.test(measure, name)
    said = verdict(test, against)
    if said == PASSED and not is_judged(test, against.found):
        said = NOT_MEASURED
    return Guard(measure, said, against.margins[measure], against.allowance(measure), test)


def is_judged(test: LineTest | None, found: Scores) -> bool:
    """On enough of the lines that both spoke, or failed to speak."""
    if test is None:
        return False
    common = set(found.lines(test.candidate)) & set(found.lines(test.against))
    return test.lines >= MIN_JUDGED * len(common)


def verdict(test: LineTest | None, against: Bar) -> str:
    """What the test of one measure comes to."""
    if test is None:
        return NOT_MEASURED
    if test.interval.low + against.allowance(test.measure) > -against.margins[test.measure]:
        return PASSED
    return FAILED if test.p_worse < SIGNIFICANT and against.is_below(test) else NOT_SHOWN


def _worse_strata(name: str, against: Bar, strata: Mapping[str, Sequence[str]]) -> list[LineTest]:
    members: dict[str, list[str]] = {}
    for line, names in strata.items():
        for one in names:
            members.setdefault(one, []).append(line)
    tests = [
        test
        for stratum, lines in sorted(members.items())
        for measure in JUDGED_BY_STRATUM
        if measure in against.margins
        and (test := against.test(measure, name, lines, stratum))
        and test.lines >= MIN_LINES
    ]
    corrected = statistics.holm([one.p_worse for one in tests])
    return [
        replace(one, p_worse=round(p, 9))
        for one, p in zip(tests, corrected, strict=True)
        if p < SIGNIFICANT and against.is_below(one)
    ]


def _gains(names: Sequence[str], against: Bar) -> dict[str, LineTest]:
    """Likeness of every candidate against the base; p_better corrected for their number."""
    others = [name for name in names if name != against.base]
    tests = [test for name in others if (test := against.test(LIKENESS, name)) is not None]
    corrected = statistics.holm([one.p_better for one in tests])
    return {
        one.candidate: replace(one, p_better=round(p, 9)) for one, p in zip(tests, corrected, strict=True)
    }


def _behind(names: Sequence[str], against: Bar, unfit: Collection[str]) -> dict[str, LineTest]:
    """Who is shown to be worse than the base that is not the bar, in words kept times likeness; nobody where that one is not fit to be taken."""
    if (other := _other(against, unfit)) is None:
        return {}
    found = scores.utilities(against.found)
    tests = [scores.test(found, UTILITY, name, other) for name in names if name not in BASES]
    return {one.candidate: one for one in tests if one is not None and one.p_worse < SIGNIFICANT}


def fallback(against: Bar, unfit: Collection[str]) -> Fallback:
    """With which base to speak where nothing ships. It need not be shown: one of both it has to be.

    Where both can be used, or neither, the one with more words kept times likeness.
    """
    base, found = against.base, scores.utilities(against.found)
    other = next((one for one in BASES if one != base and against.found.lines(one)), None)
    if other is None:
        return Fallback(base, None, "")
    out = _unusable(other, against, unfit)
    if len(out) == 1:
        ((name, because),) = out.items()
        return Fallback(base if name == other else other, None, because)
    test = scores.test(found, UTILITY, other, base)
    if test is None or test.difference <= 0.0:
        return Fallback(base, scores.test(found, UTILITY, base, other), "")
    return Fallback(other, test, "")


def _other(against: Bar, unfit: Collection[str]) -> str | None:
    """The base that is not the bar, where it was heard and can be used."""
    found = scores.utilities(against.found)
    other = next((one for one in BASES if one != against.base and found.has(UTILITY, one)), None)
    return other if other is not None and other not in _unusable(other, against, unfit) else None


def fit(other: str, against: Bar) -> bool:
    """Whether the other base keeps what words and likeness do not tell of: endings and quality, within the margins."""
    return other not in _unusable(other, against, ())


def _unusable(other: str, against: Bar, unfit: Collection[str]) -> dict[str, str]:
    """Which of the two bases nobody could use, and why: a veto, or less of endings or quality than the other keeps, by more than the margin."""
    out = {name: "is vetoed" for name in (against.base, other) if name in unfit}
    for measure in FIT_BY:
        test = against.test(measure, other) if measure in against.margins else None
        if test is not None and abs(test.difference) > against.margins[measure]:
            out.setdefault(other if test.difference < 0.0 else against.base, f"keeps less of its {measure}")
    return out


def is_nearer(gain: LineTest | None) -> bool:
    """Shown to be nearer to the speaker than the base, after correction for the number of candidates."""
    return gain is not None and gain.p_better < SIGNIFICANT and gain.interval.low > 0.0


def _standing(
    guards: Sequence[Guard],
    worse: Sequence[LineTest],
    behind: LineTest | None,
    gain: LineTest | None,
    dropped: Drop | None,
) -> str:
    verdicts = {one.verdict for one in guards}
    if FAILED in verdicts or worse or behind:
        return FAILS
    if dropped:
        return DROPPED
    if NOT_MEASURED in verdicts or gain is None:
        return NOT_MEASURED
    if NOT_SHOWN in verdicts:
        return NOT_SHOWN
    return PASSES if is_nearer(gain) else NO_GAIN
