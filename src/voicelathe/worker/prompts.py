"""What a base hears before it speaks zero-shot: a held-out clip of the speaker, never one of the recording that is asked for."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from voicelathe import records
from voicelathe.data.audio import waveform
from voicelathe.data.latents import cache
from voicelathe.data.lexicon.reading import as_read
from voicelathe.families.base import ClipItem, Family, Prompt
from voicelathe.families.optional import Promptable
from voicelathe.process import jobs


def in_front(family: Family, items: Sequence[ClipItem], job: jobs.ValidateJob) -> list[ClipItem]:
    """Every clip with a reference in front of it; the one clip that is its own only possible reference keeps none."""
    assert isinstance(family, Promptable) and job.reference is not None, (
        "params refuse a recipe that asks for it"
    )
    known = cache.items(Path(job.clips), Path(job.latents), job.target.lexicon)
    before = chosen(job)
    return [
        item
        if (prompt := before[item.clip_id]) is None
        else family.prompted(item, known[prompt], job.reference.way)
        for item in items
    ]


def chosen(job: jobs.ValidateJob) -> dict[str, str | None]:
    """Clip -> the clip that stands in front of it."""
    assert job.reference is not None, "asked of a prompted candidate only"
    found = {}
    for row in records.read(Path(job.clips), records.CleanClip):
        others = [one for one in job.reference.clips if one.recording_id != row.recording_id]
        others += [one for one in job.reference.clips if one.clip_id != row.clip_id]
        found[row.clip_id] = others[0].clip_id if others else None
    return found


@contextmanager
def heard(reference: jobs.Reference, rate_hz: int, lexicon: records.Lexicon | None) -> Iterator[Prompt]:
    """The first reference as a base hears it: a WAV at the rate of its encoder, and its words."""
    clip = reference.clips[0]
    samples = waveform.read_mono(Path(reference.audio_root), clip, rate_hz)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "reference.wav"
        waveform.write_wav(path, samples, rate_hz)
        yield Prompt(reference.way, path, as_read(lexicon, clip.text, clip.language))
