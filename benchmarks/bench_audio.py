"""The audit of audio against what a user would write: a loop of soundfile reads in float32, and numpy over the samples.

Usage:  python -m benchmarks.bench_audio [FILES]       default 200 files of 5 s, 24 kHz, 16 bits, and 60 FLAC files of 60 s
Three claims: header, peak, RMS and clipping of WAV files (aim: 2 times as fast); a header-only pass over FLAC against decoding it
(50 times); measuring again after one clip in a hundred was added (100 times). Process CPU time, children included, interleaved.
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
from voicelathe.data import audio, levels, measure
from voicelathe.data.audio import AudioFile
from voicelathe.data.measure_cache import MeasureCache
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
    return [audio.header(root, name) for name in names]


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
    """Measure everything, then again with one clip in a hundred more; per clip of the corpus."""
    known = [row(root, name, cut) for name in wavs for cut in range(50)]
    fresh = [replace(known[n], clip_id=f"new{n}", start_s=0.05) for n in range(len(known) // 100)]
    found: list[tuple[float, float]] = []
    for number in range(REPEATS):
        cache = MeasureCache(root / f"cache{number}", 1, rows.MEASURE)
        cold = cpu_s(lambda cache=cache: measure.measure(known, root, rows.MEASURE, rows.SERIAL, cache))
        warm = cpu_s(
            lambda cache=cache: measure.measure([*known, *fresh], root, rows.MEASURE, rows.SERIAL, cache)
        )
        found.append((warm, cold))
        same = cpu_s(lambda cache=cache: measure.measure(known, root, rows.MEASURE, rows.SERIAL, cache))
        print(
            f"  round {number}: all {cold:.2f} s, 1 % new {warm:.2f} s, nothing new {same:.2f} s", flush=True
        )
    ratios = [cold / warm for warm, cold in found]
    print(
        f"| {len(known)} clips again, 1 % new | {1000 * statistics.median(w for w, _ in found) / len(known):.3f} | "
        f"{1000 * statistics.median(c for _, c in found) / len(known):.3f} (ours, first time) | "
        f"{statistics.median(ratios):.1f} | {min(ratios):.1f} .. {max(ratios):.1f} |"
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
