"""What the audio of every clip really is: the one stage that decodes, and it decodes each file once.

Figures are computed in float64 and rounded, and sorted by clip, so the table is the same bytes for any number of workers.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest, engine, settings
from voicelathe.data.audio import FULL_SCALE, AudioFile, Samples, to_16_bit
from voicelathe.data.audio_files import AudioProblem
from voicelathe.records import ClipMeasure, ManifestRow

Floats = NDArray[np.float64]

FILES_PER_SHARD = 8
FRAME_S, MIN_SPREAD_FRAMES = 0.02, 25
CLIPPED_FROM = (FULL_SCALE - 2) / FULL_SCALE  # full scale, and one step below where a converter rounded
SPECTRUM_S, WINDOWS_AT_ONCE = 0.064, 512
ENERGY_BELOW_BANDWIDTH = 0.999
SMALLEST = 1e-10  # -200 dBFS: less is digital silence


def measure(
    rows: Sequence[ManifestRow], audio_root: Path, limits: settings.Measure, how: settings.Engine
) -> list[ClipMeasure]:
    """One measure for each row, in the order of the clip ids. Raises ManifestError when a file changed since ingest."""
    by_file: dict[str, list[ManifestRow]] = {}
    for row in rows:
        by_file.setdefault(row.audio, []).append(row)
    files = [by_file[name] for name in sorted(by_file)]
    shards = engine.map_shards(
        partial(_measure_files, audio_root, limits), engine.cut(files, FILES_PER_SHARD), how
    )
    return sorted((one for shard in shards for one in shard), key=lambda one: one.clip_id)


def _measure_files(
    root: Path, limits: settings.Measure, files: Sequence[list[ManifestRow]]
) -> list[ClipMeasure]:
    return [one for rows in files for one in _measure_file(root, limits, rows)]


def _measure_file(root: Path, limits: settings.Measure, rows: list[ManifestRow]) -> list[ClipMeasure]:
    first = rows[0]
    if first.audio_problem is not None:
        return [_unmeasured(row, AudioProblem(first.audio_problem, "seen by ingest"), None) for row in rows]
    try:
        with AudioFile(root, first.audio, first.audio_sha256, limits.max_file_s) as file:
            return [_measure_clip(file, limits, row) for row in rows]
    except AudioProblem as problem:
        return [_unmeasured(row, problem, None) for row in rows]


def _measure_clip(file: AudioFile, limits: settings.Measure, row: ManifestRow) -> ClipMeasure:
    try:
        return of_samples(row.clip_id, file.clip(row.start_s, row.end_s), file.rate_hz, limits.silence_dbfs)
    except AudioProblem as problem:
        return _unmeasured(row, problem, file)


def _unmeasured(row: ManifestRow, problem: AudioProblem, file: AudioFile | None) -> ClipMeasure:
    return ClipMeasure(
        clip_id=row.clip_id,
        problem=problem.code,
        detail=problem.detail,
        file_rate_hz=file.rate_hz if file else None,
        num_channels=file.num_channels if file else None,
        **dict.fromkeys(_MEASURES),
    )


_MEASURES = (
    *(
        "num_samples",
        "duration_s",
        "peak_dbfs",
        "rms_dbfs",
        "clipped_share",
        "num_nonfinite",
        "leading_silence_s",
    ),
    *("trailing_silence_s", "silence_share", "level_spread_db", "bandwidth_hz", "samples_sha256"),
)


def of_samples(clip_id: str, samples: Samples, rate_hz: int, silence_dbfs: float) -> ClipMeasure:
    """Measure samples [frames, channels]. Levels and silence are those of the mean of the channels, with NaN as 0."""
    finite = np.isfinite(samples)
    sound = np.where(finite, samples, 0.0).astype(np.float64)
    mono = sound.mean(axis=1)
    energies, frame_s = _frame_energies(mono, rate_hz)
    leading_s, trailing_s, share = _silence(energies, frame_s, len(mono) / rate_hz, silence_dbfs)
    return ClipMeasure(
        clip_id=clip_id,
        problem=None,
        detail="",
        file_rate_hz=rate_hz,
        num_channels=samples.shape[1],
        num_samples=len(samples),
        duration_s=round(len(samples) / rate_hz, 6),
        peak_dbfs=_dbfs(float(np.abs(mono).max())),
        rms_dbfs=_dbfs(math.sqrt(float(np.square(mono).mean()))),
        clipped_share=round(float((np.abs(sound) >= CLIPPED_FROM).mean()), 6),
        num_nonfinite=int(finite.size - np.count_nonzero(finite)),
        leading_silence_s=leading_s,
        trailing_silence_s=trailing_s,
        silence_share=share,
        level_spread_db=_spread(energies),
        bandwidth_hz=_bandwidth(mono, rate_hz),
        samples_sha256=digest.of_bytes(to_16_bit(samples).tobytes()),
    )


def _dbfs(level: float) -> float | None:
    return round(20.0 * math.log10(level), 2) if level > SMALLEST else None


def _frame_energies(mono: Floats, rate_hz: int) -> tuple[Floats, float]:
    """Mean square of each 20 ms frame, the last one perhaps shorter, and the exact length of a frame in seconds."""
    frame = max(1, round(FRAME_S * rate_hz))
    num_full = len(mono) // frame
    energies = np.square(mono[: num_full * frame]).reshape(num_full, frame).mean(axis=1)
    if len(mono) > num_full * frame:
        energies = np.append(energies, np.square(mono[num_full * frame :]).mean())
    return energies, frame / rate_hz


def _silence(
    energies: Floats, frame_s: float, duration_s: float, silence_dbfs: float
) -> tuple[float, float, float]:
    """Seconds of silence at the start and at the end, and the share of silent frames."""
    is_loud = energies >= 10.0 ** (silence_dbfs / 10.0)
    if not is_loud.any():
        return round(duration_s, 3), round(duration_s, 3), 1.0
    first, last = int(is_loud.argmax()), len(is_loud) - int(is_loud[::-1].argmax())
    trailing_s = max(0.0, duration_s - last * frame_s)
    return round(first * frame_s, 3), round(trailing_s, 3), round(1.0 - float(is_loud.mean()), 4)


def _spread(energies: Floats) -> float | None:
    """How much the level moves: some 25 dB in read speech, next to nothing in a hum, a tone or noise."""
    if len(energies) < MIN_SPREAD_FRAMES:
        return None
    low, high = np.percentile(np.maximum(energies, SMALLEST**2), [10, 90])
    return round(10.0 * math.log10(high / low), 2)


def _bandwidth(mono: Floats, rate_hz: int) -> float | None:
    """The frequency under which 99.9 % of the energy lies, from averaged windows (Welch, 1967); None where there is none."""
    size = min(len(mono), round(SPECTRUM_S * rate_hz))
    windows = np.lib.stride_tricks.sliding_window_view(mono, size)[:: max(1, size // 2)]
    shape, power = np.hanning(size + 2)[1:-1], np.zeros(size // 2 + 1)
    for some in np.split(windows, range(WINDOWS_AT_ONCE, len(windows), WINDOWS_AT_ONCE)):
        power += np.square(np.abs(np.fft.rfft(some * shape, axis=1))).sum(axis=0)
    total = float(power.sum())
    if total <= SMALLEST:
        return None
    reached = int(np.searchsorted(np.cumsum(power), ENERGY_BELOW_BANDWIDTH * total))
    return round(reached * rate_hz / size, 1)
