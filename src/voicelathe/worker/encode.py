"""Verb `encode`: every clip of every split through the base's own audio encoder, once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from voicelathe import families, records
from voicelathe.data.audio import waveform
from voicelathe.data.latents import cache
from voicelathe.errors import ManifestError, listing
from voicelathe.process import jobs

CLIPS_PER_BATCH = {"cpu": 1, "cuda": 8}  # on the CPU one clip at a time is as fast and needs the least memory


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


def _encode(
    job: jobs.EncodeJob, todo: Sequence[records.CleanClip], cached: dict[str, Path], emit: Any
) -> None:
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    family, base, machine = families.find(job.target.family), Path(job.target.base), job.target.machine
    facts = family.describe(base, licence="", trained=True)
    _require_fitting(todo, facts)
    loaded = family.load(base, facts, machine, "encoder")
    torch.backends.cudnn.allow_tf32 = (
        False  # on a card, convolutions would keep 10 bits, and a neighbour in the batch would show
    )
    size = CLIPS_PER_BATCH[machine.device]
    for start in range(0, len(todo), size):
        batch = todo[start : start + size]
        emit(jobs.PHASE, {"name": "encode", "step": start, "micro": 0})
        samples = [waveform.read_mono(Path(job.audio_root), clip, facts.encode_rate_hz) for clip in batch]
        for clip, tensors in zip(batch, family.encode(loaded, samples), strict=True):
            cache.store(cached[clip.clip_id], tensors)
        emit(jobs.PROGRESS, {"done": start + len(batch), "total": len(todo), "unit": "clips"})


def _require_fitting(clips: Sequence[records.CleanClip], facts: records.BaseFacts) -> None:
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
