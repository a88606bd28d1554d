"""The training loop: the same for every family, mode and optimizer.

One optimizer step is one or more packed passes over its clips; the loss is the mean over the step's clips of each clip's mean.
Each phase is announced before it begins, so that whoever outlives this process can tell what killed it.
Several processes (`peers`) share the passes of a step; all of them compute the same update, and the first writes everything.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voicelathe import families, records, rng
from voicelathe.data.audio import waveform
from voicelathe.errors import WorkerError
from voicelathe.families.base import Family, Referenced, TrainPlan
from voicelathe.families.shared import layers
from voicelathe.process import jobs
from voicelathe.train import (
    adapters,
    anomalies,
    batches,
    distributed,
    memory,
    precision,
    probe,
    resume,
    saving,
    schedule,
)
from voicelathe.train.distributed import ALONE, Peers
from voicelathe.train.sharded import pieces, states

Emit = Callable[[str, dict[str, Any]], None]
STOPPED = 143  # exit code after SIGTERM, as a shell reports it


class Telling:
    """Events out, with the time that telling them took: a parent that did not listen would be seen in it."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.waited_s = 0.0

    def __call__(self, kind: str, values: dict[str, Any]) -> None:
        with self.clocked():
            self._emit(kind, values)

    @contextmanager
    def clocked(self) -> Iterator[None]:
        """Count what happens inside as waiting."""
        began = time.monotonic()
        yield
        self.waited_s += time.monotonic() - began


@dataclass
class Trainer:
    """Everything the steps of one run need."""

    job: jobs.TrainJob
    family: Family
    loaded: Any
    plan: TrainPlan
    optimizer: torch.optim.Optimizer
    clips: batches.TrainingClips
    emit: Telling
    released: dict[str, Tensor] | None  # norms of gradients that backward used; None where gradients stay
    watch: anomalies.Watch
    peers: Peers
    order: batches.Order
    held: pieces.Held

    @property
    def directory(self) -> Path:
        return Path(self.job.directory)


def run(job: jobs.TrainJob, emit: Emit, peers: Peers = ALONE) -> dict[str, Any]:
    """Train to the last step, from the newest saved state if there is one. Returns counts for the run's record.

    SIGTERM to any of the processes saves at the next step boundary, and all of them exit with 143. Every progress event says how
    long this process has waited so far for its journal to be durable and for its events to be taken (`waited_s`).
    """
    stop = distributed.stop_on_sigterm()
    trainer = _prepare(job, Telling(emit), peers)
    journal = resume.Journal(trainer.directory)
    done = peers.first_alone(lambda: states.restored(trainer.directory, trainer.held, trainer.optimizer))
    peers.require_same_step(done)
    if peers.is_first:
        journal.truncate(done)
        trainer.watch = anomalies.Watch(journal.read())
    trainer.loaded.core.train()
    saver = states.saver(job, trainer.family, trainer.loaded, trainer.held, trainer.optimizer, emit)
    try:
        _steps(trainer, journal, saver, done + 1, stop)
    finally:
        saver.wait()
    total = sum(parameter.numel() for parameter in trainer.loaded.core.parameters())
    return {
        "num_parameters": total,
        "num_trainable": sum(p.numel() for p in trainer.loaded.core.parameters() if p.requires_grad),
        "num_train_clips": len(trainer.clips),
    }


def _steps(
    trainer: Trainer,
    journal: resume.Journal,
    saver: saving.Saver | states.JointSaver,
    first: int,
    stop: distributed.Flag,
) -> None:
    job, emit = trainer.job, trainer.emit
    for step in range(first, job.train.steps + 1):
        began = time.monotonic()
        record = _step(trainer, step)
        seconds = time.monotonic() - began
        if trainer.peers.is_first:
            timing = records.StepTiming(step, round(seconds, 4), round(len(record.clip_ids) / seconds, 3))
            with emit.clocked():
                journal.append(record, timing)
        counted = {
            "done": step,
            "total": job.train.steps,
            "unit": "steps",
            "waited_s": round(emit.waited_s, 6),
        }
        emit(jobs.PROGRESS, counted)
        numbered = step % job.train.checkpoint_every == 0 or step == job.train.steps
        stops = trainer.peers.any(stop.is_set())
        if trainer.held.saves and (numbered or stops):
            emit(jobs.PHASE, {"name": "checkpoint", "step": step, "micro": 0})
            saver.save(step, numbered)
        if stops:
            raise SystemExit(STOPPED)


