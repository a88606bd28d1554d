"""Why a worker died: the class of memory that ran out follows from the phase it had announced, not from the size of the model.

Before the first optimizer step there is no optimizer state, so an 8-bit optimizer cannot cure an out-of-memory there.
(pass 0, forward) is activations; (pass 0, backward) or a later forward of the first step is gradients and weight casts;
the first optimizer step is optimizer state; anything later is fragmentation or a longer clip. A worker that the kernel kills ran
out of host memory, whatever the card had left.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voicelathe.process.triage.remedies import (
    ACTIVATIONS,
    GRADIENTS,
    GROWTH,
    HOST,
    OF_OURS,
    OF_STAGES,
    STATE,
    WEIGHTS,
    listing,
)

BEFORE_WORK = ("start", "import", "load", "bundle")
# bitsandbytes prints this and ends the process. Its pythonInterface asks for paged memory, which the host must be able to hold.
KERNELS = re.compile(r"Error out of memory at line \d+ in file \S+\.c\w*")
PAGED = re.compile(KERNELS.pattern.replace(r"\S+", r"\S*pythonInterface"))


def memory_class(name: str, step: int, micro: int) -> str:
    """The class of memory that ran out in this phase of a 1-based step (0: before training)."""
    if name in BEFORE_WORK:
        return WEIGHTS
    if name in OF_STAGES:
        return ACTIVATIONS  # nothing is trained there: weights and one forward is all there is
    if step > 1:
        return GROWTH
    if name in ("optimizer", "checkpoint"):
        return STATE
    if name == "backward" or (name == "forward" and micro > 0):
        return GRADIENTS
    return ACTIVATIONS


def of_memory(phase: Mapping[str, Any], message: str, log: Path, kind: str | None = None) -> str:
    """The diagnosis of an out-of-memory that the worker reported; `kind` where its message says more than the phase."""
    found = kind or memory_class(phase["name"], phase["step"], phase["micro"])
    remedy = OF_OURS[found] if kind else OF_STAGES.get(phase["name"], OF_OURS[found])
    first_line = message.splitlines()[0] if message else "no message"
    return (
        f"Out of memory: {found}. Evidence: phase {spoken(phase)}; {first_line}\n"
        f"{listing(remedy)}\n  log: {log}"
    )


def of_death(label: str, exit_code: int, phase: Mapping[str, Any], log: Path, tail: Sequence[str]) -> str:
    """The diagnosis of a worker that ended without saying how."""
    end = "\n".join(f"  | {line}" for line in tail)
    if exit_code == -9:
        return (
            f"The worker of {label} was killed (SIGKILL) in phase {spoken(phase)}: by hand, or by the kernel because {HOST} "
            f"ran out (check: dmesg | grep -i oom). Nothing that was saved is lost: run the same command again.\n"
            f"  If it was the kernel, what was being added: {memory_class(phase['name'], phase['step'], phase['micro'])}.\n"
            f"{listing(OF_OURS[HOST])}\n  log: {log}\n{end}"
        )
    for line in tail:
        if KERNELS.search(line):
            return of_memory(phase, line, log, HOST if PAGED.search(line) else None)
    if exit_code in (143, -15):
        return f"The worker of {label} was asked to stop in phase {spoken(phase)} and saved its state. Run the same command to go on."
    return f"The worker of {label} ended with exit code {exit_code} in phase {spoken(phase)}.\n  log: {log}\n{end}"


def spoken(phase: Mapping[str, Any]) -> str:
    """A phase as messages and logs name it; `logs` reads it back."""
    return f"`{phase['name']}` (step {phase['step']}, pass {phase['micro']})"
