"""How are the probes shown? Curves over the steps with the base as a dashed line, and one row a candidate."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from voicelathe.evaluate.report import charts, wording
from voicelathe.records import Interval, Probed, Ranked, Reason, Selection
from voicelathe.records.probes import KeptControl


@dataclass(frozen=True)
class ProbeRow:
    """One candidate: what each probe says, in words, and what is out of bounds."""

    label: str
    cells: list[str]
    findings: list[Reason]


COLUMNS = [
    (
        "adapter moves",
        "at LoRA scale 1, by what share of itself the output of its layers changes; at LoRA scale 0 nothing changes, to the last bit",
    ),
    ("another text", "by what share another clip's text raises the loss; 0: the text is ignored"),
    ("95 %", "over the probed clips"),
    (
        "ends early",
        "of the probed clips, fed with the real speech: would end more than a quarter of a second before the end",
    ),
    ("runs on", "would not end at the end"),
    ("overfitting", "by how much the distance from training to validation loss grew since the base"),
    ("other speakers", "by what share the loss on other speakers rose since the base"),
    ("95 %", "over those clips"),
]


CONTROL = (
    "control kept",
    "share that is left of what opposite controls make of the base's speech: pace, level and pitch, where the base follows them clearly",
)


def columns(selection: Selection) -> list[tuple[str, str]]:
    """The last one only where controls were asked."""
    return [*COLUMNS, CONTROL] if _asks(selection) else COLUMNS


def _asks(selection: Selection) -> bool:
    return any(one.controls is not None for one in selection.probes)


def _control(one: Probed) -> str:
    """`0.80 (pace 0.90, level 0.70)`, or what the base does not follow."""
    if one.controls is None:
        return "\u2013"
    parts = [f"{kept.kind} {_left(kept)}" for kept in one.controls]
    whole = "not judged" if one.control_kept is None else f"{_plain(f'{one.control_kept:.2f}')} of the base's"
    return f"{whole} ({', '.join(parts)})" if parts else "not judged (the base spoke no line under both)"


def _left(one: KeptControl) -> str:
    """The share, or why there is none."""
    if one.kept is not None:
        return _plain(f"{one.kept:.2f}")
    if one.base_interval is None:
        return f"on too few lines ({one.base_lines})"
    if not one.follows:
        return "not followed clearly by the base"
    return f"on {one.num_lines} of {one.base_lines} lines"


def rows(selection: Selection) -> list[ProbeRow]:
    """In the order of the steps."""
    return [
        ProbeRow(
            wording.spoken(selection, one.candidate),
            [
                "\u2013" if one.adapter_shift is None else f"{one.adapter_shift:.0%}",
                _change(one.text_gap), _ends(one.text_gap_interval), f"{one.stops_early_share:.0%}", f"{one.runs_on_share:.0%}",
                _signed(one.overfitting), _change(one.forgetting), _ends(one.forgetting_interval),
                *([_control(one)] if _asks(selection) else []),
            ],
            one.findings,
        )
        for one in selection.probes
    ]  # fmt: skip


def pictures(selection: Selection) -> list[tuple[str, Markup]]:
    """One curve a probe; adapters at LoRA scale 1."""
    found = []
    for name, title, value, ends in _CURVES:
        lines, level = _lines(selection, value, ends)
        if lines:
            found.append((name, charts.curves(title, lines, level)))
    return found


Value = Callable[[Probed], float | None]
_CURVES: list[tuple[str, str, Value, Callable[[Probed], Interval | None]]] = [
    ("another text raises the loss by", "Dependence on the text", lambda one: one.text_gap, lambda one: one.text_gap_interval),
    ("clips that would run on", "Ends of speech missed", lambda one: one.runs_on_share, lambda one: None),
    ("overfitting since the base", "Growth of the distance from training to validation", lambda one: one.overfitting, lambda one: None),
    ("loss on other speakers, against the base", "Forgetting", lambda one: one.forgetting, lambda one: one.forgetting_interval),
]  # fmt: skip


def _lines(
    selection: Selection, value: Value, ends: Callable[[Probed], Interval | None]
) -> tuple[list[charts.Curve], tuple[float, str] | None]:
    ranked = {row.candidate: row for row in selection.ranking}
    shown = [one for one in selection.probes if _is_full(ranked[one.candidate]) and value(one) is not None]
    if not shown:
        return [], None
    base = next((value(one) for one in selection.probes if ranked[one.candidate].step == 0), None)
    points = [(float(ranked[one.candidate].step), float(value(one) or 0.0)) for one in shown]
    whiskers = [(found.low, found.high) if (found := ends(one)) else None for one in shown]
    return [charts.Curve("checkpoints", points, 1, whiskers)], None if base is None else (base, "base")


def _is_full(row: Ranked) -> bool:
    return row.step > 0 and row.lora_scale in (None, 1.0)


def _change(value: float | None) -> str:
    return "\u2013" if value is None else _plain(f"{value:+.1%}")


def _signed(value: float) -> str:
    return _plain(f"{value:+.4f}")


def _plain(text: str) -> str:
    """A proper minus, and none before a zero."""
    return text.lstrip("+-") if not text.strip("+-0.%") else text.replace("-", "\u2212")


def _ends(interval: Interval | None) -> str:
    return "\u2013" if interval is None else f"{_change(interval.low)} \u2026 {_change(interval.high)}"
