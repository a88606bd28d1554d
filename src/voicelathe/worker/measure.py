"""Verb `measure`: what small models hear in every clip, spread over the engine's processes."""

import base64
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import records
from voicelathe.config import schema
from voicelathe.data import tables
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile, as_float, mono, one_channel, resample
from voicelathe.parallel import local
from voicelathe.parallel.needs import Needs, WorkWatch
from voicelathe.process import jobs
from voicelathe.speech import RATE_HZ, activity, recogniser, recogniser_files, transcripts, words

Clip = tuple[records.ManifestRow, NDArray[np.float32]]
Words = tuple[float | None, bool | None, str | None]

THIS_PROCESS = uuid.uuid4().hex  # another process, also one of another machine, has another
NOTHING: Words = (None, None, None)

CLIPS_AT_ONCE, SAMPLES_AT_ONCE = 32, 16_000_000
SPEEDS = (2.0, 0.5, 3.0, 1 / 3)  # of a file whose header lies; 1.5 sounds like speech at 2, too
TRIED_S, MOST = 30.0, 0.5  # what is listened to at other speeds, and the share of it that must be speech


def run(job: jobs.MeasureJob, emit: Any) -> dict[str, Any]:
    """Listen to the clips and write what was heard. A clip that cannot be read any more is left out."""
    rows = records.read(Path(job.clips), records.ManifestRow)
    emit(jobs.PHASE, {"name": "listen", "step": 0, "micro": 0})
    heard: list[records.Heard] = []
    done = 0
    shards = _shards(rows)
    work = partial(_listen, job=job, parent=THIS_PROCESS)
    watch = WorkWatch(notice=lambda text: emit(jobs.NOTICE, {"text": text}))
    results = local.map_shards(work, shards, _spread(job), _needs(rows, job), watch)
    for shard, found in zip(shards, results, strict=True):
        heard += found
        done += len(shard)
        emit(jobs.PROGRESS, {"done": done, "total": len(rows), "unit": "clips"})
    tables.write(Path(job.out), heard, records.Heard)
    return {"clips": len(heard)}


def _shards(rows: list[records.ManifestRow]) -> list[Sequence[records.ManifestRow]]:
    """Rows by file, so that each file is decoded once or twice, at most CLIPS_AT_ONCE together."""
    ordered = sorted(rows, key=lambda row: (row.audio, row.start_s or 0.0, row.clip_id))
    return list(local.cut(ordered, CLIPS_AT_ONCE))


def _spread(job: jobs.MeasureJob) -> schema.Engine:
    """One process where the recogniser lies on a card: each would load it there again."""
    on_card = job.recogniser is not None and job.recogniser.device == "cuda"
    return schema.Engine("serial", 1) if on_card else job.engine


def _needs(rows: list[records.ManifestRow], job: jobs.MeasureJob) -> Needs:
    """What every machine has to have: the audio, and the recogniser's files."""
    names = sorted({row.audio for row in rows if row.audio_problem is None})
    ears = [job.recogniser.directory] if job.recogniser is not None and job.how.words else []
    return Needs.of(Path(job.audio_root), names, ears)


def _listen(rows: Sequence[records.ManifestRow], job: jobs.MeasureJob, parent: str) -> list[records.Heard]:
    """What was heard in some clips, in this process or one of the engine's."""
    import torch

    if parent != THIS_PROCESS:  # a process of the engine has one thread
        torch.set_num_threads(1)
    heard: list[records.Heard] = []
    for some in _batches(_clips(rows, Path(job.audio_root))):
        found = activity.segments_of_each([samples for _, samples in some])
        heard += [
            _heard(row, samples, speech, job) for (row, samples), speech in zip(some, found, strict=True)
        ]
    return heard


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


def _clips(rows: Sequence[records.ManifestRow], root: Path) -> Iterator[Clip]:
    """Each row with its samples [frames] at RATE_HZ. Rows of one file stand together."""
    for name, members in groupby(rows, key=lambda row: row.audio):
        clips = list(members)
        try:
            with AudioFile(root, name, clips[0].audio_sha256) as file:
                for row in clips:
                    sound = mono(as_float(one_channel(file.stored(row.start_s, row.end_s), row.channel)))
                    yield row, np.nan_to_num(resample(sound, file.rate_hz, RATE_HZ))
        except AudioProblem:
            continue


def _heard(
    row: records.ManifestRow,
    samples: NDArray[np.float32],
    found: list[activity.Segment],
    job: jobs.MeasureJob,
) -> records.Heard:
    cer, is_aligned, said = _words(row, samples, found, job.recogniser) if job.how.words else NOTHING
    speech = activity.only_speech(samples, found)
    return records.Heard(
        clip_id=row.clip_id,
        speech_s=round(activity.speech_s(found), 3),
        speed=_speed(samples, activity.speech_s(found)),
        cer=cer,
        is_aligned=is_aligned,
        voice=_voice(speech) if job.how.voice else None,
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
    row: records.ManifestRow,
    samples: NDArray[np.float32],
    found: list[activity.Segment],
    ref: records.RecogniserRef | None,
) -> Words:
    """Character errors, whether the end of the text is there, and what was heard; None for languages that the recogniser does not know."""
    text = row.text or ""
    if not transcripts.normalise(text, row.language):
        return NOTHING
    if ref is None:
        return _rough_words(row, samples)
    if recogniser_files.code(row.language) not in map(recogniser_files.code, ref.languages):
        return NOTHING
    heard = recogniser.of(ref).hear(samples, row.language, found)
    if heard.log_prob is None:  # nobody speaks, which `speech_s` says
        return NOTHING
    errors = transcripts.errors(text, heard.text, row.language)
    assert errors is not None
    return round(errors.cer, 4), errors.missing_end == 0, transcripts.normalise(heard.text, row.language)


def _rough_words(row: records.ManifestRow, samples: NDArray[np.float32]) -> Words:
    """As `_words`, with PocketSphinx, which knows English only."""
    text = row.text or ""
    if transcripts.primary(row.language) != words.LANGUAGE or not words.normalise(text):
        return NOTHING
    said = words.recognise(samples)
    errors = words.errors(text, said)
    is_known = not words.unknown_words(text)
    aligned = words.align(samples, text) is not None if is_known else None
    return (
        (None if errors is None else round(errors.cer, 4)),
        aligned,
        transcripts.normalise(said, row.language),
    )


def _voice(speech: NDArray[np.float32]) -> str | None:
    """The embedding of a voice as text; None for too little speech to know a voice by."""
    from voicelathe.speech import speaker

    if len(speech) < 0.3 * RATE_HZ:
        return None
    return base64.b64encode(speaker.embed(speech).astype("<f2").tobytes()).decode()
