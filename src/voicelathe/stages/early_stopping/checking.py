"""One checkpoint is judged: its losses on the validation split, a few lines spoken, and what is heard in them. Each in a worker of its own."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from voicelathe import checkpoints, digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.errors import MetricUnavailable, RecordError
from voicelathe.evaluate import scores
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring import judging
from voicelathe.process import jobs, runner, sample_files
from voicelathe.records import EarlyCheck
from voicelathe.runs import early_lines, early_stopping
from voicelathe.runs.identity import target
from voicelathe.runs.results import FULL_SCALE, candidates
from voicelathe.speech import recogniser_files
from voicelathe.stages.early_stopping import improvement

PASSES, PROBED = 1, 2  # noises of each clip; clips of the probes, which nobody reads here


def check(
    params: schema.Params,
    run: records.RunRecord,
    step: int,
    before: Sequence[EarlyCheck],
    leash: runner.Leash,
) -> EarlyCheck:
    """Judge the checkpoint of a step. `before`: what those before it came to. Raises what went wrong in a worker or a metric."""
    path = early_stopping.weights(Path(run.directory), step)
    entry = records.CheckpointRecord(
        step, run.identity.train.mode, path.as_posix(), 0, checkpoints.identity(path)
    )
    (ref,) = candidates([entry], [FULL_SCALE])
    loss = _loss(params, run, ref, leash)
    speech = _speech(params, run, ref, leash)
    return improvement.check(before, step, ref.sha256, run.run_digest, loss, speech)


def _target(params: schema.Params, run: records.RunRecord) -> jobs.Target:
    early, found = run.identity.train.early_stopping, target(params, run.identity.base, run.identity.lexicon)
    assert early is not None, "only such runs are judged"
    device = early.device or found.machine.device
    return replace(found, machine=replace(found.machine, device=device, processes=1))


def _loss(params: schema.Params, run: records.RunRecord, ref: jobs.WeightsRef, leash: runner.Leash) -> float:
    """The validation total, one noise a clip."""
    train, out = run.identity.train, Path(run.directory) / early_stopping.FOLDER / "validation"
    how = schema.Evaluate(PASSES, train.clips_per_pass, [FULL_SCALE], None, None, PROBED)
    job = jobs.ValidateJob(
        target=_target(params, run), how=how, seed=params.seed, clips=str(layout.split("validation")), train_clips=str(layout.split("train")),
        general=None, latents=str(layout.latents(run.identity.base)), lora=train.lora, weights=[ref], reference=None, out=str(out),
        control=train.control, beside_training=True,
    )  # fmt: skip
    runner.run(job, _label(run), leash)
    stored = digest.read_json(out / f"{ref.candidate.name}.json")["clips"]
    weights = families.spec(run.identity.family).loss_weights
    totals = [math.fsum(weights[name] * own[name] for name in weights) for own in stored.values()]
    return math.fsum(totals) / len(totals)


def _speech(
    params: schema.Params, run: records.RunRecord, ref: jobs.WeightsRef, leash: runner.Leash
) -> dict[str, float]:
    """Line -> words kept x likeness."""
    one, out = find_recipe(params, run.recipe), Path(run.directory) / early_stopping.FOLDER / "speech"
    job = jobs.SpeakJob(
        target=_target(params, run), lora=run.identity.train.lora, weights=[ref], lines=early_lines.lines(params, run.recipe, run.identity.train),
        max_seconds=early_lines.MAX_SECONDS, decoding=one.speak, reference=None, out=str(out), interactive=False, beside_training=True,
    )  # fmt: skip
    runner.run(job, _label(run), leash)
    said = [sample_files.read(job, ref, line) for line in job.lines]
    measures = _heard(params, run, job.lines, said, one.listen.metric_timeout_s)
    found = improvement.spoken(scores.of(said, measures), ref.candidate.name)
    if not found:
        raise RecordError(
            f"{out}: words and likeness are known of none of {len(said)} samples.", "Listen to them."
        )
    return found


def _heard(
    params: schema.Params,
    run: records.RunRecord,
    lines: Sequence[records.Line],
    samples: Sequence[records.SampleRecord],
    timeout_s: float,
) -> records.SpeechMeasures:
    """What a recogniser and the speaker's likeness say, on the CPU: the card is for the training. Raises MetricUnavailable where one does not answer for every sample."""
    on_host = replace(params.machine, device="cpu")
    ears = recogniser_files.reference(params.speech, on_host)
    metrics = ["words" if ears is None else "recogniser", "speaker"]
    real = judging.real_clips(params.ingest.audio_root, run, {line.text for line in lines})
    languages = {line.line_id: line.language for line in lines}
    found = judging.judge(run, samples, languages, real, metrics, timeout_s, {}, recogniser=ears)
    heard = [one for one in samples if design.is_hearable(one)]
    if heard:
        require_whole(found.metrics)
    return found


def require_whole(asked: Sequence[records.MetricRun]) -> None:
    """Raises MetricUnavailable where a metric did not answer for every sample: what is lost by chance would decide where the run ends."""
    if short := [one for one in asked if not one.is_whole]:
        lost = f", without {short[0].lost} samples" if short[0].lost else ""
        raise MetricUnavailable(f"{short[0].metric}: {short[0].status}{lost}: {short[0].detail}")


def _label(run: records.RunRecord) -> str:
    return f"{run.recipe}-early_stopping"
