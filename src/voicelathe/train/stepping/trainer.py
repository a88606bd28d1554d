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
from voicelathe.families.base import Family, Referenced, TrainPlan
from voicelathe.process import jobs
from voicelathe.train import adapters, anomalies, batches, memory, precision
from voicelathe.train.distributed import Peers
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


def prepare(job: jobs.TrainJob, emit: Telling, peers: Peers) -> Trainer:
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
