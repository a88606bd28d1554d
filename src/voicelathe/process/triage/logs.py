"""What a log of a training that died says about memory, whoever trained: the trainers that people use, plain PyTorch, or ours.

A mention of memory is not a failure: advice, a batch that was skipped and words of a transcript do not count. What counts is an
exception or a kill after which no further step was logged, and of several (ranks, a launcher that cleans up) the first.
The forms themselves stand in `forms`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from voicelathe.process import triage
from voicelathe.process.triage import forms, remedies
from voicelathe.process.triage.remedies import ACTIVATIONS, GRADIENTS, GROWTH, HOST, STATE, WEIGHTS

OUR_PHASE = re.compile(r"phase `(?P<name>\w+)` \(step (?P<step>\d+), pass (?P<micro>\d+)\)")
OUR_MEMORY = re.compile(r"Out of memory: .*Evidence: phase `|was killed \(SIGKILL\) in phase `")
MAX_EVIDENCE = 8


@dataclass(frozen=True)
class LogFinding:
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


def read(text: str) -> LogFinding:
    """Classify a whole log; carriage returns of progress bars count as line ends, and colours are left out."""
    text = forms.COLOURS.sub("", text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    trainer = _trainer(text)
    steps = {number: done for number, line in enumerate(lines) if (done := forms.progress(line)) is not None}
    failures = [number for number, line in enumerate(lines) if _fails(line)]
    recovered = {number for number in failures if _recovered(lines, steps, number)}
    stopped = next(
        (number for number, line in enumerate(lines) if failures and forms.SCHEDULER.search(line)), len(lines)
    )
    deadly = [
        number
        for number in failures
        if number not in recovered and not _is_of_scheduler(lines, number, stopped)
    ]
    if not deadly:
        return LogFinding(trainer, None, _nothing(lines, sorted(recovered)), None)
    for number in deadly:  # what our own stage says of a worker's last words stands behind them
        if match := OUR_PHASE.search(lines[number]):
            return _ours(lines, number, match)
    at = deadly[0]
    if forms.fails_on_host(lines[at]):
        return _finding(trainer, HOST, [_shown(lines, at), *(_shown(lines, n) for n in deadly[1:4])])
    return _of_card(trainer, lines, at, [number for number in steps if number <= at])


def _is_of_scheduler(lines: list[str], failure: int, stopped: int) -> bool:
    """Whether a kill came after a scheduler had said that it stops the job, for its time or another one's."""
    is_kill = forms.fails_on_host(lines[failure]) and not forms.fails_on_card(lines[failure])
    return failure >= stopped and is_kill and not forms.NAMES_MEMORY.search(lines[failure])


def _recovered(lines: list[str], steps: Mapping[int, int], failure: int) -> bool:
    """Whether the line says so itself, or a further step ended after it."""
    spared = forms.is_spared(lines[failure]) and not forms.fails_on_host(lines[failure])
    return spared or _went_on(steps, failure)


def _went_on(steps: Mapping[int, int], failure: int) -> bool:
    """Whether a further step ended after a failure; a progress bar that is drawn once more at the end of the program is none."""
    before = [done for number, done in steps.items() if number <= failure]
    after = [done for number, done in steps.items() if number > failure]
    return bool(after) and (not before or max(after) > max(before) or len(after) > 2)


