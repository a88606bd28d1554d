"""Verb `validate`: losses of every candidate on the whole split, with noise frozen per clip and pass, and its probes.

The same clip meets the same noise, times and conditions under every candidate, so differences are differences of the weights.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest, families, records
from voicelathe.data.latents import cache
from voicelathe.errors import CheckpointError
from voicelathe.families.base import ClipItem
from voicelathe.process import jobs
from voicelathe.worker import losses, probes, prompts
from voicelathe.worker.weights import Swapper

REVISION = 2  # of what is computed: a new one computes every finished candidate again


def run(job: jobs.ValidateJob, emit: Any) -> dict[str, Any]:
    """Write `<out>/<candidate>.json` for each candidate that is not finished already."""
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    items = cache.items(Path(job.clips), Path(job.latents))
    train = cache.items(Path(job.train_clips), Path(job.latents))
    general = {} if job.general is None else cache.items(Path(job.general, "clips.jsonl"), Path(job.general))
    clips = probes.choose(items, train, general, job.seed, job.how.probe_clips)
    data = digest.of_value([_fingerprints(some) for some in (items.values(), clips.train, clips.general)])
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
            heard = list(items.values())
            if ref.candidate.prompted:
                heard = prompts.in_front(family, heard, job)
            found = losses.of_clips(family, loaded, heard, job.seed, job.how.passes, job.how.clips_per_pass)
            _require_finite(ref, found)
            probed = None
            if not ref.candidate.prompted:
                probed = records.to_json(probes.look(job, ref, swapper, clips, found))
            digest.write_json(
                _place(job, ref), {"key": _key(job, ref, data), "clips": found, "probes": probed}
            )
            emit(jobs.PROGRESS, {"done": done + 1, "total": len(todo), "unit": "candidates"})
    return {"clips": len(items), "computed": len(todo), "key": data}


def _require_finite(ref: jobs.WeightsRef, found: Mapping[str, Mapping[str, float]]) -> None:
    bad = [clip for clip, own in found.items() if not all(math.isfinite(value) for value in own.values())]
    if bad:
        raise CheckpointError(
            f"{ref.candidate.name}: the validation loss of clip {bad[0]} is not finite ({len(bad)} clips in all). "
            "Its weights are broken: lower recipes.*.train.learning_rate and train again. Finished candidates are kept."
        )


def _key(job: jobs.ValidateJob, ref: jobs.WeightsRef, data: str) -> str:
    """Everything the losses depend on."""
    machine = job.target.machine
    heard = [job.reference.way, prompts.chosen(job)] if ref.candidate.prompted and job.reference else None
    return digest.of_value(
        [REVISION, ref.sha256, ref.candidate.lora_scale, job.target.base_digest, job.seed, job.how.passes,
         job.how.clips_per_pass, job.how.probe_clips, heard, data, machine.device, machine.threads]
    )  # fmt: skip


def _is_finished(job: jobs.ValidateJob, ref: jobs.WeightsRef, data: str) -> bool:
    path = _place(job, ref)
    return path.is_file() and digest.read_json(path)["key"] == _key(job, ref, data)


def _place(job: jobs.ValidateJob, ref: jobs.WeightsRef) -> Path:
    return Path(job.out) / f"{ref.candidate.name}.json"


def _fingerprints(items: Iterable[ClipItem]) -> dict[str, Any]:
    return {
        item.clip_id: [
            item.text,
            item.language,
            [digest.of_bytes(tensor.numpy().tobytes()) for _, tensor in sorted(item.tensors.items())],
        ]
        for item in items
    }
