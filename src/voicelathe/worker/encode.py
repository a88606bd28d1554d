"""Verb `encode`: every clip of every split through the base's own audio encoder, once; in this process or in those of a cluster.

Clips that are encoded together are padded to one length, which shows in last digits. So batches are cut here, from the clips that are
missing, and a shard is some whole batches: no engine and no number of workers changes who stands beside whom.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from voicelathe import families, records
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.data.latents import cache
from voicelathe.errors import ManifestError, listing
from voicelathe.families.base import Encoder
from voicelathe.parallel import local, on_node
from voicelathe.parallel.needs import Needs, WorkWatch
from voicelathe.process import jobs

CLIPS_PER_BATCH = {"cpu": 1, "cuda": 8}  # on the CPU one clip at a time is as fast and needs the least memory

Batch = Sequence[records.CleanClip]
Encoding = Mapping[str, torch.Tensor]

_opened: dict[
    jobs.Target, Encoder
] = {}  # at most one base; a process of a cluster keeps it for its next shard


def run(job: jobs.EncodeJob, emit: Any) -> dict[str, Any]:
    """Encode what the cache lacks, then write shards and index. Killed at any moment, it goes on with the next clip."""
    clips = {split: records.read(Path(path), records.CleanClip) for split, path in job.splits.items()}
    everything = [clip for members in clips.values() for clip in members]
    cached = {clip.clip_id: _place(job, clip) for clip in everything}
    todo = sorted(
        (clip for clip in everything if not cached[clip.clip_id].is_file()),
        key=lambda clip: (clip.audio, clip.start_s, clip.clip_id),
    )
    if todo:
        _encode(job, todo, cached, emit)
    emit(jobs.PHASE, {"name": "bundle", "step": 0, "micro": 0})
    cache.bundle(clips, cached, Path(job.out))
    return {"clips": len(everything), "encoded": len(todo)}


def _encode(job: jobs.EncodeJob, todo: Batch, cached: dict[str, Path], emit: Any) -> None:
    """Encode clips and keep each under its own name. With a cluster, this process loads nothing."""
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    facts = families.find(job.target.family).describe(Path(job.target.base), licence="", trained=True)
    _require_fitting(todo, facts)
    how = _engine(job, emit)
    if how.kind != "ray":
        _encoder(job.target, facts)
    shards = _shards(todo, job.target.machine.device, how)
    work = partial(_encoded, job.target, facts, job.audio_root)
    watch = WorkWatch(notice=lambda text: emit(jobs.NOTICE, {"text": text}), content=_content)
    try:
        _keep(shards, local.map_shards(work, shards, how, _needs(job, todo), watch), cached, emit)
    finally:
        _opened.clear()


def _keep(
    shards: Sequence[Sequence[Batch]],
    results: Iterator[Sequence[Encoding]],
    cached: Mapping[str, Path],
    emit: Any,
) -> None:
    """Each clip's encoding under its own name, as soon as it is there."""
    done, total = 0, sum(len(batch) for batch in chain(*shards))
    emit(jobs.PHASE, {"name": "encode", "step": 0, "micro": 0})
    for shard, found in zip(shards, results, strict=True):
        for clip, tensors in zip(chain(*shard), found, strict=True):
            cache.store(cached[clip.clip_id], tensors)
        done += len(found)
        emit(jobs.PROGRESS, {"done": done, "total": total, "unit": "clips"})
        emit(jobs.PHASE, {"name": "encode", "step": done, "micro": 0})


def _engine(job: jobs.EncodeJob, emit: Any) -> schema.Engine:
    """The cluster where one was asked for and its nodes can do it, else this process."""
    if job.engine.kind != "ray":
        return jobs.IN_THE_WORKER
    if "encode" in families.spec(job.target.family).elsewhere:
        why = "encodes in an interpreter of its own, which nodes of a cluster do not have: one process here does it"
        emit(jobs.NOTICE, {"text": f"{job.target.family} {why}"})
        return jobs.IN_THE_WORKER
    return job.engine


def _shards(todo: Batch, device: str, how: schema.Engine) -> list[Sequence[Batch]]:
    """Whole batches: one for this process, so that each is kept and told at once; some for a task of a cluster."""
    batches = local.cut(todo, CLIPS_PER_BATCH[device])
    return local.for_cluster(batches, how) if how.kind == "ray" else list(local.cut(batches, 1))


def _needs(job: jobs.EncodeJob, todo: Batch) -> Needs:
    """What every node has to have: the audio, the base, the code that reads it, and room for a task."""
    machine = job.target.machine
    audio = Needs.of(Path(job.audio_root), sorted({clip.audio for clip in todo}), [job.target.base])
    packages, gpus = families.spec(job.target.family).requires, int(machine.device == "cuda")
    return replace(audio, packages=packages, is_exact=True, cpus=machine.threads, gpus=gpus)


def _content(shard: Sequence[Batch]) -> str:
    clips = [clip.clip_id for batch in shard for clip in batch]
    return f"clip {clips[0]}" if len(clips) == 1 else f"clips {clips[0]} to {clips[-1]}, {len(clips)} in all"


def _encoded(
    target: jobs.Target, facts: records.BaseFacts, audio_root: str, shard: Sequence[Batch]
) -> list[Encoding]:
    """The encodings of a shard's clips, in order; in this process or one of a cluster."""
    on_node.use_threads(target.machine.threads)
    encoder, found = _encoder(target, facts), list[Encoding]()
    for batch in shard:
        with on_node.named(_content([batch])):
            found += _of_batch(encoder, Path(audio_root), batch)
    return found


def _of_batch(encoder: Encoder, audio_root: Path, batch: Batch) -> Iterator[Encoding]:
    rate_hz = encoder.facts.encode_rate_hz
    samples = [waveform.read_mono(audio_root, clip, rate_hz) for clip in batch]
    return encoder.encode(samples)


def _encoder(target: jobs.Target, facts: records.BaseFacts) -> Encoder:
    """The base's encoder, opened once in a process."""
    if target not in _opened:
        _opened.clear()
        torch.backends.cudnn.allow_tf32 = (
            False  # on a card, convolutions would keep 10 bits, and a neighbour in the batch would show
        )
        family = families.find(target.family)
        _opened[target] = family.open_encoder(Path(target.base), facts, target.machine)
    return _opened[target]


def _require_fitting(clips: Batch, facts: records.BaseFacts) -> None:
    """No family can train on a clip longer than its sequence. Raises ManifestError before anything is loaded."""
    long = [clip for clip in clips if clip.end_s - clip.start_s > facts.max_clip_s]
    if long:
        said = [f"clip {clip.clip_id} ({clip.audio}): {clip.end_s - clip.start_s:.1f} s" for clip in long]
        raise ManifestError(
            f"{facts.family} takes clips of up to {facts.max_clip_s:.1f} s:\n{listing(said)}\n"
            "Cut them, or lower audit.max_duration_s in params.yaml, which drops them."
        )


def _place(job: jobs.EncodeJob, clip: records.CleanClip) -> Path:
    key = cache.cache_key(clip, job.target.base_digest)
    return Path(job.cache) / key[:2] / f"{key}.safetensors"
