"""How does a candidate do on the lines it spoke, and against another on the same lines?

Four measures, each from 0 (nothing) upwards, higher is better: `words` kept (one minus character errors), `endings` (spoken to the
end, and stopped there), `quality` (an opinion score of noise and artefacts) and `likeness` (to the speaker's own recordings).
The unit of all evidence is the line; seeds of a line are averaged first. Two candidates are compared on the lines both of them spoke.

Claims of harm and claims of safety each err on the side of caution. An interval is widened by two pseudo-lines, one better and
one worse (Bonett and Price 2012, for paired proportions), so that a handful of perfect lines does not prove that nothing is ever lost.
A p value uses Student's t with a floor under the deviation, so that a few equal lines do not prove everything.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from voicelathe.evaluate import statistics
from voicelathe.evaluate.listening import design
from voicelathe.records import (
    LONG,
    NOT_SPOKEN,
    Interval,
    Level,
    LineTest,
    MeasuredSample,
    SampleRecord,
    SpeechMeasures,
)

WORDS, ENDINGS, QUALITY, LIKENESS = "words", "endings", "quality", "likeness"
UTILITY = (
    "utility"  # of a line: words kept x likeness; asked of a candidate against the base that is not the bar
)
MEASURES = (WORDS, ENDINGS, QUALITY, LIKENESS)
FIGURES = {WORDS: "cer", QUALITY: "p808", LIKENESS: "similarity"}  # of the metrics; endings need none
STAND_IN = "rough_cer"  # of PocketSphinx, where no recogniser is pinned
LAST_WORDS, MISSED = (
    "truncated",
    2.0,
)  # the figure of the recogniser, and from how many unheard last words on the end is missing
NOT_ALIGNED = "aligned"  # the figure of PocketSphinx: 0 where not all of the text is found
LATE = "trailing_silence"  # veto of a sample that goes on after its text
PSEUDO = {
    WORDS: 0.25,
    ENDINGS: 1.0,
    QUALITY: 0.5,
    LIKENESS: 0.05,
    UTILITY: 0.25,
}  # a line ruined, or saved, in each measure
FLOOR = {
    WORDS: 0.1,
    ENDINGS: 0.25,
    QUALITY: 0.1,
    LIKENESS: 0.02,
    UTILITY: 0.1,
}  # deviations smaller than that are luck
WORST_QUALITY = 1.0  # of an opinion score
LEVEL = 0.90  # of intervals: each end is wrong once in twenty
DIGITS = 6


@dataclass(frozen=True)
class Scores:
    """measure -> candidate -> line -> mean over its seeds. A measure that nothing could judge is not there."""

    values: Mapping[str, Mapping[str, Mapping[str, float]]]

    def has(self, measure: str, candidate: str) -> bool:
        return bool(self.values.get(measure, {}).get(candidate))

    def lines(self, candidate: str) -> list[str]:
        """Every line it spoke or failed to speak."""
        return sorted(self.values.get(ENDINGS, {}).get(candidate, {}))

    def mean(self, measure: str, candidate: str) -> float | None:
        own = self.values.get(measure, {}).get(candidate)
        return _mean(list(own.values())) if own else None


def of(samples: Sequence[SampleRecord], measures: SpeechMeasures) -> Scores:
    """From what was spoken and what the metrics say of it. Long lines are left out: not everybody speaks them.

    A failed sample kept no words and did not end; its likeness is not known.
    """
    judged = {(one.candidate, one.line_id, one.seed): one for one in measures.samples}
    offered = {one.figure.name for one in measures.figures}
    words = figure_of(WORDS, offered)
    rows: dict[str, dict[str, dict[str, list[float]]]] = {}
    for one in samples:
        if one.line_id.startswith(LONG) or one.problem == NOT_SPOKEN:
            continue
        found = judged.get((one.candidate, one.line_id, one.seed))
        values = found.values if found else {}
        hearable = design.is_hearable(one)
        seen: dict[str, float | None] = {ENDINGS: float(hearable and one.stopped and not _is_cut(found))}
        if words:
            errors = values.get(words) if hearable else 1.0
            seen[WORDS] = None if errors is None else kept(WORDS, errors)
        if FIGURES[QUALITY] in offered:
            seen[QUALITY] = values.get(FIGURES[QUALITY]) if hearable else WORST_QUALITY
        seen[LIKENESS] = values.get(FIGURES[LIKENESS]) if hearable else None
        for measure, value in seen.items():
            if value is not None:
                rows.setdefault(measure, {}).setdefault(one.candidate, {}).setdefault(one.line_id, []).append(
                    value
                )
    return Scores(
        {
            measure: {
                name: {line: _mean(values) for line, values in lines.items()} for name, lines in by.items()
            }
            for measure, by in rows.items()
        }
    )


def utilities(scores: Scores) -> Scores:
    """Words kept times likeness, of every line whose words and likeness are known; nothing where no words were kept."""
    words, likeness = (scores.values.get(measure, {}) for measure in (WORDS, LIKENESS))
    rows = {
        name: {
            line: kept * likeness.get(name, {}).get(line, 0.0)
            for line, kept in lines.items()
            if kept == 0.0 or line in likeness.get(name, {})
        }
        for name, lines in words.items()
        if likeness.get(name)
    }
    return Scores({UTILITY: rows})


def figure_of(measure: str, offered: Collection[str]) -> str | None:
    """The figure that a measure is read from; PocketSphinx's where no recogniser is pinned; None where nothing offers one."""
    wanted = [FIGURES[measure], *([STAND_IN] if measure == WORDS else [])]
    return next((one for one in wanted if one in offered), None)


