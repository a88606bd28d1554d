"""What a log of a training that died says about memory: of VoxCPM's trainer, Qwen3-TTS's sft_12hz.py, plain PyTorch, or ours.

A mention of memory is not a failure: advice, a batch that was skipped and words of a transcript do not count. What counts is an
exception or a kill after which no further step was logged, and of several (ranks, a launcher that cleans up) the first.
Sources of the formats: OpenBMB/VoxCPM scripts/train_voxcpm_finetune.py and training/tracker.py; QwenLM/Qwen3-TTS
finetuning/sft_12hz.py; PyTorch c10/cuda/CUDACachingAllocator.cpp; Linux mm/oom_kill.c.
"""

import re
from dataclasses import dataclass

from voicelathe import triage
from voicelathe.triage import remedies
from voicelathe.triage.remedies import ACTIVATIONS, GRADIENTS, GROWTH, HOST, STATE, WEIGHTS

PREFIX = r"^(?:\[?rank\s*\d+\]?:?\s*|\[\d{4}-[^\]]*\]\s*|[EW]\d{4} \S+ \d+ \S+\]\s*|\d{4}-\d\d-\d\d[ T][\d:.,]+\s*)*"
CUDA = re.compile(
    PREFIX
    + r"(?:torch\.(?:cuda\.)?OutOfMemoryError: |RuntimeError: CUDA out of memory|RuntimeError: CUDA error: out of memory"
    r"|RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED|RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED"
    rf"|torch\.AcceleratorError: CUDA error: out of memory|{triage.KERNELS.pattern})"
)
KILL = re.compile(
    PREFIX
    + r"(?:Killed\s*$|\S+: line \d+:\s+\d+ Killed\b|zsh: killed\b|MemoryError\b|.*\bOut of memory: Killed process \d+"
    r"|.*\boom-kill:|.*\bexitcode\s*:\s*-9\b|.*died with <Signals\.SIGKILL: 9>|.*Signal 9 \(SIGKILL\) received"
    r"|RuntimeError: DataLoader worker \(pid.*\) (?:is killed by signal: (?:Killed|Bus error)|exited unexpectedly)"
    r"|RuntimeError: \[enforce fail at alloc_cpu\.cpp.*can't allocate memory|.*DefaultCPUAllocator: can't allocate memory"
    rf"|OSError: \[Errno 12\] Cannot allocate memory|{triage.PAGED.pattern})"
)
STEP = re.compile(
    r"^\[train\] step (?P<voxcpm>\d+):|^Epoch (?P<epoch>\d+) \| Step (?P<qwen>\d+) \| Loss|(?P<bar>\b\d+)/\d+ \[\d+:\d+"
    r"|\b(?:global[_ ])?step[ =:]+(?P<step>\d+)\b.*\bloss\b|^(?P<trainer>\{'loss': )",
    re.IGNORECASE,
)
RESUMED = re.compile(r"Resuming (?:training )?from step (?P<step>[1-9]\d*)|Loaded optimizer state")
OUR_PHASE = re.compile(r"phase `(?P<name>\w+)` \(step (?P<step>\d+), pass (?P<micro>\d+)\)")
OUR_MEMORY = re.compile(r"Out of memory: .*Evidence: phase `|was killed \(SIGKILL\) in phase `")
PHASES = (  # what a traceback says, the first that fits; innermost calls do not matter
    ("optimizer", r"optimizer\.step|accelerator\.step\(|scaler\.step\(|/optim/|in _init_group|init_state\("),
    ("checkpoint", r"in save_checkpoint|torch\.save\(|save_file\("),
    ("validation", r"in validate\b|validate\(|\.generate\("),
    ("backward", r"\.backward\(|run_backward|clip_grad_norm_|\bReducer\b|_ddp_init_helper|DistributedDataParallel\("),
    ("forward", r"in forward\b|_call_impl|= model\(|in losses\b"),
    ("load", r"from_local|from_pretrained|load_state_dict|\.to\(|\.cuda\(|in _apply\b|prepare\("),
)  # fmt: skip
SIZE = r"([\d.]+) (bytes|KiB|MiB|GiB)"
UNITS = {"bytes": 2.0**-30, "KiB": 2.0**-20, "MiB": 2.0**-10, "GiB": 1.0}
MAX_EVIDENCE = 8


