"""What do metrics say of spoken samples, and which of them must not ship? Each plug-in in a process of its own.

Limits come from held-out recordings of the speaker, in every run anew. A plug-in that crashes, hangs or answers nonsense is
recorded as such and leaves the others intact. Vetoes are apart from figures, and there is no total score.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import digest, layout, lines, records, rng, settings, sweep
from voicelathe.errors import RecordError
from voicelathe.evaluate import design
from voicelathe.evaluate.metrics import found
from voicelathe.records import (
    LONG,
    CleanClip,
    ClipRef,
    Figure,
    FigureRecord,
    MeasuredSample,
    MetricJob,
    MetricRun,
    SampleRecord,
    SpeechMeasures,
)
from voicelathe.redaction import harmless

MAX_REAL_CLIPS = 24  # calibration on more costs time and moves no limit
DIGITS = 4  # of values in the record: the last bits differ between machines
TAIL_CHARS = 300


class _Nonsense(ValueError):
    """The answer of a plug-in is not what the protocol says."""


@dataclass(frozen=True)
class Answer:
    """What one metric measured."""

    metric: str
    figures: list[Figure]
    limits: dict[str, tuple[float | None, float | None]]
    real: list[dict[str, float | None]]
    values: list[dict[str, float | None]]


def of(
    recipe: str,
    run: records.RunRecord,
    samples: Sequence[SampleRecord],
    listen: settings.Listen,
    audio_root: str,
    workers: int,
) -> SpeechMeasures:
    """What the stage `listen` records: limits come from the validation clips of the speaker with most of them."""
    path = layout.split("validation")
    own = sweep.main_speaker(records.read(path, CleanClip))
    real = held_out(own, audio_root, run.identity.seed, {one.text for one in samples})
    languages = {line.id: line.language for line in lines.read(Path(listen.lines))}
    languages |= {LONG + line.id: line.language for line in listen.long_lines}
    inputs = digest.of_files({path.as_posix(): path})
    return judge(run, samples, languages, real, listen.metrics, listen.metric_timeout_s, inputs, workers)


def judge(
    run: records.RunRecord,
    samples: Sequence[SampleRecord],
    languages: Mapping[str, str],
    real: Sequence[ClipRef],
    metrics: Sequence[str],
    timeout_s: float,
    inputs: Mapping[str, str],
    workers: int = 1,
) -> SpeechMeasures:
    """Every metric over every sample that can be heard, `workers` metrics at a time. `languages`: line -> language.

    Raises SelectionError for a metric that no installed package offers; whatever goes wrong inside one is recorded instead.
    """
    heard = [one for one in samples if design.is_hearable(one)]
    clips = [_ref(one, languages) for one in heard]
    for name in metrics:
        found.find(name)
    with ThreadPoolExecutor(workers) as pool:  # a thread only waits for a process of its own
        told = _without_namesakes(
            list(pool.map(lambda name: ask(MetricJob(name, list(real), clips), timeout_s), metrics))
        )
    answers = [answer for _, answer in told if answer]
    return SpeechMeasures(
        recipe=run.recipe,
        run_digest=run.run_digest,
        num_real=len(real),
        metrics=[ended for ended, _ in told],
        figures=[_figure(answer, figure) for answer in answers for figure in answer.figures],
        samples=[_sample(one, place, answers) for place, one in enumerate(heard)],
        inputs=dict(inputs),
    )


def held_out(
    clips: Sequence[CleanClip], audio_root: str, seed: int, spoken: Collection[str] = ()
) -> list[ClipRef]:
    """Real clips of the speaker that training never saw, at most 24, spread over the recordings; those of spoken texts come first."""
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
    return [
        ClipRef(audio_root, one.audio, one.start_s, one.end_s, one.audio_sha256, one.text, one.language)
        for one in chosen[:MAX_REAL_CLIPS]
    ]


def _shuffled(clips: Sequence[CleanClip], seed: int, recording: str) -> list[CleanClip]:
    by_id = {one.clip_id: one for one in clips}
    return [by_id[name] for name in rng.shuffled(sorted(by_id), seed, "calibration", recording)]


def ask(job: MetricJob, timeout_s: float) -> tuple[MetricRun, Answer | None]:
    """Run one metric in a process of its own; how it ended, and its answer when it gave a valid one."""
    folder = layout.CACHE / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        question, answer = Path(place, "job.json"), Path(place, "answer.json")
        digest.write_json(question, records.to_json(job))
        command = [
            sys.executable,
            "-P",
            "-m",
            "voicelathe.evaluate.metrics",
            str(question),
            str(answer),
            str(os.getpid()),
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                env=_environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return MetricRun(job.metric, "timed_out", f"gave no answer within {timeout_s:g} s"), None
        if done.returncode != 0 or not answer.is_file():
            last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
            return MetricRun(
                job.metric, "crashed", f"exit code {done.returncode}: {last[0][:TAIL_CHARS]}"
            ), None
        try:
            told = digest.read_json(answer)
            if "missing" in told:
                return MetricRun(job.metric, "not_applicable", str(told["missing"])[:TAIL_CHARS]), None
            return MetricRun(job.metric, "measured", ""), _check(job, told)
        except (RecordError, ValueError, KeyError, TypeError, AttributeError) as problem:
            return MetricRun(
                job.metric, "nonsense", f"{type(problem).__name__}: {problem}"[:TAIL_CHARS]
            ), None


def _without_namesakes(
    told: Sequence[tuple[MetricRun, Answer | None]],
) -> list[tuple[MetricRun, Answer | None]]:
    """Two metrics under one figure's name would overwrite each other's values: the later one is recorded as nonsense."""
    owners: dict[str, str] = {}
    kept: list[tuple[MetricRun, Answer | None]] = []
    for ended, answer in told:
        names = [one.name for one in answer.figures] if answer else []
        if taken := [name for name in names if name in owners]:
            said = f"its figure {taken[0]!r} is one of {owners[taken[0]]}, too; give it another name"
            kept.append((MetricRun(ended.metric, "nonsense", said), None))
            continue
        owners |= dict.fromkeys(names, ended.metric)
        kept.append((ended, answer))
    return kept


def _environment() -> dict[str, str]:
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }
    return {**harmless(os.environ), **offline}


def _check(job: MetricJob, told: dict[str, Any]) -> Answer:
    """Numbers where numbers must be, one row a clip, no figure that was not announced."""
    figures = [records.from_json(Figure, one, job.metric) for one in told["figures"]]
    names = {one.name for one in figures}
    for kind, expected in (("values", len(job.clips)), ("real", None)):
        rows = told[kind]
        if expected is not None and len(rows) != expected:
            raise _Nonsense(f"{len(rows)} answers for {expected} clips")
        for row in rows:
            if strangers := sorted(set(row) - names):
                raise _Nonsense(f"a figure {strangers[0]!r} that it did not announce")
            if bad := [name for name, value in row.items() if value is not None and not _is_number(value)]:
                raise _Nonsense(f"{bad[0]} = {row[bad[0]]!r} is not a finite number")
    limits = {name: (low, high) for name, (low, high) in told["limits"].items()}
    if wrong := [
        name for name, ends in limits.items() if not all(end is None or _is_number(end) for end in ends)
    ]:
        raise _Nonsense(f"limits of {wrong[0]} are {limits[wrong[0]]}")
    return Answer(job.metric, figures, limits, told["real"], told["values"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _figure(answer: Answer, figure: Figure) -> FigureRecord:
    known = [value for row in answer.real if (value := row.get(figure.name)) is not None]
    low, high = answer.limits.get(figure.name, (None, None))
    middle, lowest, highest = (
        (float(np.median(known)), min(known), max(known)) if known else (None, None, None)
    )
    return FigureRecord(
        figure, answer.metric, *(_rounded(one) for one in (low, high, middle, lowest, highest))
    )


def _sample(one: SampleRecord, place: int, answers: Sequence[Answer]) -> MeasuredSample:
    values, stopped = {}, {}
    for answer in answers:
        row = answer.values[place]
        values.update({figure.name: _rounded(row.get(figure.name)) for figure in answer.figures})
        stopped.update(vetoes(answer, row))
    return MeasuredSample(one.candidate, one.line_id, one.seed, values, stopped)


def vetoes(answer: Answer, row: Mapping[str, float | None]) -> dict[str, str]:
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


def _ref(one: SampleRecord, languages: Mapping[str, str]) -> ClipRef:
    assert one.path is not None and one.sha256 is not None, "only what was spoken can be measured"
    return ClipRef(".", one.path, None, None, one.sha256, one.text, languages[one.line_id])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)
