"""Verb `copy`: real clips through the base's own codec and back. What is heard in them is the best that its voices can be."""

from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import families, records
from voicelathe.data.audio import waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.errors import ManifestError
from voicelathe.families.optional import Copying
from voicelathe.families.shared import seeding
from voicelathe.process import jobs

SEED = 0  # a decoder may draw noise, and the same clip has to give the same copy


def run(job: jobs.CopyJob, emit: Any) -> dict[str, Any]:
    """Copy what is not copied yet; a file appears whole or not at all."""
    todo = [clip for clip in job.clips if not jobs.copied(job, clip).is_file()]
    if not todo:
        return {"copied": 0}
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    family, base = families.find(job.target.family), Path(job.target.base)
    facts = family.describe(base, "", True)
    encoder = family.open_encoder(base, facts, job.target.machine)
    assert isinstance(encoder, Copying), "the parent asks no other family"
    for number, clip in enumerate(todo):
        emit(jobs.PHASE, {"name": "copy", "step": number, "micro": 0})
        heard = _samples(clip, facts.encode_rate_hz)
        with seeding.of(SEED):
            spoken = encoder.copy(heard)
        waveform.write_wav(jobs.copied(job, clip), np.nan_to_num(spoken.samples), spoken.rate_hz)
        emit(jobs.PROGRESS, {"done": number + 1, "total": len(todo), "unit": "clips"})
    return {"copied": len(todo)}


def _samples(clip: records.ClipRef, rate_hz: int) -> waveform.Samples:
    try:
        found, from_hz = waveform.of_ref(clip)
    except AudioProblem as problem:
        raise ManifestError(
            f"{clip.root}/{clip.audio}: it could be read when it was measured and cannot be now ({problem.code}: {problem.detail}). "
            "Restore the file, then: dvc repro"
        ) from None
    return waveform.resample(found, from_hz, rate_hz)
