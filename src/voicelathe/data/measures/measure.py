"""What the audio of every clip really is: the one stage that decodes, and it decodes each file once.

Figures are computed in float64 and rounded, and sorted by clip, so the table is the same bytes for any number of workers, and
whether or not something was measured before. A file that hangs, kills or fills its worker costs the clip that did it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.audio import levels
from voicelathe.data.audio.decoding import Stored
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile, as_float, one_channel, to_16_bit
from voicelathe.data.measures import fingerprint, loudness, spectrum
from voicelathe.data.measures.cache import MeasureCache
from voicelathe.parallel import local
from voicelathe.parallel.needs import UNWATCHED, Needs, WorkWatch
from voicelathe.records import ClipMeasure, ManifestRow

Floats = NDArray[np.float64]
Work = Callable[[list[ManifestRow]], Iterator[ClipMeasure]]
Way = Callable[[Work, list[list[ManifestRow]]], list[local.Attempt[ClipMeasure]]]

CLIPS_AT_ONCE = 5000  # measured before the cache is written
# The longest that a clip may take: two hours of Opus up to its start, on a slow core. What is decoded is at most
# audio.MAX_CLIP_BYTES, and with the float64 figures of it a worker stays under these 512 MiB.
WORKER = local.ItemLimits(memory_bytes=512 << 20, silent_s=300.0)
MAX_LOSSES = 3  # in one file; the rest of its clips are then given up, too
LOST = {"memory": "over_limit", "time": "over_limit", "crash": "unreadable"}
MIN_SPREAD_FRAMES = 25
SMALLEST = 1e-10  # -200 dBFS: less is digital silence


def measure(
    rows: Sequence[ManifestRow],
    audio_root: Path,
    limits: schema.Measure,
    how: schema.Engine,
    cache: MeasureCache | None = None,
    watch: WorkWatch = UNWATCHED,
) -> list[ClipMeasure]:
    """One measure for each row, in the order of the clip ids; `watch` hears of clips, those known before included.

    Raises ManifestError when a file changed since ingest, ClusterError when the engine's cluster cannot do it.
    """
    found = [
        _unmeasured(row, AudioProblem(row.audio_problem, "seen by ingest"))
        for row in rows
        if row.audio_problem is not None
    ]
    if cache is not None:
        found += cache.known(rows)
    have = {one.clip_id for one in found}
    new = [row for row in rows if row.clip_id not in have]
    must_see = needs(new, audio_root)
    for some in _by_file(new):
        way = _way(how, must_see, _from(watch, len(found), some))
        found += _measure_new(some, audio_root, limits, way, cache)
    return sorted(found, key=lambda one: one.clip_id)


def needs(rows: Sequence[ManifestRow], audio_root: Path) -> Needs:
    """What every machine that measures has to see."""
    return Needs.of(audio_root, sorted({row.audio for row in rows if row.audio_problem is None}))


def _way(how: schema.Engine, must_see: Needs, watch: WorkWatch) -> Way:
    return lambda work, files: local.try_each(work, files, how, WORKER, must_see, watch)


def _from(watch: WorkWatch, known: int, files: list[list[ManifestRow]]) -> WorkWatch:
    """Who hears of files is told of clips."""
    ends = list(accumulate(map(len, files), initial=known))
    return WorkWatch(watch.notice, lambda number: watch.advance(ends[number]))


def _by_file(rows: Sequence[ManifestRow]) -> Iterator[list[list[ManifestRow]]]:
    """Clips of one file together, in the order of their start; CLIPS_AT_ONCE or a little more at a time."""
    by_file: dict[str, list[ManifestRow]] = {}
    for row in sorted(rows, key=lambda row: (row.audio, row.start_s or 0.0, row.clip_id)):
        by_file.setdefault(row.audio, []).append(row)
    some: list[list[ManifestRow]] = []
    for clips in by_file.values():
        some.append(clips)
        if sum(map(len, some)) >= CLIPS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _measure_new(
    files: list[list[ManifestRow]],
    root: Path,
    limits: schema.Measure,
    way: Way,
    cache: MeasureCache | None,
) -> list[ClipMeasure]:
    """Measure files, `way` over all of them. What was lost is tried again alone, here, so that a machine that was merely busy costs nothing."""
    work = partial(_measure_file, root, limits)
    found: list[ClipMeasure] = []
    lost: list[ClipMeasure] = []
    for clips, attempt in zip(files, way(work, files), strict=True):
        found += attempt.results
        if attempt.lost:
            rest = clips[len(attempt.results) :]
            more, given_up = _measure_alone(rest, work, was_read=bool(attempt.results))
            found, lost = found + more, lost + given_up
    if cache is not None:
        cache.add([row for clips in files for row in clips], found)
    return found + lost


def _measure_alone(
    clips: list[ManifestRow], work: partial[Iterator[ClipMeasure]], was_read: bool
) -> tuple[list[ClipMeasure], list[ClipMeasure]]:
    """Measures of a file that ended its worker, and the clips that cannot be measured: all, when it gave none at all."""
    found: list[ClipMeasure] = []
    lost: list[ClipMeasure] = []
    while clips:
        (attempt,) = local.try_each(work, [clips], schema.Engine("serial", 1), WORKER)
        found += attempt.results
        clips = clips[len(attempt.results) :]
        if attempt.lost is None:
            break
        problem = AudioProblem(LOST[attempt.lost.reason], attempt.lost.detail)
        was_read = was_read or bool(attempt.results)
        num_lost = 1 if was_read and len(lost) < MAX_LOSSES - 1 else len(clips)
        lost += [_unmeasured(row, problem) for row in clips[:num_lost]]
        clips = clips[num_lost:]
    return found, lost


def _measure_file(root: Path, limits: schema.Measure, clips: list[ManifestRow]) -> Iterator[ClipMeasure]:
    first = clips[0]
    try:
        with AudioFile(root, first.audio, first.audio_sha256, limits.max_file_s, may_seek=False) as file:
            for row in clips:
                yield _measure_clip(file, limits, row)
    except AudioProblem as problem:
        yield from (_unmeasured(row, problem) for row in clips)


def _measure_clip(file: AudioFile, limits: schema.Measure, row: ManifestRow) -> ClipMeasure:
    try:
        stored = file.stored(row.start_s, row.end_s)
        found = of_samples(row.clip_id, one_channel(stored, row.channel), file.rate_hz, limits)
        return replace(found, full_scale=file.full_scale)
    except AudioProblem as problem:
        return _unmeasured(row, problem, file)


def _unmeasured(row: ManifestRow, problem: AudioProblem, file: AudioFile | None = None) -> ClipMeasure:
    return ClipMeasure(
        clip_id=row.clip_id,
        problem=problem.code,
        detail=problem.detail,
        file_rate_hz=file.rate_hz if file else None,
        num_channels=file.num_channels if file else None,
        **dict.fromkeys(_MEASURES),
    )


_NAMED = ("clip_id", "problem", "detail", "file_rate_hz", "num_channels")
_MEASURES = tuple(field.name for field in fields(ClipMeasure) if field.name not in _NAMED)


def of_samples(clip_id: str, samples: Stored, rate_hz: int, limits: schema.Measure) -> ClipMeasure:
    """Measure samples [frames, channels]. Levels and silence are those of the mean of the channels, with NaN as 0."""
    level = levels.of(samples)
    mono = _mono(samples, level.num_nonfinite > 0)
    offset = float(mono.mean())
    mono = mono - offset
    energies, frame_s = loudness.frame_energies(mono, rate_hz)
    found = loudness.of(energies)
    silence = loudness.silence(energies, found, frame_s, len(mono) / rate_hz, limits)
    channels = loudness.channels(samples, rate_hz)
    heard = spectrum.power(mono, rate_hz)
    return ClipMeasure(
        clip_id=clip_id,
        problem=None,
        detail="",
        file_rate_hz=rate_hz,
        num_channels=samples.shape[1],
        num_samples=len(samples),
        duration_s=round(len(samples) / rate_hz, 6),
        peak_dbfs=_dbfs(level.peak),
        rms_dbfs=_dbfs(math.sqrt(level.mean_square)),
        clipped_share=round(level.clipped_share, 6),
        num_nonfinite=level.num_nonfinite,
        offset=round(offset, 6),
        speech_dbfs=found.speech_dbfs,
        floor_dbfs=found.floor_dbfs,
        hum_share=None if heard is None else spectrum.hum_share(mono, rate_hz),
        channel_loss_db=channels.loss_db,
        channel_spread_db=channels.spread_db,
        channel_likeness=channels.likeness,
        loudest_channel=channels.loudest,
        leading_silence_s=silence.leading_s,
        trailing_silence_s=silence.trailing_s,
        silence_share=silence.share,
        level_spread_db=_spread(energies),
        bandwidth_hz=None if heard is None else spectrum.bandwidth_hz(heard, rate_hz),
        cutoff_hz=None if heard is None else spectrum.cutoff_hz(heard, rate_hz),
        fingerprint=None if heard is None else fingerprint.of(mono, rate_hz),
        samples_sha256=digest.of_bytes(to_16_bit(samples).tobytes()),
    )


def _mono(samples: Stored, has_nonfinite: bool) -> Floats:
    """The mean of the channels, full scale 1.0, with 0 for what is no number."""
    sound = as_float(samples)
    if has_nonfinite:
        sound = np.where(np.isfinite(sound), sound, np.float32(0.0))
    return sound[:, 0].astype(np.float64) if sound.shape[1] == 1 else sound.mean(axis=1, dtype=np.float64)


def _dbfs(level: float) -> float | None:
    return round(20.0 * math.log10(level), 2) if level > SMALLEST else None


def _spread(energies: Floats) -> float | None:
    """How much the level moves: some 25 dB in read speech, next to nothing in a hum, a tone or noise."""
    if len(energies) < MIN_SPREAD_FRAMES:
        return None
    low, high = np.percentile(np.maximum(energies, SMALLEST**2), [10, 90])
    return round(10.0 * math.log10(high / low), 2)
