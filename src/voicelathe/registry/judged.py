"""How was an exported candidate judged? The model card's part on losses, on what was heard, and on what metrics measured."""

import statistics
from collections.abc import Iterator, Sequence

from voicelathe.records import Interval, SpeechMeasures
from voicelathe.registry.gates import Case
from voicelathe.tracking.files import Shown


def evaluation(case: Case, measures: SpeechMeasures | None) -> Iterator[str]:
    """What was heard beside the base, then losses with their difference, and what metrics measured."""
    yield from _heard(case)
    rows = [one for one in case.files.candidates if one.candidate.step == 0] + [case.shown]
    names = sorted({name for one in rows if one.evaluation for name in one.evaluation.losses})
    yield "Losses on the validation split, which training never saw; lower is better.\n"
    yield f"| | total | {' | '.join(names)} | clips |\n|---|{'---:|' * (len(names) + 2)}"
    for one in rows:
        found = one.evaluation
        if found is not None:
            losses = " | ".join(f"{found.losses[name]:.4f}" for name in names)
            yield f"| {one.candidate.name} | {found.total:.4f} | {losses} | {found.num_clips} |"
    compared = case.files.selection.against_base
    if compared is not None and compared.candidate == case.shown.candidate.name:
        yield f"\nAgainst {compared.against}: {compared.difference:+.4f}, 95 % interval {_interval(compared.by_recording)} over recordings, {_interval(compared.by_clip)} over clips."
    else:
        yield "\nIts difference from the base was not given an interval: another candidate was compared."
    if measures is not None and measures.figures:
        yield from _figures(measures, rows)


def _heard(case: Case) -> Iterator[str]:
    """Words, endings, quality and likeness of the candidate against the base to beat, over the lines that both spoke."""
    selection = case.files.selection
    found = next((one for one in selection.evidence if one.candidate == case.shown.candidate.name), None)
    tests = [*(guard.test for guard in found.guards), found.gain] if found else []
    rows = [one for one in tests if one is not None]
    if not rows:
        yield "Nobody and nothing has heard whether it loses words or comes nearer to the speaker.\n"
        return
    yield f"Heard on {max(one.lines for one in rows)} lines that training never saw, against {rows[0].against}; higher is better.\n"
    yield "| measure | this model | against the base | 90 % interval |\n|---|---:|---:|---:|"
    for one in rows:
        own = found.levels[one.measure].mean if found else 0.0
        yield f"| {one.measure} | {own:.3f} | {one.difference:+.3f} | {one.interval.low:+.3f} to {one.interval.high:+.3f} |"
    yield ""


def _figures(measures: SpeechMeasures, rows: Sequence[Shown]) -> Iterator[str]:
    """Means over the spoken samples, beside the middle of real recordings."""
    spoken = {
        one.candidate.name: [s.values for s in measures.samples if s.candidate == one.candidate.name]
        for one in rows
    }
    yield f"\nMeans over spoken samples, and the middle of {measures.num_real} real recordings of the speaker.\n"
    yield f"| figure | real | {' | '.join(f'{name} ({len(values)})' for name, values in spoken.items())} |\n|---|{'---:|' * (len(spoken) + 1)}"
    for one in measures.figures:
        name = one.figure.name
        cells = [
            _mean([value for row in values if (value := row.get(name)) is not None])
            for values in spoken.values()
        ]
        real = "-" if one.real_median is None else f"{one.real_median:.4g}"
        yield f"| {name} ({one.figure.unit}) | {real} | {' | '.join(cells)} |"


def _interval(found: Interval | None) -> str:
    return "(too few for one)" if found is None else f"{found.low:+.4f} to {found.high:+.4f}"


def _mean(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.4g}" if values else "-"
