"""What a validation loss does not show: does the text matter, does speech end in time, are training clips known by heart?

The same clips and the same noise for every candidate and for the base, so that a change is a change of the weights.
`train.probe` asks the first two during training, of a few training clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from voicelathe.families.base import ClipItem, FamilySpec, Model
from voicelathe.process import jobs
from voicelathe.records import Ending, ProbeRecord
from voicelathe.train import probe
from voicelathe.worker import applied, losses
from voicelathe.worker.weights import Swapper


@dataclass(frozen=True)
class Clips:
    """What is looked at, the same for every candidate."""

    validation: list[ClipItem]
    train: list[ClipItem]
    general: list[ClipItem]


def choose(
    validation: Mapping[str, ClipItem],
    train: Mapping[str, ClipItem],
    general: Mapping[str, ClipItem],
    seed: int,
    number: int,
) -> Clips:
    """At most so many of each, whatever order they come in."""

    def some(items: Mapping[str, ClipItem]) -> list[ClipItem]:
        return [items[clip_id] for clip_id in probe.clips(list(items), seed, number)]

    return Clips(some(validation), some(train), some(general))


def look(
    job: jobs.ValidateJob, ref: jobs.WeightsRef, swapper: Swapper[Model], clips: Clips, own: losses.ClipLosses
) -> ProbeRecord:
    """The probes of the candidate that is in place; `own` are its validation losses. Raises CheckpointError for an adapter without effect."""
    spec, how = swapper.family.spec, job.how
    proof = applied.prove(swapper, ref, clips.validation, job.seed) if ref.kind == "lora" else None

    def of(items: Sequence[ClipItem]) -> losses.ClipLosses:
        return losses.of_clips(swapper.opened, items, job.seed, how.passes, how.clips_per_pass)

    main = probe.main_loss(spec)
    other = of(probe.with_other_texts(clips.validation))
    return ProbeRecord(
        candidate=ref.candidate.name,
        step=ref.candidate.step,
        lora_scale=ref.candidate.lora_scale,
        checkpoint_sha256=ref.sha256,
        adapter=proof,
        text_loss=main,
        own_text={item.clip_id: own[item.clip_id][main] for item in clips.validation},
        other_text={clip_id: found[main] for clip_id, found in other.items()},
        endings=_endings(swapper, clips.validation, how.clips_per_pass),
        train_totals=losses.totals(of(clips.train), spec.loss_weights),
        general_totals=losses.totals(of(clips.general), spec.loss_weights),
    )


def _endings(swapper: Swapper[Model], items: Sequence[ClipItem], size: int) -> dict[str, Ending]:
    found = {}
    for members in losses.batches(items, size):
        with torch.inference_mode():
            chances = swapper.opened.endings(swapper.opened.collate(members))
        for item, chance_A in zip(members, chances, strict=True):
            found[item.clip_id] = ending(swapper.family.spec, chance_A)
    return found


def ending(spec: FamilySpec, chance_A: Any) -> Ending:
    """By upstream's own rule: the first position that may end speech and whose probability is above the threshold."""
    chances = chance_A.double().tolist()
    stops = (at for at, chance in enumerate(chances) if at >= spec.stop_after and chance > spec.stop_above)
    return Ending(len(chances), next(stops, None), float(f"{chances[-1]:.6g}"))
