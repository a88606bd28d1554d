"""What a base hears before it speaks zero-shot: a held-out clip of the speaker, never one of the recording that is asked for."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicelathe import jobs, records
from voicelathe.data import audio, latents
from voicelathe.families.base import ClipItem, Promptable


def in_front(family: Any, items: Sequence[ClipItem], job: jobs.ValidateJob) -> list[ClipItem]:
    """Every clip with a reference in front of it; the one clip that is its own only possible reference keeps none."""
    assert isinstance(family, Promptable) and job.reference is not None, (
        "params refuse a recipe that asks for it"
    )
    known = latents.items(Path(job.clips), Path(job.latents))
    recordings = {row.clip_id: row.recording_id for row in records.read(Path(job.clips), records.CleanClip)}
    found = []
    for item in items:
        others = [one for one in job.reference.clips if one.recording_id != recordings[item.clip_id]]
        others += [one for one in job.reference.clips if one.clip_id != item.clip_id]
        found.append(family.prompted(item, known[others[0].clip_id]) if others else item)
    return found


@contextmanager
def as_file(reference: jobs.Reference, rate_hz: int) -> Iterator[Path]:
    """The first reference as a WAV at the rate of the base's encoder."""
    samples = audio.read_mono(Path(reference.audio_root), reference.clips[0], rate_hz)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "reference.wav"
        audio.write_wav(path, samples, rate_hz)
        yield path
