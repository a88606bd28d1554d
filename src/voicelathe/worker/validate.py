"""Verb `validate`: losses of every candidate on the whole split, with noise frozen per clip and pass, and its probes.

The same clip meets the same noise, times and conditions under every candidate, so differences are differences of the weights. A candidate
is computed in one process, in this one or one of a cluster: no engine and no number of workers changes a digit.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, families, records
from voicelathe.data.latents import cache, general_set, index, replay
from voicelathe.errors import CheckpointError
from voicelathe.families.base import ClipItem, Model
from voicelathe.parallel import local, on_node
from voicelathe.parallel.needs import Needs, WorkWatch, base_bytes
from voicelathe.process import jobs
from voicelathe.train import probe
from voicelathe.worker import losses, probes, prompts
from voicelathe.worker.weights import Swapper

REVISION = 2  # of what is computed: a new one computes every finished candidate again


@dataclass(frozen=True)
class _Split:
    """What every candidate is computed on."""

    items: Mapping[str, ClipItem]
    probed: probes.Clips

    def identity(self) -> str:
        looked_at = (self.items.values(), self.probed.train, self.probed.general)
        return digest.of_value([_fingerprints(some) for some in looked_at])


@dataclass(frozen=True)
class _Found:
    """Losses and probes of one candidate."""

    clips: losses.ClipLosses
    probes: records.ProbeRecord | None


_open: dict[
    str, tuple[_Split, Swapper[Model]]
] = {}  # at most one; a process of a cluster keeps it for its next candidate


def run(job: jobs.ValidateJob, emit: Any) -> dict[str, Any]:
    """Write `<out>/<candidate>.json` for each candidate that is not finished already."""
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    split = _split(job)
    data = split.identity()
    todo = [ref for ref in job.weights if not _is_finished(job, ref, data)]
    if todo:
        if job.engine.kind != "ray":
            _opened(job, split)
        watch = WorkWatch(notice=lambda text: emit(jobs.NOTICE, {"text": text}), content=_content)
        how = job.engine if job.engine.kind == "ray" else jobs.IN_THE_WORKER
        try:
            results = local.map_shards(partial(_validated, job), todo, how, _needs(job, todo), watch)
            _keep(job, todo, results, data, emit)
        finally:
            _open.clear()
    return {"clips": len(split.items), "computed": len(todo), "key": data}


def _keep(
    job: jobs.ValidateJob,
    todo: Sequence[jobs.WeightsRef],
    results: Iterator[_Found],
    data: str,
    emit: Any,
) -> None:
    """Write each candidate as soon as it is there."""
    _announce(todo[0], emit)
    for done, (ref, found) in enumerate(zip(todo, results, strict=True), 1):
        told = records.to_json(found.probes) if found.probes else None
        digest.write_json(
            _place(job, ref), {"key": _key(job, ref, data), "clips": found.clips, "probes": told}
        )
        emit(jobs.PROGRESS, {"done": done, "total": len(todo), "unit": "candidates"})
        for following in todo[done : done + 1]:
            _announce(following, emit)


def _announce(ref: jobs.WeightsRef, emit: Any) -> None:
    emit(jobs.PHASE, {"name": "validate", "step": ref.candidate.step, "micro": 0})


def _content(ref: jobs.WeightsRef) -> str:
    return f"the losses of {ref.candidate.name}"


def _needs(job: jobs.ValidateJob, todo: Sequence[jobs.WeightsRef]) -> Needs:
    """What every node has to have: the base and the code that reads it, splits, encodings, checkpoints, and room for a task."""
    if job.engine.kind != "ray":
        return Needs()
    target, spec = job.target, families.spec(job.target.family)
    files = [job.clips, job.train_clips, str(Path(job.latents, index.FILE))]
    files += [str(Path(job.general, name)) for name in (general_set.CLIPS, index.FILE)] if job.general else []
    files += [str(Path(ref.path, checkpoints.MANIFEST)) for ref in todo if ref.kind != "base"]
    return Needs(
        tuple(sorted(set(files))), (target.base,), spec.requires, is_exact=True, cpus=target.machine.threads,
        gpus=int(target.machine.device == "cuda"), memory_bytes=base_bytes(Path(target.base)),
    )  # fmt: skip


def _split(job: jobs.ValidateJob) -> _Split:
    def few(clip_ids: list[str]) -> list[str]:
        return probe.clips(clip_ids, job.seed, job.how.probe_clips)

    def measured(clip_ids: list[str]) -> list[str]:
        """What the run did not train on."""
        if not job.replays or job.general is None:
            return few(clip_ids)
        return few([one.clip_id for one in replay.of_directory(Path(job.general)).measured])

    lexicon, general = job.target.lexicon, Path(job.general) if job.general else None
    items = cache.items(Path(job.clips), Path(job.latents), lexicon, with_control=job.control)
    train = cache.items(
        Path(job.train_clips), Path(job.latents), lexicon, few, job.control
    )  # hours need not be held
    told = families.spec(job.target.family).trains_with_control  # as they are replayed
    others = cache.items(general / general_set.CLIPS, general, lexicon, measured, told) if general else {}
    return _Split(items, probes.choose(items, train, others, job.seed, job.how.probe_clips))


def _opened(job: jobs.ValidateJob, split: _Split | None = None) -> tuple[_Split, Swapper[Model]]:
    """Clips and model of a job, opened once in a process; `split`: the clips, where they are read already."""
    key = digest.of_value(records.to_json(job))
    if key not in _open:
        _open.clear()
        family, target = families.find(job.target.family), job.target
        base = Path(target.base)
        model = family.open_model(base, family.describe(base, "", True), target.machine)
        swapper = Swapper(family, model, job.lora, job.weights)
        model.core.eval()
        _open[key] = (split or _split(job), swapper)
    return _open[key]


def _validated(job: jobs.ValidateJob, ref: jobs.WeightsRef) -> _Found:
    """Losses and probes of a candidate, in this process or one of a cluster."""
    on_node.use_threads(job.target.machine.threads)
    with on_node.named(_content(ref)):
        split, swapper = _opened(job)
        how = job.how
        swapper.put(ref)
        heard = list(split.items.values())
        if ref.candidate.prompted:
            heard = prompts.in_front(swapper.family, heard, job)
        found = losses.of_clips(swapper.opened, heard, job.seed, how.passes, how.clips_per_pass)
        _require_finite(ref, found)
        looked = None if ref.candidate.prompted else probes.look(job, ref, swapper, split.probed, found)
        return _Found(found, looked)


def _require_finite(ref: jobs.WeightsRef, found: Mapping[str, Mapping[str, float]]) -> None:
    bad = [clip for clip, own in found.items() if not all(math.isfinite(value) for value in own.values())]
    if bad:
        raise CheckpointError(
            f"{ref.candidate.name}: the validation loss of clip {bad[0]} is not finite ({len(bad)} clips in all). "
            "Its weights are broken: lower recipes.*.train.learning_rate and train again. Candidates that are written down are kept."
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
