"""Why was this checkpoint chosen? One offline page per recipe: the decision in plain words, then everything it rests on.

It shows what the selection record holds and decides nothing itself. Pictures are SVG, samples lie inside the file, and equal inputs
give equal bytes: no date, no machine, no measured time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe import records
from voicelathe.evaluate import evidence, scores
from voicelathe.evaluate.listening import design, preferences, sound
from voicelathe.evaluate.nomination import FEW_RECORDINGS
from voicelathe.evaluate.report import (
    exclusions,
    figures,
    panels,
    pictures,
    players,
    reasons,
    templates,
    wording,
)
from voicelathe.evaluate.scoring import prosody
from voicelathe.families import decoding
from voicelathe.records import (
    CheckpointRecord,
    Evidence,
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


def render(
    run: RunRecord,
    selection: Selection,
    steps: Sequence[StepRecord],
    checkpoints: Sequence[CheckpointRecord],
    samples: Sequence[SampleRecord],
    measures: SpeechMeasures,
    root: Path,
    real: Mapping[str, sound.DecodedSample],
) -> str:
    """The page. `real`: line -> what the speaker really said. Raises RecordError when the file of a sample is missing or is not the one that was spoken."""
    heard = [one for one in samples if design.is_hearable(one)]
    audio = sound.encode([*(sound.load(one, root) for one in heard), *real.values()])
    places = {(one.candidate, one.line_id, one.seed): number for number, one in enumerate(heard)}
    return templates.build(
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
        decided=pictures.decision(selection),
        by_loss=_by_loss(selection),
        judged=[_judged(selection, one) for one in selection.evidence],
        guarded=[(one.measure, one.margin) for one in selection.evidence[-1].guards],
        race=selection.race,
        losses=pictures.losses(selection),
        scales=[f"LoRA scale {scale:g}" for scale in pictures.scales(selection) if scale is not None],
        by_scale=pictures.by_scale(selection, measures),
        swept_steps=sorted({row.step for row in selection.ranking if row.lora_scale not in (None, 1.0)}),
        robustness=pictures.weights(selection),
        training=pictures.training(steps),
        num_steps=len(steps),
        first=players.first(selection, samples, places, _recordings(real, len(heard))),
        table=[(_row(selection, row), cells) for row, cells in players.table(selection, samples, places)],
        lines=players.lines(samples),
        lacks_recordings=not real and bool(design.recorded(samples)),
        measured=figures.table(measures, selection),
        delivered=prosody.table(selection),
        prosody_names=list(prosody.NAMES.values()),
        ceiling=selection.ceiling,
        probe_columns=panels.columns(selection),
        probe_rows=panels.rows(selection),
        probe_pictures=panels.pictures(selection),
        listening=selection.listening,
        hears=preferences.hears,
        spoken=lambda name: wording.spoken(selection, name),
        interval=_interval,
        wording=wording,
        identity=_identity(run),
        settings=sorted(records.to_json(run.identity.train).items()),
        disk=[(one, _size(one.bytes)) for one in checkpoints],
        disk_total=_size(sum(one.bytes for one in checkpoints if one.step)),
        audio=[(one.mime, templates.base64_text(one.data)) for one in audio],
    )


def _recordings(real: Mapping[str, sound.DecodedSample], first: int) -> players.Recordings:
    """`first`: the place of the first of them in the page."""
    return {line: (place, real[line].duration_s) for place, line in enumerate(real, first)}


def _headline(selection: Selection) -> str:
    if selection.decision == "ship":
        return f"Ship {wording.spoken(selection, selection.selected)}"
    if selection.decision == "not_heard":
        return "Do not ship yet: not everything was heard"
    return f"Do not ship: {reasons.refusal(selection)}"


def _by_loss(selection: Selection) -> str | None:
    """What the loss alone would have done, where that is another checkpoint."""
    if selection.by_loss is None or selection.by_loss == selection.selected:
        return None
    why = exclusions.why(selection, selection.by_loss)
    return f"The loss would have shipped {wording.spoken(selection, selection.by_loss)}" + (
        f": {why}." if why else "."
    )


def _tiles(selection: Selection) -> list[tuple[str, str, str]]:
    """(caption, figure, explanation) of what a hurried reader needs."""
    base = exclusions.of(selection, selection.base)
    name = reasons.chosen(selection)
    tiles = []
    if name is not None:
        here, label = exclusions.of(selection, name), wording.spoken(selection, name)
        for measure, caption in ((scores.LIKENESS, "likeness to the speaker"), (scores.WORDS, "words kept")):
            if measure in here.levels and measure in base.levels:
                against = f"{wording.spoken(selection, selection.base)}: {base.levels[measure].mean:.3f}"
                tiles.append((f"{label}, {caption}", f"{here.levels[measure].mean:.3f}", against))
        if here.gain is not None:
            tiles.append(
                (
                    "chance that it is nearer than the base",
                    f"{here.gain.probability:.0%}",
                    "by the lines heard",
                )
            )
    lines = sum(len(part.lines) for part in selection.race.rounds)
    saved = f"{selection.race.num_samples} samples of {selection.race.exhaustive} possible"
    explained = f"{saved}, spoken with {decoding.as_text(selection.decoding)}"
    if prompt := selection.race.prompt:
        explained += f"; the zero-shot base hears clip {prompt.clip_id} ({prompt.way})"
    return [*tiles, ("evidence", f"{lines} line" + ("s" if lines != 1 else ""), explained)]


@dataclass(frozen=True)
class _Judged:
    """One candidate as it was heard: levels, guards and gain, in words."""

    label: str
    lines: int
    levels: list[str]
    guards: list[tuple[str, str, str]]  # class, text, interval
    gain: tuple[str, str]  # text, interval
    standing: str
    is_chosen: bool
    is_base: bool


_STANDING = {
    "passes": "passes",
    "no_gain": "loses nothing, not shown to be nearer",
    "not_shown": "not shown to lose nothing",
    "not_measured": "not measured",
    "dropped": "dropped out",
    "fails": "fails",
    "baseline": "to be beaten",
}
_VERDICT = {"passed": "good", "failed": "bad", "not_shown": "warn", "not_measured": "warn"}


def _judged(selection: Selection, one: Evidence) -> _Judged:
    is_base = one.candidate in evidence.BASES
    levels = [
        "\u2013" if (level := one.levels.get(measure)) is None else f"{level.mean:.3f}"
        for measure in scores.MEASURES
    ]
    shown = [
        (
            _VERDICT[guard.verdict],
            *(
                (guard.verdict.replace("_", " "), "")
                if guard.test is None
                else wording.short_difference(guard.test)
            ),
        )
        for guard in one.guards
    ]
    gain = ("\u2013", "") if one.gain is None else wording.short_difference(one.gain)
    standing = exclusions.in_short(selection, one.candidate) or _STANDING[one.standing]
    if is_base and one.candidate != selection.base:
        standing = "the other base"
    return _Judged(
        wording.spoken(selection, one.candidate), one.lines, levels, [] if is_base else shown, gain, standing,
        one.candidate == selection.selected, is_base,
    )  # fmt: skip


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
    if row.candidate == selection.by_loss and row.candidate != selection.selected:
        badges.append(("", "lowest loss"))
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
        *([("early stopping", run.stopped_early.told)] if run.stopped_early else []),
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
