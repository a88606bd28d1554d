"""The audit of audio against what a user would write: a loop of soundfile reads in float32, and numpy over the samples.

Usage:  python -m benchmarks.bench_audio [FILES]       default 200 files of 5 s, 24 kHz, 16 bits, and 60 FLAC files of 60 s
Three claims: header, peak, RMS and clipping of WAV files (aim: 2 times as fast); a header-only pass over FLAC against decoding it
(50 times); measuring again after one clip in a thousand was added (100 times). Process CPU time, children included, interleaved.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe import digest
from voicelathe.data.audio import levels, waveform
from voicelathe.data.audio.waveform import AudioFile
from voicelathe.data.measures import measure
from voicelathe.data.measures.cache import MeasureCache
from voicelathe.records import ManifestRow

REPEATS = 5
RATE_HZ = 24_000


def main(num_files: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        wavs = [make(root, f"{n:04d}.wav", 5.0, n) for n in range(num_files)]
        flacs = [make(root, f"{n:04d}.flac", 60.0, n) for n in range(max(4, num_files * 3 // 10))]
        print("| case | ours ms a file | soundfile loop ms a file | times as fast | lowest .. highest |")
        print("|---|--:|--:|--:|--:|")
        compare(
            "header, peak, RMS, clipping of WAV",
            lambda: our_levels(root, wavs),
            lambda: loop(root, wavs),
            len(wavs),
        )
        compare("header of FLAC", lambda: headers(root, flacs), lambda: loop(root, flacs), len(flacs))
        again(root, wavs)


def make(root: Path, name: str, seconds: float, seed: int) -> str:
    sounds.write(root / name, sounds.speech(seconds, seed, RATE_HZ), RATE_HZ)
    return name


def our_levels(root: Path, names: list[str]) -> list[object]:
    found: list[object] = []
    for name in names:
        with AudioFile(root, name, None) as file:
            found.append((file.rate_hz, levels.of(file.stored(None, None))))
    return found


def loop(root: Path, names: list[str]) -> list[object]:
    found: list[object] = []
    for name in names:
        samples, rate_hz = soundfile.read(root / name, dtype="float32")
        level = np.abs(samples)
        found.append((rate_hz, level.max(), np.sqrt(np.mean(samples**2)), np.mean(level >= 32766 / 32768)))
    return found


def headers(root: Path, names: list[str]) -> list[object]:
    return [waveform.header(root, name) for name in names]


def compare(case: str, ours: Callable[[], object], theirs: Callable[[], object], num: int) -> None:
    seconds: list[tuple[float, float]] = []
    for number in range(REPEATS + 1):
        pair = cpu_s(ours), cpu_s(theirs)
        if number:  # the first round warms up
            seconds.append(pair)
    ratios = [slow / fast for fast, slow in seconds]
    mine, baseline = (1000 * statistics.median(column) / num for column in zip(*seconds, strict=True))
    print(
        f"| {case} | {mine:.3f} | {baseline:.3f} | {statistics.median(ratios):.1f} | {min(ratios):.1f} .. {max(ratios):.1f} |",
        flush=True,
    )


def again(root: Path, wavs: list[str]) -> None:
    """A corpus of 100,000 clips of which 100 are new, against measuring all of it, at what 400 real clips cost in the same round.

    The known clips are real measures under made-up content, because 100,000 real ones would take an hour.
    """
    some = [row(root, name, cut) for name in wavs[:8] for cut in range(50)]
    new = [row(root, name, cut) for name in wavs[8:10] for cut in range(50)]
    known = [
        replace(some[n % len(some)], clip_id=f"{n:06d}", audio_sha256=f"{n:064d}") for n in range(99_900)
    ]
    measures = measure.measure(some, root, rows.MEASURE, rows.SERIAL)
    cache = MeasureCache(root / "cache", 1, rows.MEASURE)
    cache.add(known, [replace(measures[n % len(some)], clip_id=f"{n:06d}") for n in range(len(known))])
    found: list[tuple[float, float]] = []
    for _ in range(REPEATS):
        one_by_one = cpu_s(lambda: measure.measure(some, root, rows.MEASURE, rows.SERIAL)) / len(some)
        kept = {path: path.read_bytes() for path in cache.directory.iterdir()}
        warm = cpu_s(lambda: measure.measure([*known, *new], root, rows.MEASURE, rows.SERIAL, cache))
        for path in set(cache.directory.iterdir()) - set(kept):
            path.unlink()  # the new ones are new in the next round, too
        found.append((warm, one_by_one * (len(known) + len(new))))
    ratios = [cold / warm for warm, cold in found]
    mine, baseline = (1000 * statistics.median(column) / 100_000 for column in zip(*found, strict=True))
    print(
        f"| 100,000 clips again, 100 of them new | {mine:.3f} | {baseline:.3f} (ours, the first time) | "
        f"{statistics.median(ratios):.0f} | {min(ratios):.0f} .. {max(ratios):.0f} |"
    )


def row(root: Path, name: str, cut: int) -> ManifestRow:
    return rows.manifest_row(
        1,
        clip_id=f"{name}{cut:03d}",
        audio=name,
        start_s=0.08 * cut,
        end_s=0.08 * cut + 1.0,
        audio_sha256=digest.of_file(root / name),
    )


def cpu_s(work: Callable[[], object]) -> float:
    before = _used_s()
    work()
    return _used_s() - before


def _used_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    began = time.monotonic()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
    print(f"{time.monotonic() - began:.0f} s")
