"""What speaks against a candidate by itself, whatever the others do: outright failures, codes of metrics, and that nobody heard it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicelathe.config import schema
from voicelathe.evaluate.evidence import BASE
from voicelathe.evaluate.listening import design
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
    """A code excludes a candidate when more than `max_vetoed_share` of its samples show it, failed ones counted as samples."""
    total = Counter(one.candidate for one in samples)
    shown: dict[str, dict[str, list[MeasuredSample]]] = {}
    for one in sorted(measures.samples, key=lambda one: (one.line_id, one.seed)):
        for code in one.vetoes:
            shown.setdefault(one.candidate, {}).setdefault(code, []).append(one)
    heard = MetricFailures({}, {})
    for name, codes in shown.items():
        for code, members in sorted(codes.items()):
            first = members[0]
            text = f"{len(members)} of {total[name]} samples, line {first.line_id} ({_outside(first, code, measures)})"
            excludes = code in select.vetoes and len(members) > select.max_vetoed_share * total[name]
            (heard.vetoes if excludes else heard.notes).setdefault(name, []).append(Reason(code, text))
    return heard


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
