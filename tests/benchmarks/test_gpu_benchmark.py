"""The GPU benchmark runs through the trainer on a small model without a GPU, goes on where it stopped, and its table says what is missing."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu

ROOT = Path(__file__).parents[2]
MADE = {"commit": "abc", "cap_gib": 24.0, "steps": 3, "dry_run": False}


def test_the_table_says_what_ran_what_ran_out_of_memory_and_what_was_not_run() -> None:
    ran = {
        "device": "NVIDIA GeForce RTX 3090 Ti", "step_s": 0.5, "losses": [2.0, 1.0], "useful_tflop": 10.0, "peak_allocated": 10**10,
        "peak_reserved": 11 * 10**9, "device_in_use": 12 * 10**9,
    }  # fmt: skip
    slow = {**ran, "step_s": 2.0, "losses": [2.0, 1.25]}
    broken = {"failed": -9, "message": "killed"}
    out = {"out_of_memory": {"name": "forward", "step": 1, "micro": 0}, "message": "x"}
    told = gpu.table(
        {
            "made_with": MADE,
            "lora": ran,
            "reference": slow,
            "full, paged": out,
            "full, exact master resident": broken,
        }
    )
    (lora,) = [line for line in told.splitlines() if line.startswith("| lora |")]
    assert lora == "| lora | 10.00 | 13 | 11.00 | 12.00 | 0.500 | 4.00 | 25.0 % | 2.0000, 1.0000 | 0.2500 |"
    assert "out of memory in {'name': 'forward'" in told and "| full, stochastic rounding | not run" in told
    assert "| full, exact master resident | failed: killed" in told and "NVIDIA GeForce RTX 3090 Ti" in told
    assert len({line.count("|") for line in told.splitlines() if line.startswith("|")}) == 1, (
        "every row has every column"
    )


def test_every_part_is_a_shipped_recipe_with_valid_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stacks = {part: gpu.train_settings(part) for part in gpu.PARTS}
    assert stacks["reference"].weights == "fp32" and stacks["reference"].autocast
    assert stacks["full, paged"].optimizer == "paged_adamw8bit"
    assert stacks["full, exact master resident"].optimizer == "adamw8bit"
    assert len({str(stack) for stack in stacks.values()}) == len(gpu.PARTS)


def asked_for(monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str) -> argparse.Namespace:
    state = ("--state", str(folder / "gpu.json"), "--work", str(folder / "work"))
    monkeypatch.setattr(sys, "argv", ["gpu", "--cpu-dry-run", "--steps", "2", *state, *more])
    return gpu.arguments()


@pytest.mark.campaign
def test_every_part_trains_on_a_small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part does on a card, here on the CPU, so that none of them has rotted when a card is at hand."""
    monkeypatch.chdir(ROOT)
    gpu.prepare(asked_for(monkeypatch, tmp_path).work, dry_run=True)
    state = gpu.begun(asked_for(monkeypatch, tmp_path))
    for part in gpu.PARTS:
        state[part] = gpu.measure(asked_for(monkeypatch, tmp_path, "--part", part))
        gpu.write(tmp_path / "gpu.json", state)
    assert all(len(state[part]["losses"]) == 2 and state[part]["step_s"] > 0 for part in gpu.PARTS)
    assert state["reference"]["useful_tflop"] == state["full, paged"]["useful_tflop"] > 0
    assert state["lora"]["useful_tflop"] < state["reference"]["useful_tflop"], "the base gets no gradients"
    assert "not run" not in gpu.table(state) and "failed" not in gpu.table(state)


def test_parts_of_another_cap_or_number_of_steps_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.write(tmp_path / "gpu.json", gpu.begun(asked_for(monkeypatch, tmp_path)))
    assert gpu.begun(asked_for(monkeypatch, tmp_path))["made_with"]["steps"] == 2
    with pytest.raises(SystemExit, match="Give another --state"):
        gpu.begun(asked_for(monkeypatch, tmp_path, "--cap-gib", "16"))


def test_a_dry_run_leaves_no_small_base_behind_that_a_card_would_be_measured_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.prepare(asked_for(monkeypatch, tmp_path).work, dry_run=True)
    monkeypatch.setattr(sys, "argv", [one for one in sys.argv if one != "--cpu-dry-run"])
    assert not (gpu.arguments().work / "ready").exists()


def test_a_machine_without_git_can_run_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.commit() == "unknown"


def test_what_failed_is_tried_again_and_what_is_done_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = asked_for(monkeypatch, tmp_path)
    gpu.prepare(asked.work, dry_run=True)
    done = {
        name: {"device": "cpu", "step_s": 1.0, "losses": [1.0, 1.0], "useful_tflop": 1.0}
        for name in gpu.PARTS
    }
    state = {**gpu.begun(asked), **done, "lora": {"failed": 1}, "reference": {"out_of_memory": {}}}
    gpu.write(asked.state, state)
    asked_for(monkeypatch, tmp_path, "--minutes", "0")
    gpu.main()
    said = capsys.readouterr()
    assert said.err.count("== ") == 1 and "== lora" in said.err and "out of time in lora" in said.err
    assert gpu.read(asked.state) == state and said.out.startswith("commit ")


def test_without_a_cuda_device_it_says_so_before_it_builds_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--work", str(tmp_path / "work")])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="sees no CUDA device"):
        gpu.main()
    assert not (tmp_path / "work").exists()


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
