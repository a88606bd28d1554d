"""Do evaluations, clip losses and samples belong together, and are they complete? Only then may they be compared.

A comparison with a hole in it looks like a comparison, so every problem is an error that names the candidates and clips.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicelathe.errors import SelectionError, listing
from voicelathe.evaluate.statistics import Floats
from voicelathe.families import decoding
from voicelathe.records import (
    HARD_FAILURES,
    LONG,
    NOT_SPOKEN,
    CheckpointRecord,
    ClipLoss,
    EvaluationRecord,
    Race,
    RunRecord,
    SampleRecord,
    SpeechMeasures,
)

BASE, ZERO_SHOT = "base", "base_zero_shot"
BASES = (BASE, ZERO_SHOT)
AGREEMENT = 1e-6  # relative, between a candidate's mean and the mean of its clips


@dataclass(frozen=True)
class Paired:
    """Losses of every candidate over the same clips. Rows are clips (N, by id), columns candidates (C, base first, then by step)."""

    candidates: list[EvaluationRecord]
    clips: list[str]
    recordings: list[str]  # of each clip
    components: dict[str, Floats]  # [N, C]
    weights: dict[str, float]

    @property
    def totals_NC(self) -> Floats:
        return np.asarray(
            sum(weight * self.components[name] for name, weight in sorted(self.weights.items())),
            dtype=np.float64,
        )

    @property
    def names(self) -> list[str]:
        return [candidate.candidate for candidate in self.candidates]


def pair(
    recipe: str,
    evaluations: Sequence[EvaluationRecord],
    clip_losses: Sequence[ClipLoss],
    samples: Sequence[SampleRecord],
    weights: Mapping[str, float],
    race: Race,
) -> Paired:
    """Line everything up. Raises SelectionError that lists every hole, duplicate, stranger and number that is not finite."""
    _stop(recipe, "evaluate", _candidate_problems(evaluations))
    _stop(recipe, "evaluate", _weight_problems(recipe, evaluations, weights))
    _stop(recipe, "evaluate", _clip_problems(evaluations, clip_losses))
    ordered = sorted(evaluations, key=lambda one: (one.step, one.lora_scale or 0.0, one.candidate))
    recordings = {row.clip_id: row.recording_id for row in clip_losses}
    cell = {(row.clip_id, row.candidate): row.losses for row in clip_losses}
    clips = sorted(recordings)
    components = {
        name: np.array(
            [[cell[clip, one.candidate][name] for one in ordered] for clip in clips], dtype=np.float64
        )
        for name in sorted(weights)
    }
    _stop(recipe, "evaluate", _disagreements(ordered, components))
    _stop(recipe, "listen", _sample_problems(ordered, samples, race))
    return Paired(ordered, clips, [recordings[clip] for clip in clips], components, dict(weights))


def check_index(
    recipe: str, evaluations: Sequence[EvaluationRecord], checkpoints: Sequence[CheckpointRecord]
) -> None:
    """Every checkpoint of the run was evaluated, and nothing else was. Raises SelectionError that names what is missing or foreign."""
    _stop(recipe, "evaluate", _index_problems(evaluations, checkpoints))


def check_measures(
    run: RunRecord, samples: Sequence[SampleRecord], measures: SpeechMeasures, race: Race
) -> None:
    """Metrics, samples and race are of the same sweep. Raises SelectionError otherwise."""
    spoken = {
        (one.candidate, one.line_id, one.seed)
        for one in samples
        if one.problem not in (*HARD_FAILURES, NOT_SPOKEN)
    }
    measured = {(one.candidate, one.line_id, one.seed) for one in measures.samples}
    problems = []
    if measures.run_digest != run.run_digest:
        problems.append(f"metrics.json is of run {measures.run_digest[:12]}, not of {run.run_digest[:12]}")
    if race.run_digest != run.run_digest:
        problems.append(f"race.json is of run {race.run_digest[:12]}, not of {run.run_digest[:12]}")
    problems += [
        f"{name}, line {line}, seed {seed}: spoken but not measured"
        for name, line, seed in sorted(spoken - measured)
    ]
    problems += [
        f"{name}, line {line}, seed {seed}: measured but not spoken"
        for name, line, seed in sorted(measured - spoken)
    ]
    _stop(run.recipe, "listen", iter(problems))


def _stop(recipe: str, stage: str, problems: Iterator[str]) -> None:
    if lines := list(problems):
        raise SelectionError(
            f"runs/{recipe}: no decision is possible, {len(lines)} problem{'s' if len(lines) > 1 else ''}:\n{listing(lines)}\n"
            f"Correct it, then: dvc repro -f -s {stage}@{recipe} select@{recipe}"
        )


def _index_problems(
    evaluations: Sequence[EvaluationRecord], checkpoints: Sequence[CheckpointRecord]
) -> Iterator[str]:
    listed = {one.step: one.sha256 for one in checkpoints}
    evaluated = {one.step for one in evaluations}
    yield from (
        f"the checkpoint of step {step} was not evaluated" for step in sorted(set(listed) - evaluated)
    )
    for one in evaluations:
        if one.step not in listed:
            yield f"candidate {one.candidate}: checkpoints.json lists no step {one.step}"
        elif one.checkpoint_sha256 != listed[one.step]:
            yield f"candidate {one.candidate}: other weights were evaluated ({one.checkpoint_sha256[:12]}) than listed ({listed[one.step][:12]})"


def _candidate_problems(evaluations: Sequence[EvaluationRecord]) -> Iterator[str]:
    counts = Counter(one.candidate for one in evaluations)
    yield from (f"candidate {name} is evaluated {count} times" for name, count in counts.items() if count > 1)
    if BASE not in counts:
        yield "the base (candidate 0) was not evaluated"
    if not set(counts) - set(BASES):
        yield "no checkpoint was evaluated"
    for one in evaluations:
        bad = [name for name, value in {**one.losses, "total": one.total}.items() if not math.isfinite(value)]
        if bad:
            yield f"candidate {one.candidate}: loss {', '.join(bad)} is not a finite number; its training diverged or its weights are damaged"


def _weight_problems(
    recipe: str, evaluations: Sequence[EvaluationRecord], weights: Mapping[str, float]
) -> Iterator[str]:
    where = f"params.yaml: recipes.{recipe}.select.loss_weights"
    for one in evaluations:
        if set(one.losses) != set(weights):
            yield f"{where} names {', '.join(sorted(weights))}; candidate {one.candidate} has {', '.join(sorted(one.losses))}"
    if not any(weights.values()):
        yield f"{where}: every weight is 0, so all candidates would be equal"


def _clip_problems(evaluations: Sequence[EvaluationRecord], rows: Sequence[ClipLoss]) -> Iterator[str]:
    expected, components = {one.candidate: one.num_clips for one in evaluations}, set(evaluations[0].losses)
    counts = Counter((row.candidate, row.clip_id) for row in rows)
    yield from (
        f"clip {clip} is there {n} times for candidate {name}" for (name, clip), n in counts.items() if n > 1
    )
    clips = {clip for _, clip in counts}
    recordings = {(row.clip_id, row.recording_id) for row in rows}
    if len(recordings) > len(clips):
        yield "a clip is assigned to two recordings"
    for name in sorted({row.candidate for row in rows} - set(expected)):
        yield f"clip losses of {name}, which was not evaluated"
    for name, number in expected.items():
        missing = [clip for clip in sorted(clips) if (name, clip) not in counts]
        if missing or number != len(clips) or not clips:
            yield f"candidate {name}: {len(clips) - len(missing)} of {max(len(clips), number)} clips; missing {', '.join(missing[:5])}"
    for row in rows:
        bad = [component for component, value in row.losses.items() if not math.isfinite(value)]
        if bad or set(row.losses) != components:
            yield f"candidate {row.candidate}, clip {row.clip_id}: loss {', '.join(bad) or 'components'} not finite or not complete"


def _disagreements(candidates: Sequence[EvaluationRecord], components: Mapping[str, Floats]) -> Iterator[str]:
    for column, one in enumerate(candidates):
        for name, values in components.items():
            mean = math.fsum(values[:, column]) / len(values)
            if not math.isclose(mean, one.losses[name], rel_tol=AGREEMENT, abs_tol=AGREEMENT):
                yield f"candidate {one.candidate}: loss {name} is {one.losses[name]:.6f}, but its clips average {mean:.6f}"


def _sample_problems(
    candidates: Sequence[EvaluationRecord], samples: Sequence[SampleRecord], race: Race
) -> Iterator[str]:
    """Every candidate spoke, with the same seeds, the lines that the race gave it, and nobody spoke others."""
    expected = {one.candidate for one in candidates}
    counts = Counter((one.candidate, one.line_id, one.seed) for one in samples)
    yield from (
        f"candidate {name}: line {line}, seed {seed} is there {n} times"
        for (name, line, seed), n in counts.items()
        if n > 1
    )
    seeds: dict[str, set[int]] = {}
    for _, line, seed in counts:
        seeds.setdefault(line, set()).add(seed)
    if not seeds:
        yield "no candidate spoke a line"
    for name in sorted({name for name, _, _ in counts} - expected):
        yield f"samples of {name}, which was not evaluated"
    for name in sorted(expected):
        asked = {line for part in race.rounds if name in part.candidates for line in part.lines}
        missing = [
            f"{line} (seed {seed})"
            for line in sorted(asked)
            for seed in sorted(seeds.get(line, {0}))
            if (name, line, seed) not in counts
        ]
        if missing or not asked:
            yield f"candidate {name} has no sample of line {', '.join(missing[:5]) or 'any'}"
        spoke = {line for one, line, _ in counts if one == name and not line.startswith(LONG)}
        if strange := sorted(spoke - asked):
            yield f"candidate {name} spoke {', '.join(strange[:5])}, which the race did not ask of it"


def decoding_of(recipe: str, samples: Sequence[SampleRecord]) -> dict[str, float]:
    """What everybody spoke with. Raises SelectionError for samples that cannot be compared, because settings differ."""
    first = samples[0]
    for one in samples:
        if one.decoding != first.decoding:
            raise SelectionError(
                f"{recipe}: {one.candidate}, line {one.line_id}, was spoken with {decoding.as_text(one.decoding)}, and {first.candidate}, line "
                f"{first.line_id}, with {decoding.as_text(first.decoding)}: they cannot be compared. Speak again: dvc repro -f -s listen@{recipe}"
            )
    return dict(first.decoding)
