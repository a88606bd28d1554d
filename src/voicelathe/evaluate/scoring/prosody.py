"""Does a candidate deliver its lines as the speaker does? Pauses, pitch range, pace and energy, beside the speaker's real clips.

The distance is the difference of the medians in standard deviations of the real clips. It has a sign, so it can say flat, and it is about
zero for the speaker's own other clips; a Wasserstein distance has none and is never zero.
`flat` is a note: a pitch range that is shown to be below the speaker's and below the base's on the same lines. It becomes a veto where
`select.vetoes` names it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from voicelathe import rng
from voicelathe.evaluate.metrics.prosody import ENERGY, LONGEST_PAUSE, PACE, PAUSE_SHARE, PITCH_RANGE
from voicelathe.evaluate.statistics import RESAMPLES, Floats, percentile_interval, rounded
from voicelathe.records import LONG, Delivery, Interval, Prosody, Reason, Selection, SpeechMeasures

FLAT = "flat"
CODES = (FLAT,)
UNITS = {  # figure -> smallest deviation that is used as a unit: real clips without pauses have none
    PAUSE_SHARE: 0.02,
    LONGEST_PAUSE: 0.05,
    PITCH_RANGE: 0.5,
    PACE: 0.5,
    ENERGY: 1.0,
}
NAMES = {
    PAUSE_SHARE: "pauses",
    LONGEST_PAUSE: "longest pause",
    PITCH_RANGE: "pitch range",
    PACE: "pace",
    ENERGY: "energy spread",
}
MIN_VALUES = 8  # lines, and real clips: with fewer a bootstrap interval is too narrow
FLAT_BELOW = -0.5  # deviations; a smaller difference is not called flat, however sure it is
DIGITS = 4


def judge(names: Sequence[str], base: str, measures: SpeechMeasures, seed: int) -> list[Prosody]:
    """One row a candidate whose lines were measured, in the order given. Long lines are left out: not everybody speaks them."""
    real = {one.figure.name: one.real_values for one in measures.figures if one.figure.name in UNITS}
    values = {name: _by_line(measures, name) for name in names}
    found = []
    for name in names:
        figures = {
            figure: delivery
            for figure in UNITS
            if (delivery := _delivery(values[name].get(figure, {}), real.get(figure, []), figure, seed))
        }
        if figures:
            mine, theirs = (values[one].get(PITCH_RANGE, {}) for one in (name, base))
            against = None if name == base else _against(mine, theirs, seed)
            lines = max(len(by_line) for by_line in values[name].values())
            found.append(Prosody(name, lines, figures, against, _flat(figures, against)))
    return found


def can_show(measures: SpeechMeasures) -> bool:
    """Whether there are enough real clips to call anybody flat."""
    return any(
        one.figure.name == PITCH_RANGE and len(one.real_values) >= MIN_VALUES for one in measures.figures
    )


def sentence(selection: Selection, name: str) -> str | None:
    """How the delivery of one candidate differs from the speaker's, in the figures that are shown to differ."""
    here = next((one for one in selection.prosody if one.candidate == name), None)
    if here is None:
        return None
    sure = [
        f"{NAMES[figure]} {_plain(one.distance)} ({one.median:.3g}, the speaker {one.real:.3g})"
        for figure, one in here.figures.items()
        if one.interval is not None and (one.interval.high < 0.0 or one.interval.low > 0.0)
    ]
    if not sure and all(one.interval is None for one in here.figures.values()):
        return f"Its delivery cannot be compared with the speaker's: that takes {MIN_VALUES} lines and {MIN_VALUES} real clips."
    if not sure:
        return "Its pauses, pitch range, pace and energy are not shown to differ from the speaker's."
    return f"Its delivery differs from the speaker's, in deviations of the real clips: {', '.join(sure)}."


def table(selection: Selection) -> list[tuple[str, list[tuple[str, str]], list[Reason]]]:
    """Candidate, (distance, interval) of every figure, findings."""
    return [
        (
            one.candidate,
            [_cell(one.figures.get(figure)) for figure in UNITS],
            one.findings,
        )
        for one in selection.prosody
    ]


def _cell(one: Delivery | None) -> tuple[str, str]:
    if one is None:
        return "\u2013", ""
    ends = one.interval
    shown = f"{_plain(ends.low)} \u2026 {_plain(ends.high)}" if ends else ""
    return f"{one.median:.3g} ({_plain(one.distance)})", shown


def _by_line(measures: SpeechMeasures, candidate: str) -> dict[str, dict[str, float]]:
    """figure -> line -> mean over its seeds."""
    rows: dict[str, dict[str, list[float]]] = {}
    for one in measures.samples:
        if one.candidate == candidate and not one.line_id.startswith(LONG):
            for figure in UNITS:
                if (value := one.values.get(figure)) is not None:
                    rows.setdefault(figure, {}).setdefault(one.line_id, []).append(value)
    return {
        figure: {line: float(np.mean(values)) for line, values in sorted(lines.items())}
        for figure, lines in rows.items()
    }


def _delivery(by_line: Mapping[str, float], real: Sequence[float], figure: str, seed: int) -> Delivery | None:
    if not by_line or len(real) < 2:
        return None
    mine, theirs = np.array([by_line[line] for line in sorted(by_line)]), np.sort(np.array(real))
    unit = max(float(theirs.std(ddof=1)), UNITS[figure])
    distance = (np.median(mine) - np.median(theirs)) / unit
    interval = None
    if min(len(mine), len(theirs)) >= MIN_VALUES:
        drawn = [
            _resampled(values, rng.key(seed, "bootstrap prosody", whose, figure))
            for values, whose in ((mine, "lines"), (theirs, "real"))
        ]
        interval = rounded(percentile_interval((drawn[0] - drawn[1]) / unit), DIGITS)
    known = [round(float(value), DIGITS) for value in (np.median(mine), np.median(theirs), distance)]
    return Delivery(known[0], known[1], known[2], interval)


def _against(mine: Mapping[str, float], base: Mapping[str, float], seed: int) -> Interval | None:
    """Of the difference on the lines that both spoke."""
    common = sorted(set(mine) & set(base))
    if len(common) < MIN_VALUES:
        return None
    ahead = np.array([mine[line] - base[line] for line in common])
    return rounded(percentile_interval(_resampled(ahead, rng.key(seed, "bootstrap prosody", "base"))), DIGITS)


def _resampled(values: Floats, key: int) -> Floats:
    """Medians of as many values drawn with replacement: a line whose pitch was lost for a moment must not hide a flat reading."""
    generator, num = np.random.Generator(np.random.PCG64(key)), len(values)
    return np.asarray(np.median(values[generator.integers(num, size=(RESAMPLES, num))], axis=1), np.float64)


def _flat(figures: Mapping[str, Delivery], against: Interval | None) -> list[Reason]:
    here = figures.get(PITCH_RANGE)
    if here is None or here.interval is None or against is None:
        return []
    if here.interval.high >= 0.0 or against.high >= 0.0 or here.distance > FLAT_BELOW:
        return []
    return [
        Reason(
            FLAT,
            f"pitch range {here.median:.1f} semitones, the speaker's {here.real:.1f} ({_plain(here.distance)} deviations); "
            f"{_plain(against.low)} to {_plain(against.high)} against the base on the same lines",
        )
    ]


def _plain(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\u2212")
