"""Memory really runs out in a chosen phase of a real training: the address space is closed the moment the phase is announced."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import training

SCRIPT = """
import os, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from tests.factories import training
from voicelathe.process import jobs, triage
from voicelathe.train import loop
from voicelathe.worker.__main__ import _is_out_of_memory

def train(root, target):
    settings = replace(training.train_settings("full", steps=1, every=1), clips_per_step=24, clips_per_pass=12)
    last = {}

    def emit(kind, values):
        if kind == jobs.PHASE:
            last.update(values)
            if (values["name"], values["micro"]) == target:
                close_memory()

    try:
        loop.run(training.train_job(Path(sys.argv[1]), Path(sys.argv[1]) / root, settings), emit)
    except (MemoryError, RuntimeError) as problem:
        hoard.clear()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert _is_out_of_memory(problem), repr(problem)
        print(triage.of_memory(last, str(problem), Path("x.log")).splitlines()[0], flush=True)

hoard = []

def close_memory():
    limit = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    for size in (1 << 22, 1 << 18, 1 << 14):  # what the heap has left
        try:
            while True:
                hoard.append(torch.empty(size, dtype=torch.uint8))
        except RuntimeError:
            pass

torch.set_num_threads(1)
train("warm", None)  # everything that is imported late is imported
for name, micro in (("forward", 0), ("backward", 0), ("forward", 1), ("optimizer", 0)):
    child = os.fork()
    if child == 0:
        train(f"{name}-{micro}", (name, micro))
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_memory_that_runs_out_in_a_phase_is_put_into_the_class_of_that_phase(tmp_path: Path) -> None:
    root = training.corpus(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.split("; ")[0] for line in done.stdout.splitlines()]
    assert told == [
        "Out of memory: activations. Evidence: phase `forward` (step 1, pass 0)",
        "Out of memory: gradients and casts. Evidence: phase `backward` (step 1, pass 0)",
        "Out of memory: gradients and casts. Evidence: phase `forward` (step 1, pass 1)",
        "Out of memory: optimizer state. Evidence: phase `optimizer` (step 1, pass 0)",
    ], done.stderr[-2000:]
