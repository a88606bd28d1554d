"""How fast do the points of a long run reach MLflow, and what does hashing cost? `python -m benchmarks.bench_tracking`

100,000 points of six curves through `track`'s own sender into an embedded store, then the same again (nothing may be added).
"""

import os
import sqlite3
import tempfile
import time
from pathlib import Path

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.tracking import runs, store
from voicelathe.tracking.curves import Point

NUM_STEPS, CURVES = 16_667, ("loss_total", "loss_diff", "loss_stop", "grad_norm", "lr", "clips_per_s")
HASHED_BYTES = 512 << 20


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        _mirror(Path(made))
        _hash(Path(made))


def _mirror(root: Path) -> None:
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    opened = store.connect(schema.Tracking("bench", "adapters"), root)
    run_id = opened.client.create_run(opened.experiment_id).info.run_id
    points = [
        Point(f"train/{curve}", 1.0 / step, step, 1_700_000_000_000 + step)
        for step in range(1, NUM_STEPS + 1)
        for curve in CURVES
    ]
    for what in ("sent", "sent again"):
        began, cpu = time.monotonic(), time.process_time()
        runs.send(opened, run_id, points)
        took, used = time.monotonic() - began, time.process_time() - cpu
        with sqlite3.connect(root / "mlflow.db") as database:
            (held,) = database.execute("select count(*) from metrics").fetchone()
        print(
            f"{what}: {len(points):,} points in {took:.1f} s ({len(points) / took:,.0f}/s; {used:.1f} s of CPU); the store holds {held:,}"
        )
        assert held == len(points)


def _hash(root: Path) -> None:
    path = root / "weights"
    path.write_bytes(os.urandom(1 << 20) * (HASHED_BYTES >> 20))
    began = time.process_time()
    digest.of_file(path)
    used = time.process_time() - began
    print(f"sha256 of a file: {HASHED_BYTES / 2**30 / used:.2f} GiB/s per core (process CPU time)")


if __name__ == "__main__":
    main()
