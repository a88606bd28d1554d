"""The diagnosis of a dead worker follows from the phase it had announced."""

from pathlib import Path
from typing import Any

import pytest

from voicelathe import triage


def phase(name: str, step: int = 1, micro: int = 0) -> dict[str, Any]:
    return {"name": name, "step": step, "micro": micro}


@pytest.mark.parametrize(
    "name,step,micro,expected",
    [
        ("load", 0, 0, "weights"),
        ("forward", 1, 0, "activations"),
        ("validate", 2000, 0, "activations"),
        ("encode", 40, 0, "activations"),
        ("backward", 1, 0, "gradients and casts"),
        ("forward", 1, 1, "gradients and casts"),
        ("optimizer", 1, 0, "optimizer state"),
        ("checkpoint", 1, 0, "optimizer state"),
        ("forward", 2, 0, "growth or fragmentation"),
        ("optimizer", 7, 0, "growth or fragmentation"),
    ],
)
def test_the_class_of_memory_follows_from_phase_and_step(
    name: str, step: int, micro: int, expected: str
) -> None:
    assert triage.memory_class(name, step, micro) == expected


def test_an_eight_bit_optimizer_is_never_advised_before_the_first_optimizer_step() -> None:
    for name, micro in (("forward", 0), ("backward", 0), ("forward", 1)):
        helps = triage.of_memory(phase(name, 1, micro), "CUDA out of memory", Path("log")).split(
            "cannot help"
        )[0]
        assert "paged_adamw8bit" not in helps


def test_a_killed_worker_is_told_apart_from_one_that_was_asked_to_stop() -> None:
    killed = triage.of_death("x", -9, phase("backward", 3), Path("log"), ["last line"])
    stopped = triage.of_death("x", 143, phase("backward", 3), Path("log"), [])
    assert "SIGKILL" in killed and "last line" in killed and "run the same command again" in killed
    assert "saved its state" in stopped and "SIGKILL" not in stopped
