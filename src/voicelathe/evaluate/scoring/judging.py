"""What do metrics say of spoken samples, and which of them must not ship?

Limits come from held-out recordings of the speaker, in every run anew. A plug-in that crashes, hangs or answers nonsense is
recorded as such and leaves the others intact. Vetoes are apart from figures, and there is no total score.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from voicelathe import layout, records, rng
from voicelathe.config import schema
from voicelathe.data.split import speakers
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring.questioning import ALONE, MetricAnswer, Panel, Parts, Told, ask, joined
from voicelathe.records import (
    CleanClip,
    ClipRef,
    Figure,
    FigureRecord,
    MeasuredSample,
    RecogniserRef,
    SampleRecord,
    SpeechMeasures,
)

__all__ = [
    "MetricAnswer",
    "Panel",
    "Parts",
    "Told",
    "ask",
    "clips",
    "held_out",
    "joined",
    "judge",
    "measures",
    "outside",
    "real_clips",
    "vetoes",
]

MAX_REAL_CLIPS = 24  # calibration on more costs time and moves no limit
DIGITS = 4  # of values in the record: the last bits differ between machines


def real_clips(audio_root: str, run: records.RunRecord, spoken: Collection[str]) -> list[ClipRef]:
    """Real recordings that set the limits: validation clips of the speaker with most of them; those of `spoken` texts come first."""
    own = speakers.main_speaker(records.read(layout.split("validation"), CleanClip))
    return held_out(own, audio_root, run.identity.seed, spoken)


def judge(
    run: records.RunRecord,
    samples: Sequence[SampleRecord],
    languages: Mapping[str, str],
    real: Sequence[ClipRef],
    metrics: Sequence[str],
    timeout_s: float,
    inputs: Mapping[str, str],
    engine: schema.Engine = ALONE,
    recogniser: RecogniserRef | None = None,
) -> SpeechMeasures:
    """Every metric over every sample that can be heard. `languages`: line -> language.

    Raises SelectionError for a metric that no installed package offers; whatever goes wrong inside one is recorded instead.
    """
    heard = [one for one in samples if design.is_hearable(one)]
    with Panel(metrics, timeout_s, recogniser, engine) as panel:
        told = panel.ask(real, [clip(one, languages) for one in heard])
    return measures(run.recipe, run.run_digest, heard, told, len(real), inputs)


def measures(
    recipe: str,
    run_digest: str,
    heard: Sequence[SampleRecord],
    told: Sequence[Told],
    num_real: int,
    inputs: Mapping[str, str],
) -> SpeechMeasures:
    """The record of what metrics told of these samples, in their order; of several questions, `joined` makes one."""
    answers = [one.answer for one in told if one.answer]
    return SpeechMeasures(
        recipe=recipe,
        run_digest=run_digest,
        num_real=num_real,
        metrics=[one.run for one in told],
        figures=[_figure(answer, figure) for answer in answers for figure in answer.figures],
        samples=[_sample(one, place, answers) for place, one in enumerate(heard)],
        inputs=dict(inputs),
    )


def held_out(
    clips: Sequence[CleanClip],
    audio_root: str,
    seed: int,
    spoken: Collection[str] = (),
    most: int = MAX_REAL_CLIPS,
) -> list[ClipRef]:
    """Real clips of the speaker that training never saw, spread over the recordings; those of spoken texts come first."""
    by_recording: dict[str, list[CleanClip]] = {}
    for clip in clips:
        by_recording.setdefault(clip.recording_id, []).append(clip)
    queues = [_shuffled(members, seed, name) for name, members in sorted(by_recording.items())]
    chosen = [
        queue[place]
        for place in range(max(map(len, queues), default=0))
        for queue in queues
        if place < len(queue)
    ]
    chosen.sort(key=lambda one: one.text not in spoken)
    return [ClipRef.of(audio_root, one) for one in chosen[:most]]


def _shuffled(clips: Sequence[CleanClip], seed: int, recording: str) -> list[CleanClip]:
    by_id = {one.clip_id: one for one in clips}
    return [by_id[name] for name in rng.shuffled(sorted(by_id), seed, "calibration", recording)]


def _figure(answer: MetricAnswer, figure: Figure) -> FigureRecord:
    known = [value for row in answer.real if (value := row.get(figure.name)) is not None]
    low, high = answer.limits.get(figure.name, (None, None))
    middle, lowest, highest = (
        (float(np.median(known)), min(known), max(known)) if known else (None, None, None)
    )
    return FigureRecord(
        figure,
        answer.metric,
        _rounded(low),
        _rounded(high),
        _rounded(middle),
        _rounded(lowest),
        _rounded(highest),
        [round(float(one), DIGITS) for one in known],
    )


def _sample(one: SampleRecord, place: int, answers: Sequence[MetricAnswer]) -> MeasuredSample:
    values, stopped = {}, {}
    for answer in answers:
        row = answer.values[place]
        values.update({figure.name: _rounded(row.get(figure.name)) for figure in answer.figures})
        stopped.update(vetoes(answer, row))
    said = next((answer.said[place] for answer in answers if answer.said), None)
    return MeasuredSample(one.candidate, one.line_id, one.seed, values, stopped, said)


def vetoes(answer: MetricAnswer, row: Mapping[str, float | None]) -> dict[str, str]:
    """Code -> the figure that is outside its limits, with both numbers."""
    stopped: dict[str, str] = {}
    for figure in answer.figures:
        low, high = answer.limits.get(figure.name, (None, None))
        if figure.veto and (problem := outside(row.get(figure.name), low, high)):
            stopped.setdefault(figure.veto, f"{figure.name} {problem}")
    return stopped


def outside(value: float | None, low: float | None, high: float | None) -> str | None:
    """How a value breaks its limits, or None; a value that is not there breaks none."""
    if value is None:
        return None
    if low is not None and value < low:
        return f"{value:.3g}, at least {low:.3g}"
    return f"{value:.3g}, at most {high:.3g}" if high is not None and value > high else None


def clips(samples: Sequence[SampleRecord], said: Sequence[records.Line]) -> list[ClipRef]:
    """Those samples that can be heard, as metrics are asked about them. `said`: the lines they are of."""
    languages = {line.line_id: line.language for line in said}
    return [clip(one, languages) for one in samples if design.is_hearable(one)]


def clip(one: SampleRecord, languages: Mapping[str, str]) -> ClipRef:
    """A spoken sample as metrics are asked about it."""
    assert one.path is not None and one.sha256 is not None, "only what was spoken can be measured"
    path = Path(one.path)  # folders above it may be links: checkpoints/ on another disk
    return ClipRef(
        path.parent.as_posix(), path.name, None, None, one.sha256, one.text, languages[one.line_id]
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)
