"""Why was this checkpoint chosen? One offline page per recipe: the decision in plain words, then everything it rests on.

It shows what the selection record holds and decides nothing itself. Pictures are SVG, samples lie inside the file, and equal inputs
give equal bytes: no date, no machine, no measured time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import records
from voicelathe.evaluate import (
    design,
    evidence,
    figures,
    pages,
    panels,
    pictures,
    preferences,
    reasons,
    sound,
)
from voicelathe.evaluate.selection import FEW_RECORDINGS
from voicelathe.records import (
    CheckpointRecord,
    Interval,
    Ranked,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
    StepRecord,
)

STYLES = ["common.css", "report.css"]
SCRIPTS = ["report.js"]
PROBLEMS = {
    "empty": "nothing was spoken",
    "silent": "only silence",
    "nonfinite": "not a number in the audio",
    "runaway": "cut at the length limit",
    "not_spoken": "not spoken: upstream's code is not installed",
}


def render(
    run: RunRecord,
    selection: Selection,
    steps: Sequence[StepRecord],
    checkpoints: Sequence[CheckpointRecord],
    samples: Sequence[SampleRecord],
    measures: SpeechMeasures,
    root: Path,
) -> str:
    """The page. Raises RecordError when the file of a sample is missing or is not the one that was spoken."""
    heard = [one for one in samples if design.is_hearable(one)]
    audio = sound.encode([sound.load(one, root) for one in heard])
    places = {(one.candidate, one.line_id, one.seed): number for number, one in enumerate(heard)}
    return pages.build(
        "report.html",
        STYLES,
        SCRIPTS,
        run=run,
        selection=selection,
        ships=selection.decision == "ship",
        headline=_headline(selection),
        tiles=_tiles(selection),
        rows=[_row(selection, row) for row in selection.ranking],
        components=sorted(selection.loss_weights),
        shows_clips=selection.num_recordings < FEW_RECORDINGS,
        losses=pictures.losses(selection),
        strengths=[f"strength {scale:g}" for scale in pictures.strengths(selection) if scale is not None],
        by_strength=pictures.by_strength(selection, measures),
        swept_steps=sorted({row.step for row in selection.ranking if row.lora_scale not in (None, 1.0)}),
        robustness=pictures.weights(selection),
        training=pictures.training(steps),
        num_steps=len(steps),
        table=_samples(selection, samples, places),
        lines=_lines(samples),
        measured=figures.table(measures, selection),
        probe_columns=panels.COLUMNS,
        probe_rows=panels.rows(selection),
        probe_pictures=panels.pictures(selection),
        listening=selection.listening,
        hears=preferences.hears,
        spoken=lambda name: reasons.spoken(selection, name),
        interval=_interval,
        identity=_identity(run),
        settings=sorted(records.to_json(run.identity.train).items()),
        disk=[(one, _size(one.bytes)) for one in checkpoints],
        disk_total=_size(sum(one.bytes for one in checkpoints if one.step)),
        audio=[(one.mime, pages.base64_text(one.data)) for one in audio],
    )


def _headline(selection: Selection) -> str:
    if selection.decision == "ship":
        return f"Ship {reasons.spoken(selection, selection.selected)}"
    if selection.decision == "not_heard":
        return "Do not ship: nothing was heard"
    return "Do not ship: " + (
        "every checkpoint has a veto" if selection.nominee is None else "the base is not beaten"
    )


def _tiles(selection: Selection) -> list[tuple[str, str, str]]:
    """(caption, figure, explanation) of what a hurried reader needs."""
    comparison = selection.against_base
    base = next(row for row in selection.ranking if row.candidate == selection.base)
    tiles = [
        (
            reasons.spoken(selection, base.candidate).removeprefix("the "),
            f"{base.total:.4f}",
            "validation total before training",
        )
    ]
    if comparison is not None:
        chosen = next(row for row in selection.ranking if row.candidate == comparison.candidate)
        change = comparison.difference / base.total if base.total else 0.0
        tiles.insert(
            0,
            (
                reasons.spoken(selection, chosen.candidate),
                f"{chosen.total:.4f}",
                f"validation total, {change:+.1%} against the base".replace("-", "\u2212"),
            ),
        )
        if chosen.win_probability is not None:
            tiles.append(
                ("chance to be lowest", f"{chosen.win_probability:.0%}", "share of resampled validation sets")
            )
    if selection.margin is not None:
        tiles.append(
            ("margin", f"{selection.margin:.4f}", f"to {reasons.spoken(selection, selection.runner_up)}")
        )
    recordings = f"from {selection.num_recordings} recording" + ("s" if selection.num_recordings != 1 else "")
    return [
        *tiles,
        ("evidence", f"{selection.num_clips} clip" + ("s" if selection.num_clips != 1 else ""), recordings),
    ]


@dataclass(frozen=True)
class _Row:
    """One line of the candidates' table."""

    ranked: Ranked
    label: str
    badges: list[tuple[str, str]]  # class, text
    share: float | None


