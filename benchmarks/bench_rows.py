"""Metadata at scale: audit, split and gate of made-up rows, as the real stages run them; nothing is decoded.

Usage:  python -m benchmarks.bench_rows [ROWS]      default 1,000,000; needs about 3 GB of disk in $TMPDIR
Rows are cut from recordings of 500 clips; one in three is dirty (no text, boilerplate, too short, clipped, a copy), as in the
reference corpus. Printed: wall and CPU seconds and the peak memory of each stage. The aim is 90 s and 2 GiB for all three.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.factories import rows
from voicelathe import digest, lines, records
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.records import ClipMeasure, Heard, ManifestRow

ROOT = Path(__file__).parents[1]
CLIPS_PER_RECORDING = 500
STAGES = ("audit", "split", "gate")
TEXTS = (
    "The lamp beside the window is on, and the rain has stopped",
    "Nobody on the long platform knew when the last train would come",
    "She wrote the number down twice and put the paper into her coat",
)
LANGUAGE, SPEAKER = "en", "awb"


def main(num_rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        began = time.monotonic()
        _apart(build, project, num_rows)
        print(f"{num_rows} rows made in {time.monotonic() - began:.0f} s\n", flush=True)
        print("| stage | wall s | CPU s | peak MiB |\n|---|--:|--:|--:|")
        found = [run(project, stage) for stage in STAGES]
        wall, cpu, peak = (
            sum(one[0] for one in found),
            sum(one[1] for one in found),
            max(one[2] for one in found),
        )
        print(f"| all | {wall:.1f} | {cpu:.1f} | {peak:.0f} |")


def _apart(made: Callable[..., None], *given: object) -> None:
    """In a process of its own: what this one held would count as the peak of every stage that it starts."""
    process = multiprocessing.get_context("spawn").Process(target=made, args=given)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the rows could not be made")


def build(project: Path, num_rows: int) -> None:
    """What the stages read: the ingested manifest, the measures, and the project's own settings."""
    for name in ("data/phrases", "consent"):
        shutil.copytree(ROOT / name, project / name)
    (project / "data/demo").mkdir()
    shutil.copy(ROOT / "data/demo/NOTICE", project / "data/demo")  # the evidence of the consent
    shutil.copy(ROOT / "params.yaml", project)
    params.edit({"gate/min_rows": 100}, project / "params.yaml")
    written = [line for line in lines.read(ROOT / "lines/demo.jsonl") if not line.is_held_out]
    lines.write(project / "lines/demo.jsonl", written)
    made = [pair(number) for number in range(num_rows)]
    records.write(project / "data/raw/manifest.jsonl", (row for row, _ in made))
    records.write(project / "data/raw/rejected.jsonl", [])
    measures = sorted((measure for _, measure in made), key=lambda one: one.clip_id)
    tables.write(project / "data/measured/clips.parquet", measures, ClipMeasure)
    tables.write(project / "data/measured/heard.parquet", [], Heard)


def pair(number: int) -> tuple[ManifestRow, ClipMeasure]:
    recording, place = divmod(number, CLIPS_PER_RECORDING)
    clip_id = digest.of_bytes(f"clip {number}".encode())[:16]
    text = f"{TEXTS[number % 3]}, {number:07d}."
    row = rows.manifest_row(
        number + 1,
        clip_id=clip_id,
        audio=f"rec_{recording:05d}.flac",
        start_s=4.0 * place,
        end_s=4.0 * place + 3.5,
        text=text,
        recording_id=f"rec_{recording:05d}",
        audio_sha256=digest.of_bytes(f"recording {recording}".encode()),
        user_id=f"clip_{number:07d}",
    )
    measure = rows.measured(
        1,
        clip_id=clip_id,
        num_samples=56000,
        duration_s=3.5,
        rms_dbfs=-24.0 - number % 10,
        samples_sha256=digest.of_bytes(f"samples {number}".encode()),
    )
    return dirty(row, measure, number % 30)


def dirty(row: ManifestRow, measure: ClipMeasure, kind: int) -> tuple[ManifestRow, ClipMeasure]:
    """Ten rows of thirty have something wrong with them; most of those have no text."""
    if kind < 6:
        return replace(row, text=""), measure
    if kind == 6:
        return replace(row, text="Thanks for watching!"), measure
    if kind == 7:
        return row, replace(measure, duration_s=0.05, num_samples=800)
    if kind == 8:
        return row, replace(measure, clipped_share=0.2)
    if kind == 9:
        return row, replace(measure, samples_sha256=digest.of_bytes(f"samples {row.line - 2}".encode()))
    return row, measure


def run(project: Path, stage: str) -> tuple[float, float, float]:
    """Wall and CPU seconds, and peak MiB of the stage's largest process."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{stage}"], cwd=project, env={**os.environ, "PYTHONPATH": path}
    )
    _, status, used = os.wait4(process.pid, 0)
    wall_s, cpu_s, peak_mib = time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    if status:
        raise SystemExit(f"{stage} failed")
    print(f"| {stage} | {wall_s:.1f} | {cpu_s:.1f} | {peak_mib:.0f} |", flush=True)
    return wall_s, cpu_s, peak_mib


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