def _is_cut(found: MeasuredSample | None) -> bool:
    """Whether metrics say that a sample ends before its text, or long after it. One misheard last word is no missing end."""
    if found is None:
        return False
    unheard = found.values.get(LAST_WORDS) or 0.0
    return unheard >= MISSED or found.values.get(NOT_ALIGNED) == 0.0 or LATE in found.vetoes


def kept(measure: str, figure: float) -> float:
    """A measure out of its figure: higher is better."""
    return 1.0 - min(1.0, figure) if measure == WORDS else figure


def real(measures: SpeechMeasures) -> dict[str, list[float]]:
    """measure -> what the speaker's own held-out recordings show; they end where they end."""
    known = {one.figure.name: one.real_values for one in measures.figures}
    found = {}
    for measure in FIGURES:
        figure = figure_of(measure, known)
        if values := known[figure] if figure else []:
            found[measure] = [kept(measure, one) for one in values]
    return found


def real_levels(measures: SpeechMeasures) -> dict[str, Level]:
    """Mean and interval of what the speaker's own recordings show."""
    return {measure: level(measure, values) for measure, values in real(measures).items()}


def level(measure: str, values: Sequence[float]) -> Level:
    """Mean and 90 % interval (Student's t); no interval from a single line."""
    mean, num = _mean(values), len(values)
    if num < 2:
        return Level(round(mean, DIGITS), None, num)
    half = (
        statistics.t_quantile(0.5 + LEVEL / 2, num - 1) * _deviation(values, FLOOR[measure]) / math.sqrt(num)
    )
    return Level(round(mean, DIGITS), Interval(round(mean - half, DIGITS), round(mean + half, DIGITS)), num)


def levels(scores: Scores, candidate: str) -> dict[str, Level]:
    """Of every measure that judged it."""
    return {
        measure: level(measure, list(scores.values[measure][candidate].values()))
        for measure in MEASURES
        if scores.has(measure, candidate)
    }


def test(
    scores: Scores,
    measure: str,
    candidate: str,
    against: str,
    lines: Sequence[str] | None = None,
    stratum: str | None = None,
    allowance: float = 0.0,
) -> LineTest | None:
    """One against another on the lines that both spoke (or on those of `lines`); None where no line was judged for both.

    `allowance` is granted to the candidate in p_worse. The order of lines does not matter.
    """
    mine, theirs = (scores.values.get(measure, {}).get(name, {}) for name in (candidate, against))
    common = sorted(set(mine) & set(theirs) & set(lines if lines is not None else mine))
    if not common:
        return None
    ahead = [mine[line] - theirs[line] for line in common]
    mean, num = _mean(ahead), len(ahead)
    widened = [*ahead, mean + PSEUDO[measure], mean - PSEUDO[measure]]
    error = _deviation(widened, 0.0) / math.sqrt(num + 2)
    half = statistics.t_quantile(0.5 + LEVEL / 2, num + 1) * error
    return LineTest(
        candidate=candidate,
        against=against,
        measure=measure,
        stratum=stratum,
        lines=num,
        difference=round(mean, DIGITS),
        interval=Interval(round(mean - half, DIGITS), round(mean + half, DIGITS)),
        probability=round(statistics.t_share(mean / error, num + 1), DIGITS),
        p_worse=round(_p_below(measure, [one + allowance for one in ahead]), 9),
        p_better=round(_p_below(measure, [-one for one in ahead]), 9),
    )


def lines_needed(found: LineTest, distance: float) -> int | None:
    """About how many lines would show a difference of this size; None where more than a hundred times as many would be needed."""
    half = (found.interval.high - found.interval.low) / 2
    if distance <= half / 10:
        return None
    return math.ceil((found.lines + 2) * (half / distance) ** 2)


def _p_below(measure: str, values: Sequence[float]) -> float:
    """One-sided p of a mean this far below zero; 1 from a single value."""
    num = len(values)
    if num < 2:
        return 1.0
    error = _deviation(values, FLOOR[measure]) / math.sqrt(num)
    return statistics.t_share(_mean(values) / error, num - 1)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float], floor: float) -> float:
    mean = _mean(values)
    return max(math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1)), floor)
