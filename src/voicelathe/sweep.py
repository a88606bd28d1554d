"""What the stage `evaluate` asks of workers: losses of every candidate; and who speaks which lines in the stage `listen`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from voicelathe import digest, families, jobs, layout, lines, records, runner, settings
from voicelathe.data import columns, line_leaks
from voicelathe.errors import LinesError, RecordError
from voicelathe.params import recipe as find_recipe
from voicelathe.runs import FULL_STRENGTH, candidates, read, target

_Found = tuple[records.EvaluationRecord, list[records.ClipLoss], records.ProbeRecord | None]
REFERENCE_S = 5.0
SWEPT_STEPS = 3  # best steps by validation whose adapters are tried at other strengths


def evaluate(
    params: settings.Params, recipe: str
) -> tuple[list[records.EvaluationRecord], list[records.ClipLoss], list[records.ProbeRecord]]:
    """Stage `evaluate`: validation losses and probes of every candidate, in a worker that has no optimizer.

    Every checkpoint as trained; then the adapters of the three best steps at the other strengths of `lora_scales`.
    """
    (run, index_), how = read(recipe), find_recipe(params, recipe).evaluate
    refs = candidates(index_, [FULL_STRENGTH])
    if how.zero_shot and (prompted := zero_shot(params, refs[0])):
        refs.insert(1, prompted)
    found = _validate(params, run, how, refs)
    others = sorted(set(how.lora_scales) - {FULL_STRENGTH})
    if run.identity.train.mode == "lora" and others:
        tuned = sorted((one for one, _, _ in found if one.step), key=lambda one: (one.total, one.step))
        best = {one.step for one in tuned[:SWEPT_STEPS]}
        swept = candidates([entry for entry in index_ if entry.step in best], others)
        found += _validate(params, run, how, swept)
    found.sort(key=lambda one: (one[0].step, -(one[0].lora_scale or 0.0), one[0].candidate))
    rows = [row for _, members, _ in found for row in members]
    return [one for one, _, _ in found], rows, [probed for _, _, probed in found if probed]


def _validate(
    params: settings.Params, run: records.RunRecord, how: settings.Evaluate, refs: list[jobs.WeightsRef]
) -> list[_Found]:
    out = Path(run.directory) / "validation"
    job = jobs.ValidateJob(
        target=target(params, run.identity.base), how=how, seed=params.seed, clips=str(layout.split("validation")),
        train_clips=str(layout.split("train")), general=str(layout.general(run.identity.base)), latents=str(layout.latents(run.identity.base)), lora=run.identity.train.lora, weights=refs,
        reference=reference(params), out=str(out),
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


def refs(
    params: settings.Params,
    recipe: str,
    index_: Sequence[records.CheckpointRecord],
    evaluated: Sequence[records.EvaluationRecord],
) -> list[jobs.WeightsRef]:
    """The weights of every candidate that was evaluated, in the order of the evaluations."""
    by_step = {entry.step: entry for entry in index_}
    return [ref for found in evaluated for ref in _ref(params, recipe, by_step, found)]


def spoken_lines(params: settings.Params, recipe: str) -> list[records.PackLine]:
    """The lines of the recipe's pack, after a look at the training text and at the real recordings of its held-out lines.

    Raises LinesError when one was trained on, is not in the validation split any more, or is of the recording that gives the base
    the voice.
    """
    pack, path = lines.of(params, recipe), find_recipe(params, recipe).listen.lines
    train = columns.read(layout.split("train"), records.CleanClip)
    line_leaks.require(pack, path, train, params.gate.max_text_overlap)
    lines.require_recordings(pack, records.read(layout.split("validation"), records.CleanClip), path)
    heard = reference(params)
    barred = heard.clips[0].recording_id if heard else None
    if told := [line.id for line in pack if line.recording_id is not None and line.recording_id == barred]:
        raise LinesError(
            f"{path}: {', '.join(told)} are sentences of recording {barred}, which the base hears before it speaks, so it would know them. "
            f"Remove these lines, or propose a pack anew: voicelathe lines propose --out {path} --replace"
        )
    return pack


def reference(params: settings.Params) -> jobs.Reference | None:
    """Held-out clips that give the base the speaker's voice: near five seconds, of two recordings; None without a second clip.

    Of the speaker with most validation clips, as the limits of the metrics.
    """
    own = main_speaker(records.read(layout.split("validation"), records.CleanClip))
    own.sort(key=lambda clip: (abs(clip.end_s - clip.start_s - REFERENCE_S), clip.clip_id))
    if len(own) < 2:
        return None
    second = next((clip for clip in own if clip.recording_id != own[0].recording_id), own[1])
    return jobs.Reference([own[0], second], params.ingest.audio_root)


def main_speaker(clips: Sequence[records.CleanClip]) -> list[records.CleanClip]:
    """Those of the speaker with most of them: whose voice the base hears and whose recordings set the limits of the metrics."""
    counts = Counter(clip.speaker_id for clip in clips)
    speaker = min(counts, key=lambda name: (-counts[name], name))
    return [clip for clip in clips if clip.speaker_id == speaker]


def zero_shot(params: settings.Params, base: jobs.WeightsRef) -> jobs.WeightsRef | None:
    """The base that hears a held-out clip first; None where there is no clip for it."""
    return replace(base, candidate=records.Candidate(0, None, True)) if reference(params) else None


def _ref(
    params: settings.Params,
    recipe: str,
    by_step: Mapping[int, records.CheckpointRecord],
    found: records.EvaluationRecord,
) -> list[jobs.WeightsRef]:
    if found.step not in by_step:
        raise RecordError(
            f"evaluations.jsonl of {recipe} names step {found.step}, which checkpoints.json does not list. Run: dvc repro -f -s evaluate@{recipe}"
        )
    refs = candidates([by_step[found.step]], [found.lora_scale or FULL_STRENGTH])
    if found.candidate == refs[0].candidate.name:
        return refs
    prompted = zero_shot(params, refs[0])
    return [prompted] if prompted else []
