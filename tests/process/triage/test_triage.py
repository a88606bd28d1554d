"""The diagnosis of a dead worker follows from the phase it had announced."""

from pathlib import Path
from typing import Any

import pytest
import torch

from voicelathe.process import triage
from voicelathe.process.triage import logs, remedies
from voicelathe.worker.__main__ import _is_out_of_memory


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


@pytest.mark.parametrize(
    "file, kind, advice",
    [
        ("pythonInterface.cpp", "host memory", "give the container more memory"),
        ("ops.cu", "optimizer state", "train.mode: lora"),
    ],
)
def test_bitsandbytes_ends_the_process_itself_and_the_class_is_told_all_the_same(
    file: str, kind: str, advice: str
) -> None:
    said = f"Error out of memory at line 391 in file /src/csrc/{file}"
    told = triage.of_death("x", 1, phase("optimizer"), Path("log"), ["loading", said])
    assert told.startswith(f"Out of memory: {kind}. Evidence: phase `optimizer` (step 1, pass 0); {said}")
    assert advice in told
    found = logs.read(f"loading\n{said}\n\n{told}\n")
    assert (found.trainer, found.kind) == (remedies.OURS, kind)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_a_card_without_room_for_a_context_or_a_handle_is_out_of_memory_too(message: str) -> None:
    assert _is_out_of_memory(torch.AcceleratorError(message))
    assert not _is_out_of_memory(torch.AcceleratorError("CUDA error: device-side assert triggered"))