def _of_card(trainer: str, lines: list[str], at: int, steps: list[int]) -> LogFinding:
    """The card's memory ran out: phase from the traceback, step from what was logged before, amounts from the message."""
    begin = _traceback(lines, at)
    phase, where = _phase(lines, begin, at, steps)
    amounts = _amounts(" ".join(lines[at : at + 6]))
    unknown = next((n for n in reversed(range(begin)) if forms.OTHER_STEP.search(forms.bare(lines[n]))), None)
    evidence = [
        *([_shown(lines, where)] if where is not None else []),
        _shown(lines, at),
        _last_step(lines, steps, unknown),
    ]
    if (other := amounts.get("other", 0.0)) > 1.0:
        evidence.append(f"another program holds {other:.1f} GiB of the card: end it first")
    first_state = any(forms.FIRST_STATE.search(line) for line in lines[begin : at + 1])
    if phase == "optimizer" and first_state:
        return _finding(
            trainer,
            STATE,
            [*evidence, "the optimizer was making its state, as it does at its first step", *_note(amounts)],
        )
    if phase != "optimizer" and _is_fragmented(amounts):
        return _finding(trainer, GROWTH, [*evidence, *_note(amounts)])
    resumed = any(forms.RESUMED.search(line) for line in lines[:at])
    passes_only = trainer == remedies.QWEN and bool(steps)
    stepped = _finished_a_step(trainer, lines, steps) or (
        not steps and unknown is not None and "loss" in lines[unknown].lower()
    )
    kind, why = _kind(phase, trainer, stepped, resumed, passes_only)
    return _finding(trainer, kind, [*evidence, why] if why else evidence)


def _last_step(lines: list[str], steps: list[int], unknown: int | None) -> str:
    """What is known of the steps before: the last one, a line that may be one, or that there is neither."""
    if steps:
        return _shown(lines, steps[-1])
    if unknown is not None:
        return f"{_shown(lines, unknown)} (it may be a step; its form is not known here)"
    return "no line before it looks like a finished step"


def _is_fragmented(amounts: Mapping[str, float]) -> bool:
    """Whether what was asked for lay free in the pool, and the pool's free part is large: many small gaps are nothing unusual."""
    tried, unused, held = (amounts.get(name, 0.0) for name in ("tried", "unused", "allocated"))
    return bool(tried) and unused >= tried and unused > 0.5 and unused > 0.1 * (held + unused)


def _note(amounts: Mapping[str, float]) -> list[str]:
    if not _is_fragmented(amounts):
        return []
    return [
        f"{amounts['unused']:.1f} GiB were reserved but unused when {amounts['tried']:.2f} GiB were asked for: fragmentation"
    ]


def _traceback(lines: list[str], at: int) -> int:
    """Where the traceback of a failure begins: its header, or the first of the frames before it where the header was not pasted."""
    if headers := [n for n in range(at + 1) if forms.HEADER in lines[n]]:
        return headers[-1]
    begin = at
    for number in range(at - 1, max(at - 60, -1), -1):
        if forms.FRAME.search(lines[number]):
            begin = number
    return begin


def _kind(phase: str, trainer: str, stepped: bool, resumed: bool, passed: bool) -> tuple[str, str]:
    """The class, and what it rests on where the log leaves room for doubt. `passed`: a whole pass, but no step, is known to have ended."""
    if phase == "load":
        return WEIGHTS, ""
    if phase == "checking":
        return ACTIVATIONS, "validation before the first step: weights and one forward are all there is"
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
    return (
        ACTIVATIONS,
        "nothing before it says what the program was doing: this is the class of a first forward, not a finding",
    )


REMINDER = {
    remedies.VOXCPM: "with batch_size 1 and clips of 10 s the first pass of VoxCPM 2 needs about 17 GB and the second 26 GB",
    remedies.QWEN: "the script accumulates 4 batches",
    remedies.OURS: "see the phase in the output of dvc repro",
    remedies.UNKNOWN: "run once without accumulation to tell them apart",
}


def _ours(lines: list[str], at: int, phase: "re.Match[str]") -> LogFinding:
    name = phase["name"]
    of_host = "SIGKILL" in lines[at] or triage.PAGED.search(lines[at]) is not None
    kind = HOST if of_host else triage.memory_class(name, int(phase["step"]), int(phase["micro"]))
    remedy = remedies.OF_OURS[kind] if of_host else remedies.OF_STAGES.get(name, remedies.OF_OURS[kind])
    return LogFinding(remedies.OURS, kind, [_shown(lines, at)], remedy)


def _finding(trainer: str, kind: str, evidence: list[str]) -> LogFinding:
    return LogFinding(trainer, kind, evidence[:MAX_EVIDENCE], remedies.REMEDIES[trainer][kind])


