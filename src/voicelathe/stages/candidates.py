"""Who is heard? The checkpoints that were evaluated, and the base in each of its ways to speak."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voicelathe import records
from voicelathe.config import schema
from voicelathe.errors import RecordError
from voicelathe.process import jobs
from voicelathe.runs.results import FULL_SCALE, candidates
from voicelathe.stages.references.clips import reference


def refs(
    params: schema.Params,
    recipe: str,
    index_: Sequence[records.CheckpointRecord],
    evaluated: Sequence[records.EvaluationRecord],
) -> list[jobs.WeightsRef]:
    """The weights of every candidate that was evaluated, in the order of the evaluations."""
    by_step = {entry.step: entry for entry in index_}
    return [ref for found in evaluated for ref in _ref(params, recipe, by_step, found)]


def _ref(
    params: schema.Params,
    recipe: str,
    by_step: Mapping[int, records.CheckpointRecord],
    found: records.EvaluationRecord,
) -> list[jobs.WeightsRef]:
    if found.step not in by_step:
        raise RecordError(
            f"evaluations.jsonl of {recipe} names step {found.step}, which checkpoints.json does not list. Run: dvc repro -f -s evaluate@{recipe}"
        )
    refs = candidates([by_step[found.step]], [found.lora_scale or FULL_SCALE])
    if found.candidate == refs[0].candidate.name:
        return refs
    prompted = zero_shot(params, recipe, refs[0])
    return [prompted] if prompted else []


def zero_shot(params: schema.Params, recipe: str, base: jobs.WeightsRef) -> jobs.WeightsRef | None:
    """The base that hears a held-out clip first; None where there is no clip for it."""
    return replace(base, candidate=records.Candidate(0, None, True)) if reference(params, recipe) else None