def _prepare(job: jobs.TrainJob, emit: Telling, peers: Peers) -> Trainer:
    """Load on the host, where weights become what `train.weights` says, then move: the card never holds both.

    A bf16 base of a bf16 training is never made fp32 in between: the host never holds both either.
    """
    target, train, family = job.target, job.train, families.find(job.target.family)
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    facts = family.describe(Path(target.base), licence="", trained=True)
    on_host, in_bf16 = replace(target.machine, device="cpu"), train.weights != "fp32"
    loaded = family.load(Path(target.base), facts, on_host, "core", keep_bf16=in_bf16)
    if train.lora is not None:
        targets = family.adapter_targets(loaded, train.lora.scope)
        adapters.inject(loaded.core, train.lora, targets, job.seed, in_fp32=True)
        adapters.leave_casts_to_autocast(loaded.core, train)
    family.checkpoint_blocks(loaded, train.activation_checkpointing)
    plan = family.trainable(loaded, train.mode)
    lows = precision.narrow(loaded.core, train.weights, plan.trainable)
    loaded.device = torch.device(target.machine.device)
    held = pieces.held(loaded, train, family.spec, plan, peers)
    plan = replace(plan, trainable=held.own)
    optimizer = memory.optimizer(train, loaded.core, plan.trainable, lows, job.seed)
    released = memory.release_gradients(optimizer, plan.trainable) if train.gradient_release else None
    clips = batches.opened(job, family, loaded)
    family.prepare(loaded, list(clips.items.values()))
    if isinstance(family, Referenced):
        _keep_references(family, loaded, job)
    order = batches.Order(
        list(clips.items), train.clips_per_step, job.seed, list(clips.replayed), train.replay_share
    )
    return Trainer(
        job, family, loaded, plan, optimizer, clips, emit, released, anomalies.Watch([]), peers, order, held
    )


def _keep_references(family: Referenced, loaded: Any, job: jobs.TrainJob) -> None:
    """The sound of each speaker's reference, for the checkpoints to carry."""
    clips = {clip.clip_id: clip for clip in records.read(Path(job.clips), records.CleanClip)}
    for speaker, clip_id in family.references(loaded).items():
        samples = waveform.read_mono(Path(job.audio_root), clips[clip_id], loaded.facts.encode_rate_hz)
        family.keep(loaded, speaker, samples)