def _trainer(text: str) -> str:
    if OUR_MEMORY.search(text) or "voicelathe/train/" in text or "voicelathe.worker" in text:
        return remedies.OURS
    if "train_voxcpm_finetune" in text or "[train] step " in text or "voxcpm/training/" in text:
        return remedies.VOXCPM
    if "sft_12hz" in text or re.search(r"^Epoch \d+ \| Step \d+ \| Loss: ", text, re.MULTILINE):
        return remedies.QWEN
    return remedies.UNKNOWN


def _fails(line: str) -> bool:
    return forms.fails_on_card(line) or forms.fails_on_host(line) or OUR_MEMORY.search(line) is not None


def _phase(lines: list[str], begin: int, end: int, steps: list[int]) -> tuple[str, int | None]:
    """The phase a traceback shows, or else the last announcement before it, and the line that shows it."""
    since = steps[-1] + 1 if steps else 0
    for number in reversed(range(since, begin)):
        if forms.CHECKING.search(forms.bare(lines[number])):
            return "checking", number
        if forms.VALIDATING.search(forms.bare(lines[number])):
            return "validation", number
    for name, pattern in forms.PHASES:
        for number in range(begin, end + 1):
            if re.search(pattern, lines[number]):
                return name, number
    return "unknown", None


def _finished_a_step(trainer: str, lines: list[str], steps: list[int]) -> bool:
    """Whether an optimizer step is known to have ended. VoxCPM logs step 0 after its update; Qwen's step counts passes, four to an update."""
    for number in steps:
        found = forms.STEP.search(forms.bare(lines[number]))
        assert found is not None
        if found["voxcpm"] is not None or found["trainer"] is not None:
            return True
        passes_first = 4 if trainer == remedies.QWEN else 1
        counted = forms.progress(lines[number]) if found["qwen"] is None else int(found["qwen"])
        epoch = int(found["epoch"] or found["cosyvoice_epoch"] or 0)
        done = int(found["cosyvoice"]) if found["cosyvoice"] is not None else counted or 0
        if done >= passes_first or epoch > 0:
            return True
    return False


def _amounts(message: str) -> dict[str, float]:
    """GiB by role, from PyTorch's message: tried, allocated, unused (reserved but unallocated), other (the largest other process)."""
    found = {name: re.search(pattern, message) for name, pattern in forms.AMOUNTS.items()}
    amounts = {name: float(one[1]) * forms.UNITS[one[2]] for name, one in found.items() if one}
    if "old_reserved" in amounts and "old_allocated" in amounts:  # PyTorch before 2.1
        amounts |= {
            "allocated": amounts["old_allocated"],
            "unused": amounts["old_reserved"] - amounts["old_allocated"],
        }
    return amounts


def _nothing(lines: list[str], recovered: list[int]) -> list[str]:
    """For a log without a memory failure: what it recovered from, and the exception it ended with."""
    if not any(line.strip("\0 \t") for line in lines):
        return ["the log is empty: give the file that the training's output and errors were written to"]
    evidence = [f"{_shown(lines, number)} (training went on after it)" for number in recovered[:3]]
    strange = [n for n, line in enumerate(lines) if forms.NO_NUMBER.search(line)][:1]
    evidence += [f"{_shown(lines, number)} (the loss is no number here)" for number in strange]
    unlike = set(recovered)
    last = [n for n in reversed(range(len(lines))) if n not in unlike and forms.is_last_word(lines[n])][:1]
    return evidence + [f"{_said(lines, number)} (this is what it ended with)" for number in last]


def _said(lines: list[str], number: int) -> str:
    """The line, with the next that holds something where it ends in the name of an exception alone."""
    following = next((line.strip() for line in lines[number + 1 :] if line.strip()), "")
    return (
        f"{_shown(lines, number)}{f' {following[:160]}' if lines[number].rstrip().endswith('Error:') else ''}"
    )


def _shown(lines: list[str], number: int) -> str:
    text = lines[number].strip()
    return f"line {number + 1}: {text if len(text) <= 200 else text[:197] + '...'}"
