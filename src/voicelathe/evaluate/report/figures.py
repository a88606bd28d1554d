"""The table of metrics in a report: what each candidate sounds like in numbers, beside real recordings and the limits they set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicelathe.evaluate.report import wording
from voicelathe.records import Figure, FigureRecord, MeasuredSample, Selection, SpeechMeasures


@dataclass(frozen=True)
class Column:
    """One figure: its name, unit, meaning, what real clips show, and the limits."""

    name: str
    unit: str
    says: str
    real: str
    limits: str


@dataclass(frozen=True)
class Row:
    """One candidate: the median of each figure over its samples, and what was vetoed how often."""

    label: str
    cells: list[tuple[str, bool]]  # text, and whether a sample is outside the limits
    vetoes: str


@dataclass(frozen=True)
class Table:
    """Everything the template prints."""

    columns: list[Column]
    rows: list[Row]
    missing: list[str]  # metrics without figures, and why
    num_real: int


ACCENT = Column("accent shift", "share", "toward the speaker, from the base to beat", "\u2013", "\u2013")


def table(measures: SpeechMeasures, selection: Selection) -> Table:
    """Candidates by step; medians, because one broken sample must not hide what the others are like."""
    shifted = {one.candidate: wording.accent(one) for one in selection.accents}
    added = [ACCENT] if shifted else []
    by_step = sorted(selection.ranking, key=lambda row: (row.step, row.lora_scale or 0.0, row.candidate))
    return Table(
        [_column(one) for one in measures.figures] + added,
        [_row(selection, row.candidate, measures, shifted) for row in by_step],
        [
            f"{one.metric}: {one.status.replace('_', ' ')}, {one.detail}"
            for one in measures.metrics
            if not one.is_whole
        ],
        measures.num_real,
    )


def _column(one: FigureRecord) -> Column:
    ends = [
        f"at least {_number(one.low)}" if one.low is not None else "",
        f"at most {_number(one.high)}" if one.high is not None else "",
    ]
    real = _number(one.real_median)
    if one.real_low is not None and one.real_high is not None:
        real += f" ({_number(one.real_low)} to {_number(one.real_high)})"
    name, unit = _named(one.figure)
    return Column(name, unit, one.figure.says, real, ", ".join(filter(None, ends)) or "\u2013")


def _named(figure: Figure) -> tuple[str, str]:
    """Name and unit in words; the unit stands in the name of a figure already, and is printed once."""
    if figure.name.endswith("_per_s"):
        return figure.name.replace("_", " "), ""
    suffix = {"semitones": "_st"}.get(figure.unit, f"_{figure.unit.lower()}")
    return figure.name.removesuffix(suffix).replace("_", " "), figure.unit


def _row(selection: Selection, candidate: str, measures: SpeechMeasures, shifted: Mapping[str, str]) -> Row:
    mine = [one for one in measures.samples if one.candidate == candidate]
    counts: dict[str, int] = {}
    for one in mine:
        for code in one.vetoes:
            counts[code] = counts.get(code, 0) + 1
    said = ", ".join(f"{code} {number}" for code, number in sorted(counts.items()))
    cells = [_cell(one, mine) for one in measures.figures]
    if shifted:
        cells.append((shifted.get(candidate, "\u2013"), False))
    return Row(wording.spoken(selection, candidate), cells, said or "\u2013")


def _cell(figure: FigureRecord, mine: Sequence[MeasuredSample]) -> tuple[str, bool]:
    known = [value for one in mine if (value := one.values.get(figure.figure.name)) is not None]
    outside = any(
        (figure.low is not None and value < figure.low) or (figure.high is not None and value > figure.high)
        for value in known
    )
    return (_number(float(np.median(known))) if known else "\u2013"), outside


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3g}".replace("-", "\u2212")
