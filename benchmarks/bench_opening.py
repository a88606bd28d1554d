"""What it costs a process to open a base: CPU seconds and memory, this tree beside another one, turn by turn.

Usage:  python -m benchmarks.bench_opening [OTHER_TREE/src]
A VoxCPM 2 of the real widths with fewer layers (0.3 B parameters, random, bf16 as published) is opened for training and for speech, each
time by a process of its own with one thread, forked from one that has imported everything. The peak is that of anonymous memory above what
the process began with; what is mapped from files comes and goes with the page cache.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.factories import voxcpm2_base
from voicelathe.families.voxcpm.published import VOXCPM2

ROUNDS = 5
TREE = Path(__file__).parents[1]
WAYS = {"core": "training, fp32", "all": "speech", "kept": "training, bf16"}


def overrides() -> dict[str, Any]:
    """Real widths, codec and caches; 3, 1, 2 and 2 layers instead of 28, 8, 12 and 12, and the tokenizer's small vocabulary."""
    return {
        **VOXCPM2, "lm_config": {**VOXCPM2["lm_config"], "num_hidden_layers": 3, "vocab_size": voxcpm2_base.VOCABULARY},
        "residual_lm_num_layers": 1, "encoder_config": {**VOXCPM2["encoder_config"], "num_layers": 2},
        "dit_config": {**VOXCPM2["dit_config"], "num_layers": 2}, "device": "cpu", "dtype": "bfloat16",
    }  # fmt: skip


def serve(base: Path) -> None:
    """Import once; then for each line of the input open the base in a fork and print what it took."""
    import torch

    from voicelathe import families
    from voicelathe.config import schema

    torch.set_num_threads(1)
    family: Any = families.find("voxcpm2")
    upstream = family._upstream()
    assert upstream.LlamaTokenizerFast.from_pretrained(str(base)) is not None
    facts = family.describe(base, "", False)
    for line in sys.stdin:
        if not os.fork():
            way = line.strip()
            machine = schema.Machine("cpu", 1, 1)
            if way == "all":
                opening = partial(family.open_voice, base, facts, machine)
            else:
                opening = partial(family.open_model, base, facts, machine, keep_bf16=way == "kept")
            print(json.dumps(_opened(opening)))
            sys.stdout.flush()
            os._exit(0)
        os.wait()


def _opened(opening: Callable[[], Any]) -> dict[str, float]:
    before, highest, done = _anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            highest[0] = max(highest[0], _anonymous())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.thread_time()
    opened = opening()
    seconds = time.thread_time() - began
    done.set()
    watcher.join()
    stays, count = _anonymous(), sum(p.numel() for p in opened.core.parameters())
    peak = max(highest[0], stays) - before
    return {"cpu_s": seconds, "peak": peak / 1e9, "stays": (stays - before) / 1e9, "count": count / 1e9}


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon")


def main(others: list[str]) -> None:
    """The table, as Markdown."""
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = voxcpm2_base.write(Path(folder) / "base", overrides())
        servers = {
            label: subprocess.Popen(
                [sys.executable, "-m", "benchmarks.bench_opening", "--serve", str(base)],
                env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{TREE}", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
            for label, source in {**{f"other {one}": one for one in others}, "this": str(TREE / "src")}.items()
        }  # fmt: skip
        for _ in range(ROUNDS):
            for label, server in servers.items():
                for way in WAYS if label == "this" else ("core", "all"):
                    assert server.stdin is not None and server.stdout is not None
                    print(way, file=server.stdin, flush=True)
                    found = json.loads(server.stdout.readline())
                    seen.setdefault((label, way), []).append(found)
                    print(label, way, found, file=sys.stderr, flush=True)
        for server in servers.values():
            server.communicate()
    print("| tree | opened for | CPU s | peak, GB | stays, GB |\n|---|---|--:|--:|--:|")
    for (label, way), rows in seen.items():
        cells = [_spread([row[name] for row in rows]) for name in ("cpu_s", "peak", "stays")]
        print(f"| {label} | {WAYS[way]} | {' | '.join(cells)} |")
    print(f"{seen['this', 'core'][0]['count']:.3f} B parameters")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
