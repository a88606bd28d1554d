"""What speaks against a candidate by itself, whatever the others do: outright failures, codes of metrics, and that nobody heard it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from voicelathe.config import schema
from voicelathe.evaluate import guards
from voicelathe.evaluate.evidence import BASE
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scores import ENDINGS, LATE, QUALITY, WORDS
from voicelathe.evaluate.scoring import judging
from voicelathe.records import (
    HARD_FAILURES,
    NOT_SPOKEN,
    Listening,
    MeasuredSample,
    Reason,
    SampleRecord,
    SpeechMeasures,
)

RUNAWAY = "runaway"
NOT_MEASURED = "not_measured"  # spoken, and judged by nobody
# Codes whose question a guard asks of the base, too.
COMPARED = {"garbled": WORDS, "truncated": ENDINGS, LATE: ENDINGS, "artefacts": QUALITY}
MAJORITY = 0.5  # what fails more often than not is no voice
Place = tuple[str, int]  # line and seed


def vetoes(samples: Sequence[SampleRecord], base_trained: bool, max_share: float) -> dict[str, list[Reason]]:
    """Per candidate, why it must not ship: hard failures, and running away on more than `max_share` of the lines where the base stops.

    An untrained base stops by accident or not at all, so it cannot show that a line ends: running away is then no veto.
    """
    found: dict[str, list[Reason]] = {}
    for one in samples:
        if one.problem in HARD_FAILURES:
            found.setdefault(one.candidate, []).append(
                Reason(one.problem, f"line {one.line_id}, seed {one.seed}")
            )
    for name, (ran, total, first) in _runaways(samples).items() if base_trained else ():
        if ran > max_share * total:
            found.setdefault(name, []).append(Reason(RUNAWAY, f"{ran} of {total} samples, {first}"))
    return found


def _runaways(samples: Sequence[SampleRecord]) -> dict[str, tuple[int, int, str]]:
    """Candidate -> how often it ran away where the base stops by itself, of how many such samples, and the first of them."""
    stops = {
        (one.line_id, one.seed)
        for one in samples
        if one.candidate == BASE and one.problem is None and one.stopped
    }
    places: dict[str, list[SampleRecord]] = {}
    for one in sorted(samples, key=lambda one: (one.line_id, one.seed)):
        if (one.line_id, one.seed) in stops:
            places.setdefault(one.candidate, []).append(one)
    ran = {name: [one for one in mine if one.problem == RUNAWAY] for name, mine in places.items()}
    return {
        name: (len(bad), len(places[name]), f"line {bad[0].line_id}, seed {bad[0].seed}")
        for name, bad in ran.items()
        if bad
    }


@dataclass(frozen=True)
class MetricFailures:
    """What metrics say of each candidate: why it must not ship, and what is worth knowing."""

    vetoes: dict[str, list[Reason]]
    notes: dict[str, list[Reason]]


def measured_vetoes(
    measures: SpeechMeasures, samples: Sequence[SampleRecord], select: schema.Select
) -> MetricFailures:
    """Codes that a candidate shows: a reason against it where it shows one too often (`is_too_often`), else a note."""
    spoke: dict[str, set[Place]] = {}
    for each in samples:
        spoke.setdefault(each.candidate, set()).add((each.line_id, each.seed))
    shown = codes(measures)
    heard = MetricFailures({}, {})
    for name, found in shown.items():
        for code, mine in sorted(found.items()):
            base, num = shown.get(BASE, {}).get(code, {}).keys() & spoke[name], len(spoke[name])
            beside, first = _beside(name, code, base, select), _example(code, mine, base, measures)
            text = f"{len(mine)} of {num} samples{beside}, {first}"
            excludes = is_too_often(code, mine.keys(), base, num, select)
            (heard.vetoes if excludes else heard.notes).setdefault(name, []).append(Reason(code, text))
    return heard


def codes(measures: SpeechMeasures) -> dict[str, dict[str, dict[Place, MeasuredSample]]]:
    """Candidate -> code -> its samples that show it, by line and seed."""
    shown: dict[str, dict[str, dict[Place, MeasuredSample]]] = {}
    for each in sorted(measures.samples, key=lambda each: (each.line_id, each.seed)):
        for code in each.vetoes:
            shown.setdefault(each.candidate, {}).setdefault(code, {})[each.line_id, each.seed] = each
    return shown


def is_too_often(
    code: str, mine: Collection[Place], base: Collection[Place], num_samples: int, select: schema.Select
) -> bool:
    """Whether a code that a candidate shows in the samples `mine` excludes it; `base`: the same lines where the base shows it.

    It does on more than `max_vetoed_share` of all samples. What a guard compares with the base (words, endings, quality) counts only
    where the base is free of it: no fine-tune is excluded for what the base does as often. On more than half of all samples it
    excludes whatever the base does.
    """
    if code not in select.vetoes:
        return False
    if not _has_example(code, select):
        return len(mine) > select.max_vetoed_share * num_samples
    own = set(mine) - set(base)
    return len(own) > select.max_vetoed_share * (num_samples - len(base)) or len(mine) > num_samples * max(
        MAJORITY, select.max_vetoed_share
    )


def _has_example(code: str, select: schema.Select) -> bool:
    return COMPARED.get(code) in guards.margins(select.guards)


def _beside(name: str, code: str, base: Collection[Place], select: schema.Select) -> str:
    return f" (the base in {len(base)})" if name != BASE and base and _has_example(code, select) else ""


def _example(
    code: str, mine: Mapping[Place, MeasuredSample], base: Collection[Place], measures: SpeechMeasures
) -> str:
    """The first sample that shows the code, if possible one where the base does not."""
    first = next((found for place, found in mine.items() if place not in base), next(iter(mine.values())))
    return f"line {first.line_id} ({_outside(first, code, measures)})"


def _outside(one: MeasuredSample, code: str, measures: SpeechMeasures) -> str:
    """What is outside its limits, as its metric says it; the short form of metrics.json where limits are not on record."""
    for record in measures.figures:
        problem = judging.outside(one.values.get(record.figure.name), record.low, record.high)
        if record.figure.veto == code and problem:
            return f"{record.figure.says}: {problem}"
    return one.vetoes[code]


def unheard(
    candidate: str, samples: Sequence[SampleRecord], measures: SpeechMeasures, listening: Listening | None
) -> str | None:
    """Why nobody has heard this candidate: it spoke nothing, or neither a metric nor a listener judged what it spoke. None: it was heard."""
    spoke = any(one.candidate == candidate and design.is_hearable(one) for one in samples)
    judged = listening is not None and any(one.candidate == candidate for one in listening.strengths)
    if not spoke:
        return NOT_SPOKEN
    return None if judged or is_measured(candidate, measures) else NOT_MEASURED


def is_measured(candidate: str, measures: SpeechMeasures) -> bool:
    """Whether any metric gave any value for anything it said."""
    mine = (one.values for one in measures.samples if one.candidate == candidate)
    return any(value is not None for values in mine for value in values.values())


def joined(*parts: Mapping[str, list[Reason]]) -> dict[str, list[Reason]]:
    """The reasons of several tables, candidate by candidate."""
    return {name: [text for part in parts for text in part.get(name, [])] for part in parts for name in part}


def remarks(samples: Sequence[SampleRecord], excluded: Mapping[str, list[Reason]]) -> dict[str, list[Reason]]:
    """Per candidate, what went wrong without excluding it: running away where the base gives no measure, lines nobody could speak."""
    lines = Counter(one.candidate for one in samples)
    counts = Counter((one.candidate, one.problem) for one in samples if one.problem in (RUNAWAY, NOT_SPOKEN))
    found: dict[str, list[Reason]] = {}
    for (name, problem), count in counts.items():
        if not any(veto.code == problem for veto in excluded.get(name, [])):
            found.setdefault(name, []).append(Reason(str(problem), f"on {count} of {lines[name]} lines", " "))
    return found
