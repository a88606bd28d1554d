"""`make bench`: everything that is measured on a CPU, as tables for benchmarks/RESULTS.md.

Usage:  python -m benchmarks.run
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "`voicelathe --help`": [str(Path(sys.executable).parent / "voicelathe"), "--help"],
    "second `dvc repro` (after `make repro`)": [str(Path(sys.executable).parent / "dvc"), "repro", "-q"],
}


def main() -> None:
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip()
    print(f"commit {commit}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores\n")
    print("| command | median s | lowest .. highest of 5 |\n|---|--:|--:|")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for name, command in COMMANDS.items():
        seconds = []
        for _ in range(5):
            began = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
            seconds.append(time.monotonic() - began)
        print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} .. {max(seconds):.2f} |")
    tracked = subprocess.check_output(["git", "ls-files", "-z"]).split(b"\0")
    size = sum(Path(os.fsdecode(name)).stat().st_size for name in tracked if name)
    print(f"| tracked tree | {size / 1e6:.1f} MB | |\n", flush=True)
    subprocess.run([sys.executable, "-m", "benchmarks.bench_step"], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
