"""What it costs a process to open a base: CPU seconds and peak memory, this tree beside another one, turn by turn.

Usage:  python -m benchmarks.bench_opening [OTHER_TREE/src]
A VoxCPM 2 of the real widths with fewer layers (0.43 B parameters, random, bf16 as published) is opened for training and for speech, each
time by a process of its own with one thread. What it took to import is taken off; `anonymous` is the most that was held at any time besides
what is mapped from files.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.factories import voxcpm2_base
from voicelathe.families.voxcpm.published import VOXCPM2

ROUNDS = 5
HERE = Path(__file__).parents[1] / "src"


def overrides() -> dict[str, Any]:
    """Real widths, codec and caches; three, one, two and two layers instead of 28, 8, 12 and 12; the tokenizer's small vocabulary."""
    language = {**VOXCPM2["lm_config"], "num_hidden_layers": 3, "vocab_size": voxcpm2_base.VOCABULARY}
    return {
        **VOXCPM2, "lm_config": language, "residual_lm_num_layers": 1,
        "encoder_config": {**VOXCPM2["encoder_config"], "num_layers": 2},
        "dit_config": {**VOXCPM2["dit_config"], "num_layers": 2}, "device": "cpu", "dtype": "bfloat16",
    }  # fmt: skip


def opened(base: Path, parts: str, kept: bool) -> dict[str, float]:
    """In the process that opens: CPU seconds and GB."""
    import torch

    from voicelathe import families
    from voicelathe.config import schema

    torch.set_num_threads(1)
    family: Any = families.find("voxcpm2")
    family._upstream()
    facts = family.describe(base, "", False)
    before, highest, done = _anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], _anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.thread_time()
    more = {"keep_bf16": True} if kept else {}
    loaded = family.load(base, facts, schema.Machine("cpu", 1, 1), parts, **more)
    cpu = time.thread_time() - began
    done.set()
    watcher.join()
    stays = _anonymous()
    count = sum(p.numel() for p in loaded.core.parameters())
    return {
        "cpu_s": cpu,
        "peak_gb": (max(highest[0], stays) - before) / 1e9,
        "stays_gb": (stays - before) / 1e9,
        "parameters": count / 1e9,
    }


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon")


def _apart(source: Path, base: Path, *how: str) -> dict[str, float]:
    environment = {
        **os.environ, "PYTHONPATH": f"{source}{os.pathsep}{Path(__file__).parents[1]}", "OMP_NUM_THREADS": "1"
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_opening", "--one", str(base), *how],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(others: list[str]) -> None:
    """The table, as Markdown."""
    sources = {**{f"other, {one}": Path(one) for one in others}, "this tree": HERE}
    seen: dict[tuple[str, ...], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = voxcpm2_base.write(Path(folder) / "base", overrides())
        for _ in range(ROUNDS):
            for label, source in sources.items():
                ways = [("core",), ("all",)] + ([("core", "--keep-bf16")] if source == HERE else [])
                for how in ways:
                    seen.setdefault((label, *how), []).append(_apart(source, base, *how))
    print("| tree | opened | CPU s | peak, anonymous GB | stays, GB |\n|---|---|--:|--:|--:|")
    for (label, *how), rows in seen.items():
        cells = [_spread([row[name] for row in rows]) for name in ("cpu_s", "peak_gb", "stays_gb")]
        print(f"| {label} | {' '.join(how)} | {' | '.join(cells)} |", flush=True)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(opened(Path(sys.argv[2]), sys.argv[3], "--keep-bf16" in sys.argv)))
    else:
        main(sys.argv[1:])
