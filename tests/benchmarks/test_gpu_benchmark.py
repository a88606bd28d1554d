"""The GPU benchmark runs through the trainer on a small model without a GPU, goes on where it stopped, and its table says what is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu

ROOT = Path(__file__).parents[2]
MADE = {"commit": "abc", "cap_gib": 24.0, "steps": 3, "dry_run": False}


def test_the_table_says_what_ran_what_ran_out_of_memory_and_what_was_not_run() -> None:
    ran = {
        "device": "NVIDIA GeForce RTX 3090 Ti", "step_s": 0.5, "losses": [2.0, 1.0], "useful_tflop": 10.0, "peak_allocated": 10**10,
        "peak_reserved": 11 * 10**9, "device_in_use": 12 * 10**9,
    }  # fmt: skip
    slow = {**ran, "step_s": 2.0, "losses": [2.0, 1.25]}
    out = {"out_of_memory": {"name": "forward", "step": 1, "micro": 0}, "message": "x"}
    told = gpu.table({"made_with": MADE, "lora": ran, "reference": slow, "full, paged": out})
    (lora,) = [line for line in told.splitlines() if line.startswith("| lora")]
    assert lora == "| lora | 10.00 | 11.00 | 12.00 | 0.500 | 4.00 | 25.0 % | 0.2500 |"
    assert "out of memory in {'name': 'forward'" in told and "| full, stochastic rounding | not run" in told


def test_every_part_is_a_shipped_recipe_with_valid_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stacks = {part: gpu.train_settings(part) for part in gpu.PARTS}
    assert stacks["reference"].weights == "fp32" and stacks["reference"].autocast
    assert stacks["full, paged"].optimizer == "paged_adamw8bit"
    assert stacks["full, exact master resident"].optimizer == "adamw8bit"
    assert len({str(stack) for stack in stacks.values()}) == len(gpu.PARTS)


@pytest.mark.slow
def test_a_dry_run_trains_writes_its_state_and_does_nothing_the_second_time(tmp_path: Path) -> None:
    state = tmp_path / "gpu.json"
    command = [
        *(sys.executable, "-m", "benchmarks.gpu", "--cpu-dry-run", "--steps", "2", "--only", "lora"),
        *("--state", str(state), "--work", str(tmp_path / "work")),
    ]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(state.read_text())["lora"]
    assert len(found["losses"]) == 2 and found["step_s"] > 0 and found["useful_tflop"] > 0
    assert "A dry run" in first.stdout and "| lora | " in first.stdout
    written = state.read_bytes()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert state.read_bytes() == written and "== lora" not in again.stderr
