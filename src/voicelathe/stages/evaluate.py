"""Stage `evaluate`: validation losses and probes of the base and of every checkpoint, with frozen noise."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.errors import RecordError
from voicelathe.process import jobs, runner
from voicelathe.runs.identity import target
from voicelathe.runs.results import FULL_SCALE, candidates, read
from voicelathe.stages.candidates import zero_shot
from voicelathe.stages.controls import effects
from voicelathe.stages.references.clips import reference

_Found = tuple[records.EvaluationRecord, list[records.ClipLoss], records.ProbeRecord | None]
SWEPT_STEPS = 3  # best steps by validation whose adapters are tried at other LoRA scales


def evaluate(
    params: schema.Params, recipe: str
) -> tuple[list[records.EvaluationRecord], list[records.ClipLoss], list[records.ProbeRecord]]:
    """Stage `evaluate`: validation losses and probes of every candidate, in a worker that has no optimizer.

    Every checkpoint as trained; then the adapters of the three best steps at the other LoRA scales of `lora_scales`.
    """
    (run, index_), how = read(recipe), find_recipe(params, recipe).evaluate
    refs = candidates(index_, [FULL_SCALE])
    if how.zero_shot and (prompted := zero_shot(params, recipe, refs[0])):
        refs.insert(1, prompted)
    found = _validate(params, run, how, refs)
    others = sorted(set(how.lora_scales) - {FULL_SCALE})
    if run.identity.train.mode == "lora" and others:
        tuned = sorted((one for one, _, _ in found if one.step), key=lambda one: (one.total, one.step))
        best = {one.step for one in tuned[:SWEPT_STEPS]}
        swept = candidates([entry for entry in index_ if entry.step in best], others)
        found += _validate(params, run, how, swept)
        refs += swept
    if how.control_lines:
        found = _with_controls(
            found, effects.of(params, run, [ref for ref in refs if not ref.candidate.prompted])
        )
    found.sort(key=lambda one: (one[0].step, -(one[0].lora_scale or 0.0), one[0].candidate))
    rows = [row for _, members, _ in found for row in members]
    return [one for one, _, _ in found], rows, [probed for _, _, probed in found if probed]


def _with_controls(found: list[_Found], known: Mapping[str, effects.Effects]) -> list[_Found]:
    return [
        (one, rows, probed and replace(probed, controls=known[one.candidate])) for one, rows, probed in found
    ]


def _validate(
    params: schema.Params, run: records.RunRecord, how: schema.Evaluate, refs: list[jobs.WeightsRef]
) -> list[_Found]:
    out = Path(run.directory) / "validation"
    job = jobs.ValidateJob(
        target=target(params, run.identity.base, run.identity.lexicon), how=how, seed=params.seed, clips=str(layout.split("validation")),
        train_clips=str(layout.split("train")), general=str(layout.general(run.identity.base)), latents=str(layout.latents(run.identity.base)), lora=run.identity.train.lora, weights=refs,
        reference=reference(params, run.recipe), out=str(out), replays=run.identity.train.replay_share > 0, control=run.identity.train.control, engine=params.engine,
    )  # fmt: skip
    runner.run(job, run.recipe)
    clips = {clip.clip_id: clip for clip in records.read(layout.split("validation"), records.CleanClip)}
    weights = families.spec(run.identity.family).loss_weights
    found = []
    for ref in refs:
        stored = digest.read_json(path := out / f"{ref.candidate.name}.json")
        per_clip = stored["clips"]
        if set(per_clip) != set(clips):
            raise RecordError(
                f"{path} does not cover the validation split. Delete it and run: dvc repro evaluate@{run.recipe}"
            )
        rows = [
            _clip_loss(ref.candidate, clips[clip_id], losses, weights)
            for clip_id, losses in sorted(per_clip.items())
        ]
        probed = stored["probes"] and records.from_json(records.ProbeRecord, stored["probes"], str(path))
        found.append((_summary(ref, rows, how.passes, weights), rows, probed))
    return found


def _clip_loss(
    candidate: records.Candidate,
    clip: records.CleanClip,
    found: Mapping[str, float],
    weights: Mapping[str, float],
) -> records.ClipLoss:
    total = sum(weights[name] * value for name, value in sorted(found.items()))
    return records.ClipLoss(candidate.name, clip.clip_id, clip.recording_id, dict(found), total)


def _summary(
    ref: jobs.WeightsRef, rows: list[records.ClipLoss], passes: int, weights: Mapping[str, float]
) -> records.EvaluationRecord:
    means = {name: sum(row.losses[name] for row in rows) / len(rows) for name in sorted(weights)}
    total = sum(weights[name] * value for name, value in means.items())
    one = ref.candidate
    return records.EvaluationRecord(
        one.name, one.step, one.lora_scale, ref.sha256, means, total, len(rows), passes
    )
