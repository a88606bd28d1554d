"""Which pictures does a report draw? The same ones, each a file that stands alone, go to MLflow."""

import statistics
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from voicelathe.evaluate import evidence, scores
from voicelathe.evaluate.report import charts, exclusions, panels, scatter, templates, wording
from voicelathe.records import Level, Ranked, Selection, SpeechMeasures, StepRecord


def files(selection: Selection, steps: Sequence[StepRecord]) -> dict[str, str]:
    """File name -> SVG with its own colours, light; equal inputs give equal bytes."""
    decided = decision(selection)
    drawn = [
        *([("words against likeness", decided)] if decided else []),
        *((f"validation {name}", picture) for name, picture in losses(selection)),
        *((f"weight of {name}", picture) for name, picture in weights(selection)),
        *((f"probe {name}", picture) for name, picture in panels.pictures(selection)),
        *((f"training {name}", picture) for name, picture in training(steps)),
    ]
    return {f"{_file_name(name)}.svg": templates.standalone(picture) for name, picture in drawn}


def _file_name(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def decision(selection: Selection) -> Markup | None:
    """Words kept against likeness; None where one of both was not measured."""
    rows = [
        (row, one.levels[scores.LIKENESS], one.levels[scores.WORDS])
        for one in selection.evidence
        if {scores.LIKENESS, scores.WORDS} <= set(one.levels)
        for row in selection.ranking
        if row.candidate == one.candidate
    ]
    if not any(row.step for row, _, _ in rows):
        return None
    chosen = selection.selected
    dots = [
        _dot(
            wording.spoken(selection, row.candidate).removeprefix("the "),
            like,
            words,
            _kind(selection, row, chosen),
        )
        for row, like, words in rows
    ]
    if {scores.LIKENESS, scores.WORDS} <= set(selection.real):
        dots.append(
            _dot("real recordings", selection.real[scores.LIKENESS], selection.real[scores.WORDS], "real")
        )
    copies = selection.ceiling.copies if selection.ceiling else {}
    if {scores.LIKENESS, scores.WORDS} <= set(copies):
        dots.append(_dot("codec's copies", copies[scores.LIKENESS], copies[scores.WORDS], "real"))
    path = [
        (like.mean, words.mean)
        for row, like, words in sorted(rows, key=lambda one: one[0].step)
        if _is_on_path(row)
    ]
    return scatter.picture(
        "Words kept against likeness",
        "likeness to the speaker (cosine)",
        "words kept (1 \u2212 character errors)",
        dots,
        path,
        _floor(selection),
    )


def _dot(name: str, like: Level, words: Level, kind: str) -> scatter.Dot:
    ends = [(one.interval.low, one.interval.high) if one.interval else None for one in (like, words)]
    return scatter.Dot(name, like.mean, words.mean, ends[0], ends[1], kind)


def _kind(selection: Selection, row: Ranked, chosen: str | None) -> str:
    if row.candidate == chosen:
        return "chosen"
    if row.step == 0:
        return "base" if row.candidate in (evidence.BASE, selection.base) else "other"
    return "out" if exclusions.why(selection, row.candidate) else "tuned"


def _is_on_path(row: Ranked) -> bool:
    return row.candidate == evidence.BASE or (row.step > 0 and row.lora_scale in (None, 1.0))


def _floor(selection: Selection) -> tuple[float, str] | None:
    """The fewest words a candidate may keep: the base's, less the margin and what the speaker's own recordings are below it."""
    base = next((one for one in selection.evidence if one.candidate == selection.base), None)
    guard = next((g for one in selection.evidence for g in one.guards if g.measure == scores.WORDS), None)
    if base is None or guard is None or scores.WORDS not in base.levels:
        return None
    return base.levels[
        scores.WORDS
    ].mean - guard.margin - guard.allowance, "fewest words a candidate may keep"


def losses(selection: Selection) -> list[tuple[str, Markup]]:
    """The total, then each component: a falling component beside a rising total is the final-checkpoint trap."""
    pictures = [("weighted total", _loss_chart(selection, None))]
    return pictures + [
        (f"loss/{name}", _loss_chart(selection, name)) for name in sorted(selection.loss_weights)
    ]


def _loss_chart(selection: Selection, component: str | None) -> Markup:
    def value(row: Ranked) -> float:
        return row.total if component is None else row.losses[component]

    tuned = sorted((row for row in selection.ranking if row.step), key=lambda row: row.step)
    nominee = next((row for row in tuned if row.candidate == selection.by_loss), None)
    lines = []
    for number, scale in enumerate(scales(selection)):
        rows = [row for row in tuned if row.lora_scale == scale]
        whiskers = [_whisker(row, nominee) if component is None else None for row in rows]
        name = "checkpoints" if scale is None else f"LoRA scale {scale:g}"
        lines.append(charts.Curve(name, [(row.step, value(row)) for row in rows], number % 8 + 1, whiskers))
    base = next(row for row in selection.ranking if row.candidate == selection.base)
    chosen = selection.selected or selection.by_loss
    marks = [
        charts.Mark(row.step, value(row), f"step {row.step}", "chosen" if selection.selected else "last")
        for row in tuned
        if row.candidate == chosen
    ]
    last = min((row for row in tuned if row.step == tuned[-1].step), key=lambda row: row.total)
    if last.candidate != chosen:
        marks.append(charts.Mark(last.step, value(last), "last", "last"))
    return charts.curves(
        f"Validation {component or 'total'} of every checkpoint", lines, (value(base), "base"), marks
    )


def scales(selection: Selection) -> list[float | None]:
    return sorted({row.lora_scale for row in selection.ranking if row.step}, key=lambda scale: scale or 0.0)


def _whisker(row: Ranked, nominee: Ranked | None) -> tuple[float, float] | None:
    """The interval of the distance to the lowest, drawn around the candidate's own total."""
    interval = row.behind_by_recording or row.behind_by_clip
    return (nominee.total + interval.low, nominee.total + interval.high) if nominee and interval else None


def by_scale(selection: Selection, measures: SpeechMeasures) -> list[tuple[str, Markup]]:
    """The validation total and each figure with a better direction over the LoRA scales, one line a step that was swept."""
    steps = sorted({row.step for row in selection.ranking if row.lora_scale not in (None, 1.0)})
    rows = [row for row in selection.ranking if row.step in steps]
    if not steps:
        return []
    totals = {row.candidate: row.total for row in rows}
    drawn = [("weighted total", _over_scales("Validation total", rows, steps, totals))]
    for record in measures.figures:
        name = record.figure.name
        medians = {
            row.candidate: statistics.median(known)
            for row in rows
            if (
                known := [
                    v
                    for one in measures.samples
                    if one.candidate == row.candidate and (v := one.values.get(name)) is not None
                ]
            )
        }
        if record.figure.better and medians:
            drawn.append(
                (f"{name}, {record.figure.better} is better", _over_scales(name, rows, steps, medians))
            )
    return drawn


def _over_scales(
    title: str, rows: Sequence[Ranked], steps: Sequence[int], values: Mapping[str, float]
) -> Markup:
    lines = []
    for number, step in enumerate(steps):
        points = sorted(
            (row.lora_scale or 0.0, values[row.candidate])
            for row in rows
            if row.step == step and row.candidate in values
        )
        lines.append(charts.Curve(f"step {step}", points, number % 8 + 1, x_name="LoRA scale"))
    return charts.curves(f"{title} by LoRA scale", [line for line in lines if line.points])


def weights(selection: Selection) -> list[tuple[str, Markup]]:
    """One bar a component; a candidate has the same colour in all of them."""
    winners = sorted({one.candidates[0] for one in selection.robustness})
    pictures = []
    for component in sorted({one.component for one in selection.robustness}):
        spans = []
        for one in (part for part in selection.robustness if part.component == component):
            name = " = ".join(wording.spoken(selection, candidate) for candidate in one.candidates)
            colour = winners.index(one.candidates[0]) % 8 + 1
            spans.append(charts.Span(name, name.replace("step ", ""), one.low, one.high, colour))
        weight = selection.loss_weights[component]
        pictures.append((component, charts.ranges(f"Winner by the weight of {component}", spans, weight)))
    return pictures


def training(steps: Sequence[StepRecord]) -> list[tuple[str, Markup]]:
    if not steps:
        return []
    curves = [("loss/total", [(one.step, one.total) for one in steps])]
    curves += [
        (f"loss/{name}", [(one.step, one.losses[name]) for one in steps]) for name in sorted(steps[0].losses)
    ]
    curves += [
        ("grad_norm", [(one.step, one.grad_norm) for one in steps]),
        ("lr", [(one.step, one.learning_rate) for one in steps]),
    ]
    return [
        (name, charts.band(f"Training {name}", points, number % 8 + 1))
        for number, (name, points) in enumerate(curves)
    ]
