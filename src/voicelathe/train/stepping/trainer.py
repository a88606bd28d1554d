"""What the steps of one run work on: the job, the model as it is trained, its optimizer, clips and peers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voicelathe import families, records
from voicelathe.data.audio import waveform
from voicelathe.families.base import Family, Model, TrainPlan
from voicelathe.families.optional import Referenced
from voicelathe.process import jobs
from voicelathe.train import adapters, anomalies, batches, memory, precision
from voicelathe.train.distributed import Peers
from voicelathe.train.optimizers.base import Piecewise
from voicelathe.train.sharded import pieces

Emit = Callable[[str, dict[str, Any]], None]


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
    model: Model
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


def prepare(job: jobs.TrainJob, emit: Telling, peers: Peers) -> Trainer:
    """Open on the host, where weights become what `train.weights` says, then move: the card never holds both.

    A bf16 base of a bf16 training is never made fp32 in between: the host never holds both either.
    """
    target, train, family = job.target, job.train, families.find(job.target.family)
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    facts = family.describe(Path(target.base), licence="", trained=True)
    on_host, in_bf16 = replace(target.machine, device="cpu"), train.weights != "fp32"
    model = family.open_model(Path(target.base), facts, on_host, keep_bf16=in_bf16)
    if train.lora is not None:
        targets = model.adapter_targets(train.lora.scope)
        adapters.inject(model.core, train.lora, targets, job.seed, in_fp32=True)
        adapters.leave_casts_to_autocast(model.core, train)
    model.checkpoint_blocks(train.activation_checkpointing)
    plan = model.trainable(train.mode)
    lows = precision.narrow(model.core, train.weights, plan.trainable)
    model.device = torch.device(target.machine.device)
    held = pieces.held(model, train, family.spec, plan, peers)
    plan = replace(plan, trainable=held.own)
    optimizer = memory.optimizer(train, model.core, plan.trainable, lows, job.seed)
    if isinstance(optimizer, Piecewise):
        agree(optimizer, peers, emit)
    released = memory.release_gradients(optimizer, plan.trainable) if train.gradient_release else None
    clips = batches.opened(job, family, model)
    model.prepare(list(clips.items.values()))
    if isinstance(model, Referenced):
        _keep_references(model, job, facts.encode_rate_hz)
    order = batches.Order(
        list(clips.items), train.clips_per_step, job.seed, list(clips.replayed), train.replay_share
    )
    return Trainer(
        job, family, model, plan, optimizer, clips, emit, released, anomalies.Watch([]), peers, order, held
    )


def agree(optimizer: Piecewise, peers: Peers, emit: Emit) -> None:
    """All processes of a run update by the same kernels, or their weights would part. Says why some cannot do it by one."""
    if peers.any(not optimizer.is_fused):
        optimizer.use_plain_kernels()
    for text in peers.all_said(optimizer.notice):
        emit(jobs.NOTICE, {"text": text})


def _keep_references(model: Referenced, job: jobs.TrainJob, rate_hz: int) -> None:
    """The sound of each speaker's reference, for the checkpoints to carry."""
    clips = {clip.clip_id: clip for clip in records.read(Path(job.clips), records.CleanClip)}
    for speaker, clip_id in model.references().items():
        samples = waveform.read_mono(Path(job.audio_root), clips[clip_id], rate_hz)
        model.keep(speaker, samples)
