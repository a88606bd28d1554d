"""Why a worker died: the class of memory that ran out follows from the phase it had announced, not from the size of the model.

Before the first optimizer step there is no optimizer state, so an 8-bit optimizer cannot cure an out-of-memory there.
(micro 0, forward) is activations; (micro 0, backward) or a later forward of the first step is gradients and weight casts;
the first optimizer step is optimizer state; anything later is fragmentation or a longer clip.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLASSES = {
    "activations": (
        "train.activation_checkpointing: all; then a smaller train.clips_per_pass; then a lower audit.max_duration_s",
        "an 8-bit or paged optimizer (its state does not exist yet)",
    ),
    "gradients": (
        "train.mode: lora; a smaller train.clips_per_pass does not change the size of gradients",
        "activation checkpointing and an 8-bit optimizer (neither holds gradients)",
    ),
    "optimizer state": (
        "train.optimizer: paged_adamw8bit; then train.mode: lora",
        "activation checkpointing and shorter clips (the state's size is that of the weights)",
    ),
    "growth or fragmentation": (
        "a lower audit.max_duration_s or train.clips_per_pass: a later step met longer clips",
        "a different optimizer (its state is complete after the first step)",
    ),
}


def memory_class(name: str, step: int, micro: int) -> str:
    """The class of memory that ran out in this phase of a 1-based step."""
    if step > 1:
        return "growth or fragmentation"
    if name == "optimizer":
        return "optimizer state"
    if name == "backward" or (name == "forward" and micro > 0):
        return "gradients"
    return "activations"


def of_memory(phase: Mapping[str, Any], message: str, log: Path) -> str:
    """The diagnosis of an out-of-memory the worker lived to report."""
    found = memory_class(phase["name"], phase["step"], phase["micro"])
    helps, cannot = CLASSES[found]
    first_line = message.splitlines()[0] if message else "no message"
    return (
        f"Out of memory: {found}. Evidence: phase {_spoken(phase)}; {first_line}\n"
        f"  helps:       {helps}\n  cannot help: {cannot}\n  log: {log}"
    )


def of_death(label: str, exit_code: int, phase: Mapping[str, Any], log: Path, tail: Sequence[str]) -> str:
    """The diagnosis of a worker that ended without saying how."""
    end = "\n".join(f"  | {line}" for line in tail)
    if exit_code == -9:
        found = memory_class(phase["name"], phase["step"], phase["micro"])
        return (
            f"The worker of {label} was killed (SIGKILL) in phase {_spoken(phase)}: by hand, or by the kernel because the machine's "
            f"memory ran out ({found}; check: dmesg | grep -i oom). Nothing that was saved is lost: run the same command again.\n"
            f"  log: {log}\n{end}"
        )
    if exit_code in (143, -15):
        return f"The worker of {label} was asked to stop in phase {_spoken(phase)} and saved its state. Run the same command to go on."
    return f"The worker of {label} ended with exit code {exit_code} in phase {_spoken(phase)}.\n  log: {log}\n{end}"


def _spoken(phase: Mapping[str, Any]) -> str:
    return f"`{phase['name']}` (step {phase['step']}, pass {phase['micro']})"
