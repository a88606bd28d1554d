"""What the training and the process that judges its checkpoints tell each other: one file a checkpoint, beside the weights.

The training waits at each checkpoint for what was found in the one before. So where it ends depends on the checkpoints alone, never on
who was faster, and at most one checkpoint is made that a patient reader would not have made. Both sides use this; no torch here.
"""

import time
from collections.abc import Callable
from pathlib import Path

from voicelathe import checkpoints, digest, records
from voicelathe.config import schema
from voicelathe.errors import RecordError, WorkerError
from voicelathe.records import EarlyCheck, EarlyStop

FOLDER = "early_stopping"  # below the directory of the weights
FAILED = "failed.json"  # why nothing is judged any more; whoever starts judging removes it
POLL_S = 0.2
TOLD_S = 20.0  # of waiting, after which people are told what for
SKIPPED = 2  # last checkpoints that nobody judges: what was found in them could end nothing early


def judged(train: schema.Train) -> list[int]:
    """The steps whose checkpoints are judged, in order; none without early stopping."""
    return train.checkpoint_steps[:-SKIPPED] if train.early_stopping else []


def weights(directory: Path, step: int) -> Path:
    """The checkpoint of a step."""
    return directory / f"step_{step:07d}"


def place(directory: Path, step: int) -> Path:
    """Where it stands what a checkpoint came to."""
    return directory / FOLDER / f"step_{step:07d}.json"


def found(directory: Path, step: int, run_digest: str) -> EarlyCheck | None:
    """What a checkpoint came to; None where nobody has judged it yet, or judged other weights than lie there now."""
    try:
        check = records.read_one(place(directory, step), EarlyCheck)
        is_of_these = check.sha256 == checkpoints.identity(weights(directory, step))
    except (RecordError, FileNotFoundError):
        return None
    return check if is_of_these and (check.step, check.run_digest) == (step, run_digest) else None


def ends(
    directory: Path,
    train: schema.Train,
    run_digest: str,
    step: int,
    is_asked_to_stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> EarlyStop | None:
    """Whether the run ends with this step, of which all is written. Waits for what the checkpoint before came to, and says so when that takes longer than TOLD_S.

    None at steps without a checkpoint, at the last one, and where this process is asked to stop meanwhile. Raises WorkerError where nobody
    judges any more.
    """
    steps, early = train.checkpoint_steps, train.early_stopping
    if early is None or step not in steps[1:-1]:
        return None
    before = steps[steps.index(step) - 1]
    waits = f"step {step} is saved and training waits: early stopping still judges the checkpoint of step {before}"
    check = _awaited(directory, before, run_digest, is_asked_to_stop, lambda: tell(waits))
    if check is None or check.stale < early.patience:
        return None
    return EarlyStop(step, train.steps, check.since, early.patience)


def _awaited(
    directory: Path,
    step: int,
    run_digest: str,
    is_asked_to_stop: Callable[[], bool],
    tell: Callable[[], None],
) -> EarlyCheck | None:
    began, is_told = time.monotonic(), False
    while (check := found(directory, step, run_digest)) is None and not is_asked_to_stop():
        _require_judged(directory)
        if not is_told and time.monotonic() - began > TOLD_S:
            is_told = True
            tell()
        time.sleep(POLL_S)
    return check


def _require_judged(directory: Path) -> None:
    path = directory / FOLDER / FAILED
    if path.is_file():
        raise WorkerError(str(digest.read_json(path)["message"]))
