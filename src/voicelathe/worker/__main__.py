"""`python -m voicelathe.worker JOB.json`: do one job and say how it goes, as JSON lines on the original stdout.

Before anything is imported, stdout is pointed at stderr, because upstream packages print; and the process asks the kernel to end
it when its parent dies, so that a killed pipeline leaves nobody behind.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
STRICT_NUMERICS = {
    "MKL_CBWR": "AVX2,STRICT"
}  # without it MKL's last digits depend on where a matrix lies in memory


def main() -> int:
    """Run the job; a user's error is told as a `failed` event, anything else ends with a traceback on stderr."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    os.environ.update(STRICT_NUMERICS)
    _die_with_parent(int(sys.argv[2]) if len(sys.argv) > 2 else None)

    from voicelathe import digest, jobs, records
    from voicelathe.errors import VoiceLatheError

    def emit(kind: str, values: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more: the state is still to be saved
            events.write(digest.canonical_json({"kind": kind, "values": values}) + "\n")

    emit(jobs.PHASE, {"name": "import", "step": 0, "micro": 0})
    description = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    job: Any = records.from_json(jobs.VERBS[description["verb"]], description["job"], sys.argv[1])
    try:
        emit(jobs.DONE, _do(job, emit))
    except VoiceLatheError as problem:
        emit(jobs.FAILED, {"error": type(problem).__name__, "message": str(problem)})
        return 1
    except (MemoryError, RuntimeError) as problem:
        if not _is_out_of_memory(problem):
            raise
        emit(jobs.FAILED, {"error": "OutOfMemory", "message": str(problem)})
        return 1
    return 0


def _do(job: Any, emit: Any) -> dict[str, Any]:
    import torch

    from voicelathe import families, jobs
    from voicelathe.worker import encode, locks, measure, speak, validate

    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        from voicelathe.errors import BaseModelError

        raise BaseModelError(
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set: torch would run code out of weight files. Unset it."
        )
    torch.set_num_threads(jobs.threads_of(job))
    if isinstance(job, jobs.RehearseJob):
        from voicelathe.worker import rehearse

        return rehearse.run(job, emit)
    if isinstance(job, jobs.MeasureJob):
        return measure.run(job, emit)
    machine = job.target.machine
    families.find(job.target.family).verify(Path(job.target.base), job.target.base_digest)
    with locks.device(machine):
        match job:
            case jobs.EncodeJob():
                return encode.run(job, emit)
            case jobs.ValidateJob():
                return validate.run(job, emit)
            case jobs.SpeakJob():
                return speak.run(job, emit)
            case jobs.TrainJob():
                from voicelathe.train import loop

                with locks.run_directory(Path(job.directory)):
                    return loop.run(job, emit)
    raise AssertionError(f"no verb for {type(job).__name__}")


def _die_with_parent(expected: int | None) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if expected is not None and os.getppid() != expected:
        sys.exit(0)  # the parent died before the request took effect


def _is_out_of_memory(problem: Exception) -> bool:
    import torch

    return isinstance(problem, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(
        problem
    )


if __name__ == "__main__":
    sys.exit(main())