def _row(selection: Selection, row: Ranked) -> _Row:
    badges = []
    if row.candidate == selection.selected:
        badges.append(("good", "ships"))
    if row.candidate == selection.nominee and row.candidate != selection.selected:
        badges.append(("", "nominated"))
    if row.step and row.is_tied and not row.vetoes:
        badges.append(("", "tie"))
    if row.step == 0:
        badges.append(("warn", "untrained base") if not selection.base_trained else ("", "before training"))
        if selection.against_base is not None and row.candidate == selection.against_base.against:
            badges.append(("", "to be beaten"))
    if row.step and row.step == max(one.step for one in selection.ranking):
        badges.append(("", "last"))
    badges += [("bad", f"veto: {veto}") for veto in row.vetoes[:2]]
    label = design.label(row.step, row.lora_scale, row.candidate == evidence.ZERO_SHOT)
    return _Row(row, label, badges, row.win_probability)


def _lines(samples: Sequence[SampleRecord]) -> list[tuple[str, int, str]]:
    return sorted({(one.line_id, one.seed, one.text) for one in samples})


def _samples(
    selection: Selection, samples: Sequence[SampleRecord], places: dict[tuple[str, str, int], int]
) -> list[tuple[_Row, list[dict[str, Any]]]]:
    """One row a candidate by step, one cell a line: a player, or the failure that stays visible."""
    found = {(one.candidate, one.line_id, one.seed): one for one in samples}
    by_step = sorted(selection.ranking, key=lambda row: (row.step, row.lora_scale or 0.0, row.candidate))
    table = []
    for row in by_step:
        cells = []
        for line, seed, _ in _lines(samples):
            one, place = found.get((row.candidate, line, seed)), places.get((row.candidate, line, seed))
            if one is None:  # a long line, which only the best candidates speak
                cells.append({"place": None, "seconds": 0.0, "problem": None, "line": line, "seed": seed})
                continue
            problem = PROBLEMS.get(one.problem, one.problem) if one.problem else None
            cells.append(
                {"place": place, "seconds": one.duration_s, "problem": problem, "line": line, "seed": seed}
            )
        table.append((_row(selection, row), cells))
    return table


def _interval(interval: Interval | None) -> str:
    return (
        "\u2013"
        if interval is None
        else f"{interval.low:+.4f} \u2026 {interval.high:+.4f}".replace("-", "\u2212")
    )


def _identity(run: RunRecord) -> list[tuple[str, str]]:
    one = run.identity
    return [
        ("run digest", run.run_digest),
        ("weights", run.directory),
        ("base", f"{one.base} ({one.family})"),
        ("base digest", one.base_digest),
        ("latents digest", one.latents_digest),
        ("seed", str(one.seed)),
        ("machine class", f"{one.device}, {one.threads} threads, torch {one.torch}"),
        ("train stage revision", str(one.revision)),
        ("training clips", f"{run.num_train_clips:,}"),
        (
            "parameters",
            f"{run.num_parameters:,}"
            + (f", {run.num_trainable:,} of them trained" if run.num_trainable is not None else ""),
        ),
    ]


def _size(number: int) -> str:
    value, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{value:.2f} {unit}"
