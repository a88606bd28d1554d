"""Who is heard? The checkpoints that were evaluated, and the base in each of its ways to speak."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.data.split.speakers import main_speaker
from voicelathe.errors import RecordError
from voicelathe.process import jobs
from voicelathe.runs.results import FULL_SCALE, candidates

REFERENCE_S = 5.0


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
    prompted = zero_shot(params, refs[0])
    return [prompted] if prompted else []


def reference(params: schema.Params) -> jobs.Reference | None:
    """Held-out clips that give the base the speaker's voice: near five seconds, of two recordings; None without a second clip.

    Of the speaker with most validation clips, as the limits of the metrics.
    """
    own = main_speaker(records.read(layout.split("validation"), records.CleanClip))
    own.sort(key=lambda clip: (abs(clip.end_s - clip.start_s - REFERENCE_S), clip.clip_id))
    if len(own) < 2:
        return None
    second = next((clip for clip in own if clip.recording_id != own[0].recording_id), own[1])
    return jobs.Reference([own[0], second], params.ingest.audio_root)


def zero_shot(params: schema.Params, base: jobs.WeightsRef) -> jobs.WeightsRef | None:
    """The base that hears a held-out clip first; None where there is no clip for it."""
    return replace(base, candidate=records.Candidate(0, None, True)) if reference(params) else None
