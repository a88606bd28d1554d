"""Verb `measure`: what small models hear in every clip. One clip at a time, each file decoded once."""

import base64
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import jobs, records, settings
from voicelathe.data import tables
from voicelathe.data.audio import AudioFile, mono, resample
from voicelathe.data.audio_files import AudioProblem
from voicelathe.speech import RATE_HZ, activity, words

Clip = tuple[records.ManifestRow, NDArray[np.float32]]

CLIPS_AT_ONCE, SAMPLES_AT_ONCE = 32, 16_000_000
SPEEDS = (2.0, 0.5, 3.0, 1 / 3)  # of a file whose header lies; 1.5 sounds like speech at 2, too
TRIED_S, MOST = 30.0, 0.5  # what is listened to at other speeds, and the share of it that must be speech


def run(job: jobs.MeasureJob, emit: Any) -> dict[str, Any]:
    """Listen to the clips and write what was heard. A clip that cannot be read any more is left out."""
    rows = records.read(Path(job.clips), records.ManifestRow)
    emit(jobs.PHASE, {"name": "listen", "step": 0, "micro": 0})
    heard: list[records.Heard] = []
    for some in _batches(_clips(rows, Path(job.audio_root))):
        found = activity.segments_of_each([samples for _, samples in some])
        heard += [
            _heard(row, samples, speech, job.how) for (row, samples), speech in zip(some, found, strict=True)
        ]
        emit(jobs.PROGRESS, {"done": len(heard), "total": len(rows), "unit": "clips"})
    tables.write(Path(job.out), heard, records.Heard)
    return {"clips": len(heard)}


def _batches(clips: Iterator[Clip]) -> Iterator[list[Clip]]:
    """Clips to be heard at once: at most CLIPS_AT_ONCE, and no more samples than fit, all as long as the longest."""
    some: list[Clip] = []
    for clip in clips:
        longest = max(len(samples) for _, samples in [*some, clip])
        if some and (len(some) == CLIPS_AT_ONCE or longest * (len(some) + 1) > SAMPLES_AT_ONCE):
            yield some
            some = []
        some.append(clip)
    if some:
        yield some


def _clips(rows: list[records.ManifestRow], root: Path) -> Iterator[Clip]:
    """Each row with its samples [frames] at RATE_HZ."""
    ordered = sorted(rows, key=lambda row: (row.audio, row.start_s or 0.0, row.clip_id))
    for name, members in groupby(ordered, key=lambda row: row.audio):
        clips = list(members)
        try:
            with AudioFile(root, name, clips[0].audio_sha256) as file:
                for row in clips:
                    sound = mono(file.clip(row.start_s, row.end_s))
                    yield row, np.nan_to_num(resample(sound, file.rate_hz, RATE_HZ))
        except AudioProblem:
            continue


def _heard(
    row: records.ManifestRow,
    samples: NDArray[np.float32],
    found: list[activity.Segment],
    how: settings.Hear,
) -> records.Heard:
    cer, is_aligned, said = _words(row, samples) if how.words else (None, None, None)
    speech = activity.only_speech(samples, found)
    return records.Heard(
        clip_id=row.clip_id,
        speech_s=round(activity.speech_s(found), 3),
        speed=_speed(samples, activity.speech_s(found)),
        cer=cer,
        is_aligned=is_aligned,
        voice=_voice(speech) if how.voice else None,
        said=said,
    )


def _speed(samples: NDArray[np.float32], speech_s: float) -> float | None:
    """The first of SPEEDS at which most of the clip is speech, where little of it is at its own."""
    if speech_s >= MOST * len(samples) / RATE_HZ:
        return None
    for speed in SPEEDS:
        played = resample(samples[: round(TRIED_S * RATE_HZ)], round(RATE_HZ * speed), RATE_HZ)
        if activity.speech_s(activity.segments(played)) >= MOST * len(played) / RATE_HZ:
            return round(speed, 3)
    return None


def _words(
    row: records.ManifestRow, samples: NDArray[np.float32]
) -> tuple[float | None, bool | None, str | None]:
    """Character errors, whether all of the text is there, and what was heard; None for languages that the recogniser does not know."""
    if row.language.lower().partition("-")[0] != words.LANGUAGE or not words.normalise(row.text or ""):
        return None, None, None
    said = words.recognise(samples)
    errors = words.errors(row.text or "", said)
    is_known = not words.unknown_words(row.text or "")
    aligned = words.align(samples, row.text or "") is not None if is_known else None
    return (None if errors is None else round(errors.cer, 4)), aligned, said


def _voice(speech: NDArray[np.float32]) -> str | None:
    """The embedding of a voice as text; None for too little speech to know a voice by."""
    from voicelathe.speech import speaker

    if len(speech) < 0.3 * RATE_HZ:
        return None
    return base64.b64encode(speaker.embed(speech).astype("<f2").tobytes()).decode()
