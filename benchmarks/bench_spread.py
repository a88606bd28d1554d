"""What does it cost to spread `measure` over a Ray cluster? CPU seconds of the driver and of Ray's own processes beside those of the work.

    python -m benchmarks.bench_spread [CLIPS]

CPU time, because wall time on a machine of two cores says how busy it was. Ray is started here with two workers; what it takes to start is a row of its own.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.factories import audio, rows
from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.measures import measure
from voicelathe.parallel import ray_cluster
from voicelathe.records import ClipMeasure, ManifestRow

SECONDS, WARM = 0.5, 8  # of a clip; clips that are measured before the clock starts


def main(num_clips: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        known = [_clip(number) for number in range(1, num_clips + WARM + 1)]
        alone, serial_s, wall_s = _serial(known[WARM:])
        print(
            f"| engine | CPU s | of them the work | Ray | driver | wall s |\n|---|--:|--:|--:|--:|--:|\n| serial | {serial_s:.2f} | {serial_s:.2f} | | | {wall_s:.2f} |"
        )
        same = _spread(known, alone)
        os.chdir("/")
    print(f"\n{num_clips} clips of {SECONDS} s; tables are the same: {same}")


def _clip(number: int) -> ManifestRow:
    path = audio.write(Path(f"audio/{number:06d}.wav"), audio.speech(SECONDS, seed=number))
    return rows.manifest_row(
        number, clip_id=f"c{number:06d}", audio=path.name, audio_sha256=digest.of_file(path)
    )


def _serial(known: list[ManifestRow]) -> tuple[list[ClipMeasure], float, float]:
    def used() -> float:
        return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

    before, began = used(), time.monotonic()
    found = measure.measure(known, Path("audio"), rows.MEASURE, schema.Engine("serial", 1))
    return found, used() - before, time.monotonic() - began


def _spread(known: list[ManifestRow], alone: list[ClipMeasure]) -> bool:
    how = schema.Engine("ray", 2)
    driver = time.process_time()
    measure.measure(known[:WARM], Path("audio"), rows.MEASURE, how)
    start = _used()
    print(
        f"| ray, to start and ask two workers | {sum(start) + time.process_time() - driver:.2f} | {start[0]:.2f} | {start[1]:.2f} | {time.process_time() - driver:.2f} | |"
    )
    driver, began = time.process_time(), time.monotonic()
    found = measure.measure(known[WARM:], Path("audio"), rows.MEASURE, how)
    wall_s, driver, end = time.monotonic() - began, time.process_time() - driver, _used()
    work, own = end[0] - start[0], end[1] - start[1]
    print(
        f"| ray, 2 workers | {work + own + driver:.2f} | {work:.2f} | {own:.2f} | {driver:.2f} | {wall_s:.2f} |"
    )
    ray_cluster.close()
    return found == alone


def _used() -> tuple[float, float]:
    """CPU seconds so far of what works (Ray's workers and the processes below them), and of Ray itself."""
    work = own = 0.0
    for one in psutil.Process().children(recursive=True):
        line = " ".join(one.cmdline())
        is_work = line.startswith(("ray::_do", "ray::IDLE", "ray::look")) or "multiprocessing" in line
        seconds = sum(one.cpu_times()[:2])
        work, own = (work + seconds, own) if is_work else (work, own + seconds)
    return work, own


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