def _step(trainer: Trainer, step: int) -> records.StepRecord:
    """One update. Raises WorkerError with the clip ids when a loss or gradient is not finite; nothing is saved then."""
    train, seed, peers = trainer.job.train, trainer.job.seed, trainer.peers
    weights = trainer.family.spec.loss_weights
    clip_ids = trainer.order.of_step(step)
    rate = schedule.learning_rate(step, train)
    memory.prepare(trainer.optimizer, step, rate)
    torch.manual_seed(rng.key(seed, "dropout", step, *([] if peers.is_first else [peers.rank])))
    losses_LB = torch.zeros(len(weights), train.clips_per_step, dtype=torch.float64)  # L losses, B clips
    for micro in range(peers.rank, train.clips_per_step // train.clips_per_pass, peers.count):
        these = slice(micro * train.clips_per_pass, (micro + 1) * train.clips_per_pass)
        losses_LB[:, these] = _pass(trainer, clip_ids[these], step, micro)
    peers.add(losses_LB)  # each clip was seen by one process, so the others add zeros
    trainer.held.add_gradients()
    norm, parts = _update(trainer, clip_ids, step)
    means = {name: math.fsum(row) / len(row) for name, row in zip(weights, losses_LB.tolist(), strict=True)}
    weighted = sum(weights[name] * value for name, value in means.items())
    of_clips = {
        clip_id: dict(zip(weights, row, strict=True))
        for clip_id, row in zip(clip_ids, losses_LB.T.tolist(), strict=True)
    }
    found = trainer.watch.spikes(means, norm, of_clips)
    seen: dict[str, float] = {}
    if trainer.held.looks and (step == 1 or step % train.probe_every == 0):
        seen = _probe(trainer, step)
        found += trainer.watch.probed(seen)
    before = trainer.clips.in_front(clip_ids, step)
    replayed = trainer.clips.replayed_of(clip_ids)
    record = records.StepRecord(
        step, means, weighted, norm, parts, rate, clip_ids, seen, found, before, replayed
    )
    trainer.watch.remember(record)
    for text in found:
        trainer.emit(jobs.NOTICE, {"text": f"step {step}: {text}"})
    return record


def _pass(trainer: Trainer, clip_ids: list[str], step: int, micro: int) -> Tensor:
    """Forward and backward of some of a step's clips; returns their losses [L, B] in the order of the family's weights."""
    trainer.emit(jobs.PHASE, {"name": "forward", "step": step, "micro": micro})
    weights = trainer.family.spec.loss_weights
    with layers.compiled_layers(trainer.job.train.compile_layers):
        losses = trainer.held.run(_forward, trainer, clip_ids, step)
    total = sum(weights[name] * loss for name, loss in losses.items())
    assert isinstance(total, Tensor)
    _require_finite(total, clip_ids, step)
    trainer.emit(jobs.PHASE, {"name": "backward", "step": step, "micro": micro})
    with layers.compiled_layers(trainer.job.train.compile_layers):
        (total.sum() / trainer.job.train.clips_per_step).backward()  # type: ignore[no-untyped-call]
    return torch.stack([losses[name].detach().double().cpu() for name in weights])


def _forward(trainer: Trainer, clip_ids: list[str], step: int) -> dict[str, Tensor]:
    with _precision(trainer):
        batch = trainer.family.collate(trainer.loaded, trainer.clips.of_step(clip_ids, step))
        keys = [rng.key(trainer.job.seed, "noise", clip_id, step) for clip_id in clip_ids]
        noise = trainer.family.draw(trainer.loaded, batch, keys, None)
        return trainer.family.losses(trainer.loaded, batch, noise)


def _probe(trainer: Trainer, step: int) -> dict[str, float]:
    trainer.emit(jobs.PHASE, {"name": "probe", "step": step, "micro": 0})
    chosen = probe.clips(list(trainer.clips), trainer.job.seed)
    with _precision(trainer):
        bare = trainer.clips.bare(chosen)
        return trainer.held.look(probe.look, trainer.family, trainer.loaded, bare, trainer.job.seed)


def _precision(trainer: Trainer) -> torch.autocast:
    train = trainer.job.train
    in_bf16 = train.autocast or train.weights != "fp32"
    keeps = not train.shard  # a kept copy would outlive the layer that it was made for
    return torch.autocast(
        trainer.job.target.machine.device, torch.bfloat16, enabled=in_bf16, cache_enabled=keeps
    )


def _require_finite(total_B: Tensor, clip_ids: list[str], step: int) -> None:
    bad = [
        clip_id for clip_id, value in zip(clip_ids, total_B.tolist(), strict=True) if not math.isfinite(value)
    ]
    if bad:
        raise WorkerError(
            f"Step {step}: the loss of clip {', '.join(bad)} is not finite. Nothing was updated. "
            "Look the clip up in data/audit/report.html; lower the learning rate if every clip is affected."
        )


def _update(trainer: Trainer, clip_ids: list[str], step: int) -> tuple[float, dict[str, float]]:
    """Clip exactly and update; returns the gradient norm before clipping, of everything and of each part."""
    if trainer.released is None:
        norms = trainer.held.norms(memory.gradient_norms(trainer.plan.trainable))
    else:
        norms = memory.released_norms(trainer.released)
    norm, limit = memory.global_norm(norms), trainer.job.train.max_grad_norm
    if not math.isfinite(norm):
        raise WorkerError(
            f"Step {step}: the gradient norm is {norm}. The clips of the step: {', '.join(clip_ids)}. "
            "What is saved is from before this step; lower the learning rate, or look the clips up in data/audit/report.html."
        )
    parts = {
        part: memory.global_norm({name: norms.get(name, 0.0) for name in names})
        for part, names in trainer.plan.parts.items()
    }
    trainer.emit(jobs.PHASE, {"name": "optimizer", "step": step, "micro": 0})
    if trainer.released is None:
        if limit is not None:
            memory.clip(trainer.optimizer, trainer.plan.trainable, norm, limit)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=True)
    else:
        trainer.released.clear()
    return norm, parts
