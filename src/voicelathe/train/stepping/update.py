"""One update: packed passes over the step's clips, their losses and gradients, the norm, the optimizer.

The loss is the mean over the step's clips of each clip's mean. Each phase is announced before it begins, so that whoever outlives
this process can tell what killed it.
"""

import math

import torch
from torch import Tensor

from voicelathe import records, rng
from voicelathe.errors import WorkerError
from voicelathe.families.shared import layers
from voicelathe.process import jobs
from voicelathe.train import memory, probe, schedule
from voicelathe.train.stepping.trainer import Trainer


def take(trainer: Trainer, step: int) -> records.StepRecord:
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
        batch = trainer.model.collate(trainer.clips.of_step(clip_ids, step))
        keys = [rng.key(trainer.job.seed, "noise", clip_id, step) for clip_id in clip_ids]
        noise = trainer.model.draw(batch, keys, None)
        return trainer.model.losses(batch, noise)


def _probe(trainer: Trainer, step: int) -> dict[str, float]:
    trainer.emit(jobs.PHASE, {"name": "probe", "step": step, "micro": 0})
    chosen = probe.clips(list(trainer.clips), trainer.job.seed)
    with _precision(trainer):
        bare = trainer.clips.bare(chosen)
        return trainer.held.look(probe.look, trainer.family.spec, trainer.model, bare, trainer.job.seed)


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