@dataclass(frozen=True)
class Finding:
    """What a log shows. `kind` is None when nothing in it ran out of memory."""

    trainer: str
    kind: str | None
    evidence: list[str]  # lines of the log as `line N: text`, and what follows from them
    remedy: remedies.Remedy | None

    def text(self) -> str:
        """The finding for people."""
        head = (
            f"Out of memory: {self.kind} ({self.trainer})" if self.kind else "No memory failure in this log."
        )
        lines = [head, "  evidence:" if self.evidence else "", *(f"    {one}" for one in self.evidence)]
        body = "\n".join(line for line in lines if line)
        return f"{body}\n{remedies.listing(self.remedy)}" if self.remedy else body


def read(text: str) -> Finding:
    """Classify a whole log; carriage returns of progress bars count as line ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    trainer = _trainer(text)
    steps = [number for number, line in enumerate(lines) if STEP.search(_bare(line))]
    last_step = steps[-1] if steps else -1
    failures = [number for number, line in enumerate(lines) if _fails(line)]
    deadly = [number for number in failures if number > last_step]
    if not deadly:
        return Finding(trainer, None, _nothing(lines, failures), None)
    for number in deadly:  # what our own stage says of a worker's last words stands behind them
        if match := OUR_PHASE.search(lines[number]):
            return _ours(lines, number, match)
    at = deadly[0]
    if KILL.search(lines[at]):
        return _finding(trainer, HOST, [_shown(lines, at), *(_shown(lines, n) for n in deadly[1:4])])
    return _of_card(trainer, lines, at, steps)


def _of_card(trainer: str, lines: list[str], at: int, steps: list[int]) -> Finding:
    """The card's memory ran out: phase from the traceback, step from what was logged before, amounts from the message."""
    begin = max((n for n in range(at) if "Traceback (most recent call last)" in lines[n]), default=at)
    phase, where = _phase(lines, begin, at)
    amounts = _amounts(" ".join(lines[at : at + 6]))
    evidence = [*([_shown(lines, where)] if where is not None else []), _shown(lines, at)]
    evidence += [_shown(lines, steps[-1]) if steps else "no finished step was logged before it"]
    if (other := amounts.get("other", 0.0)) > 1.0:
        evidence.append(f"another program holds {other:.1f} GiB of the card: end it first")
    tried, unused = amounts.get("tried", 0.0), amounts.get("unused", 0.0)
    if tried and unused >= tried and unused > 0.5:
        evidence.append(
            f"{unused:.1f} GiB were reserved but unused when {tried:.2f} GiB were asked for: fragmentation"
        )
        return _finding(trainer, GROWTH, evidence)
    resumed = any(RESUMED.search(line) for line in lines[:at])
    passes_only = trainer == remedies.QWEN and bool(steps)
    kind, why = _kind(phase, trainer, _finished_a_step(trainer, lines, steps), resumed, passes_only)
    return _finding(trainer, kind, [*evidence, why] if why else evidence)


def _kind(phase: str, trainer: str, stepped: bool, resumed: bool, passed: bool) -> tuple[str, str]:
    """The class, and what it rests on where the log leaves room for doubt. `passed`: a whole pass, but no step, is known to have ended."""
    if phase == "load":
        return WEIGHTS, ""
    if stepped or phase == "validation":
        return (
            GROWTH,
            "everything that stays was in memory before: this was a longer clip, validation or fragmentation",
        )
    if phase == "optimizer":
        return STATE, "the first optimizer step makes its state"
    if resumed:
        return STATE, "after a resume the optimizer's state is there before the first forward"
    if phase == "checkpoint":
        return STATE, ""
    if phase == "backward":
        return GRADIENTS, "gradients appear with the first backward"
    if phase == "forward" and passed:
        return (
            GRADIENTS,
            "a pass had ended, so its gradients were there, and the optimizer had not stepped yet",
        )
    if phase == "forward":
        return ACTIVATIONS, (
            "a forward of the first step; with gradient accumulation it may have been a later pass of it, and then it is "
            f"{GRADIENTS}: {REMINDER[trainer]}"
        )
    return ACTIVATIONS, "the log holds no traceback: this is the class of a first forward, not a finding"


