"""Verb `validate`: losses of every candidate on the whole split, with noise frozen per clip and pass.

The same clip meets the same noise, times and conditions under every candidate, so differences are differences of the weights.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from voicelathe import digest, families, jobs, rng
from voicelathe.data import latents
from voicelathe.errors import CheckpointError
from voicelathe.families.base import ClipItem
from voicelathe.worker.weights import Swapper

REVISION = 1  # of the losses' meaning: a new one recomputes every finished candidate


def run(job: jobs.ValidateJob, emit: Any) -> dict[str, Any]:
    """Write `<out>/<candidate>.json` for each candidate that is not finished already."""
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    items = latents.items(Path(job.clips), Path(job.latents))
    data = digest.of_value({clip_id: [item.text, _fingerprint(item)] for clip_id, item in items.items()})
    todo = [ref for ref in job.weights if not _is_finished(job, ref, data)]
    if todo:
        family, target = families.find(job.target.family), job.target
        loaded = family.load(
            Path(target.base), family.describe(Path(target.base), "", True), target.machine, "core"
        )
        swapper = Swapper(family, loaded, Path(target.base), job.lora, job.weights)
        loaded.core.eval()
        for done, ref in enumerate(todo):
            emit(jobs.PHASE, {"name": "validate", "step": ref.candidate.step, "micro": 0})
            swapper.put(ref)
            losses = _losses(job, swapper, items)
            _require_finite(ref, losses)
            digest.write_json(_place(job, ref), {"key": _key(job, ref, data), "clips": losses})
            emit(jobs.PROGRESS, {"done": done + 1, "total": len(todo), "unit": "candidates"})
    return {"clips": len(items), "computed": len(todo), "key": data}


def _losses(
    job: jobs.ValidateJob, swapper: Swapper, items: Mapping[str, ClipItem]
) -> dict[str, dict[str, float]]:
    """Mean losses of each clip over the passes; clips of similar length share a batch."""
    family, passes, size = swapper.family, job.how.passes, job.how.clips_per_pass
    ordered = sorted(items, key=lambda clip_id: (_length(items[clip_id]), clip_id))
    sums: dict[str, dict[str, float]] = {clip_id: {} for clip_id in items}
    for start in range(0, len(ordered), size):
        members = ordered[start : start + size]
        batch = family.collate(swapper.loaded, [items[clip_id] for clip_id in members])
        for number in range(passes):
            keys = [rng.key(job.seed, "validation", clip_id, number) for clip_id in members]
            noise = family.draw(swapper.loaded, batch, keys, (number, passes))
            with torch.inference_mode():
                losses = family.losses(swapper.loaded, batch, noise)
            for name, values in losses.items():
                for clip_id, value in zip(members, values.double().tolist(), strict=True):
                    sums[clip_id][name] = sums[clip_id].get(name, 0.0) + value / passes
    return sums


def _require_finite(ref: jobs.WeightsRef, losses: Mapping[str, Mapping[str, float]]) -> None:
    bad = [
        clip for clip, found in losses.items() if not all(math.isfinite(value) for value in found.values())
    ]
    if bad:
        raise CheckpointError(
            f"{ref.candidate.name}: the validation loss of clip {bad[0]} is not finite ({len(bad)} clips in all). "
            "Its weights are broken: lower recipes.*.train.learning_rate and train again. Finished candidates are kept."
        )


def _key(job: jobs.ValidateJob, ref: jobs.WeightsRef, data: str) -> str:
    """Everything the losses depend on."""
    machine = job.target.machine
    return digest.of_value(
        [REVISION, ref.sha256, ref.candidate.lora_scale, job.target.base_digest, job.seed, job.how.passes,
         job.how.clips_per_pass, data, machine.device, machine.threads]
    )  # fmt: skip


def _is_finished(job: jobs.ValidateJob, ref: jobs.WeightsRef, data: str) -> bool:
    path = _place(job, ref)
    return path.is_file() and digest.read_json(path)["key"] == _key(job, ref, data)


def _place(job: jobs.ValidateJob, ref: jobs.WeightsRef) -> Path:
    return Path(job.out) / f"{ref.candidate.name}.json"


def _length(item: ClipItem) -> int:
    return max(tensor.shape[0] for tensor in item.tensors.values())


def _fingerprint(item: ClipItem) -> list[str]:
    return [digest.of_bytes(tensor.numpy().tobytes()) for _, tensor in sorted(item.tensors.items())]