REMINDER = {
    remedies.VOXCPM: "with batch_size 1 and clips of 10 s the first pass of VoxCPM 2 needs about 17 GB and the second 26 GB",
    remedies.QWEN: "the script accumulates 4 batches",
    remedies.OURS: "see the phase in the output of dvc repro",
    remedies.UNKNOWN: "run once without accumulation to tell them apart",
}


def _ours(lines: list[str], at: int, phase: "re.Match[str]") -> Finding:
    name = phase["name"]
    of_host = "SIGKILL" in lines[at] or triage.PAGED.search(lines[at]) is not None
    kind = HOST if of_host else triage.memory_class(name, int(phase["step"]), int(phase["micro"]))
    remedy = remedies.OF_OURS[kind] if of_host else remedies.OF_STAGES.get(name, remedies.OF_OURS[kind])
    return Finding(remedies.OURS, kind, [_shown(lines, at)], remedy)


def _finding(trainer: str, kind: str, evidence: list[str]) -> Finding:
    return Finding(trainer, kind, evidence[:MAX_EVIDENCE], remedies.REMEDIES[trainer][kind])


def _trainer(text: str) -> str:
    if OUR_MEMORY.search(text) or "voicelathe/train/" in text or "voicelathe.worker" in text:
        return remedies.OURS
    if "train_voxcpm_finetune" in text or "[train] step " in text or "voxcpm/training/" in text:
        return remedies.VOXCPM
    if "sft_12hz" in text or re.search(r"^Epoch \d+ \| Step \d+ \| Loss: ", text, re.MULTILINE):
        return remedies.QWEN
    return remedies.UNKNOWN


def _fails(line: str) -> bool:
    return bool(CUDA.search(line) or KILL.search(line) or OUR_MEMORY.search(line))


def _phase(lines: list[str], begin: int, end: int) -> tuple[str, int | None]:
    """The phase a traceback shows, and the line that shows it."""
    for name, pattern in PHASES:
        for number in range(begin, end):
            if re.search(pattern, lines[number]):
                return name, number
    return "unknown", None


def _finished_a_step(trainer: str, lines: list[str], steps: list[int]) -> bool:
    """Whether an optimizer step is known to have ended. VoxCPM logs step 0 after its update; Qwen's step counts passes, four to an update."""
    for number in steps:
        found = STEP.search(_bare(lines[number]))
        assert found is not None
        if found["voxcpm"] is not None or found["trainer"] is not None:
            return True
        counted = found["qwen"] or found["bar"] or found["step"] or "0"
        passes_first = 4 if trainer == remedies.QWEN else 1
        if int(counted) >= passes_first or int(found["epoch"] or 0) > 0:
            return True
    return False


def _amounts(message: str) -> dict[str, float]:
    """GiB by role, from PyTorch's message: tried, unused (reserved but unallocated), other (the largest other process)."""
    patterns = {
        "tried": rf"Tried to allocate {SIZE}",
        "unused": rf"{SIZE} is reserved by PyTorch but unallocated",
        "other": rf"Process \d+ has {SIZE} memory in use\.(?=.*this process has)",
    }
    found = {name: re.search(pattern, message) for name, pattern in patterns.items()}
    return {name: float(one[1]) * UNITS[one[2]] for name, one in found.items() if one}


def _nothing(lines: list[str], failures: list[int]) -> list[str]:
    """For a log without a memory failure: what it recovered from, and the exception it ended with."""
    evidence = [f"{_shown(lines, number)} (training went on after it)" for number in failures[:3]]
    raised = [
        n for n, line in enumerate(lines) if re.match(PREFIX + r"[\w.]+(?:Error|Exception|Interrupt)\b", line)
    ]
    last = [number for number in raised if number not in failures][-1:]
    return evidence + [f"{_shown(lines, number)} (this is what it ended with)" for number in last]


def _bare(line: str) -> str:
    return re.sub(PREFIX, "", line)


def _shown(lines: list[str], number: int) -> str:
    text = lines[number].strip()
    return f"line {number + 1}: {text if len(text) <= 200 else text[:197] + '...'}"
