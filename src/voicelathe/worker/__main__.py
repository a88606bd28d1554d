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
MEET_S = 300  # torchrun of machines that are all there already

NO_ROOM = (  # what is no OutOfMemoryError of torch: the host's allocator; CUDA without room for a context, a handle, a workspace
    *("can't allocate memory", "CUDA error: out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)


def main() -> int:
    """Run the job; a user's error is told as a `failed` event, anything else ends with a traceback on stderr."""
    os.environ.update(STRICT_NUMERICS)
    _die_with_parent(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    description = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if description["verb"] == "train":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, too, which asks us to save
        if description["job"]["train"].get("deterministic"):
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # see train.stepping.repeatable
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            _spread(description["job"]["target"]["machine"]["processes"], description["job"].get("node"))
    is_peer = os.environ.get("TORCHELASTIC_RUN_ID") is not None and os.environ["LOCAL_RANK"] != "0"
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    from voicelathe import digest, records
    from voicelathe.errors import VoiceLatheError
    from voicelathe.process import jobs

    def emit(kind: str, values: dict[str, Any]) -> None:
        if is_peer and kind != jobs.FAILED:
            return  # the first process of a machine says how it goes, and every one what stopped it
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more: the state is still to be saved
            events.write(digest.canonical_json({"kind": kind, "values": values}) + "\n")

    emit(jobs.PHASE, {"name": "import", "step": 0, "micro": 0})
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

    from voicelathe import families
    from voicelathe.process import jobs
    from voicelathe.runs import locks
    from voicelathe.worker import copies, encode, export, measure, speak, validate

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
    if isinstance(job, jobs.CutJob):
        from voicelathe.worker import cut

        return cut.run(job, emit)
    machine = job.target.machine
    families.find(job.target.family).verify(Path(job.target.base), job.target.base_digest)
    if isinstance(job, jobs.TrainJob):
        return _train(job, emit)
    is_beside = isinstance(job, jobs.ValidateJob | jobs.SpeakJob) and job.beside_training
    shared = isinstance(job, jobs.SpeakJob) and job.interactive
    with contextlib.nullcontext() if is_beside else locks.device(machine, shared=shared):
        match job:
            case jobs.EncodeJob():
                return encode.run(job, emit)
            case jobs.CopyJob():
                return copies.run(job, emit)
            case jobs.ValidateJob():
                return validate.run(job, emit)
            case jobs.SpeakJob():
                return speak.run(job, emit)
            case jobs.ExportJob():
                return export.run(job, emit)
    raise AssertionError(f"no verb for {type(job).__name__}")


def _train(job: Any, emit: Any) -> dict[str, Any]:
    """The run directory belongs to the first process, each GPU to its own."""
    from voicelathe.runs import locks
    from voicelathe.train import distributed

    machine = job.target.machine
    with distributed.watched(job.node, emit) as pulse:
        distributed.choose_device(machine)
        with locks.device(machine), distributed.joined(machine, pulse) as together:
            directory = Path(job.directory)
            with locks.run_directory(directory) if together.is_first else contextlib.nullcontext():
                return _run(job, emit, together)


def _run(job: Any, emit: Any, together: Any) -> dict[str, Any]:
    """A machine may be asked to stop that is not this one: its parent would see only that torchrun has failed."""
    from voicelathe.process import jobs
    from voicelathe.train import loop

    try:
        return loop.run(job, emit, together)
    except SystemExit:
        if job.node is not None:
            told = "One of the machines of this run was asked to stop: all of them ended after the same step, and its state is saved."
            again = "Start the same commands again on every machine to go on."
            emit(jobs.FAILED, {"error": "WorkerError", "message": f"{told} {again}"})
        raise


def _spread(processes: int, node: dict[str, Any] | None) -> None:
    """For more than one process, become torchrun, which starts this module again for each of them.

    It keeps our process id, our output and our death signal, so the parent sees one worker, and the processes see that one as theirs.
    """
    if processes == 1:
        return
    from voicelathe.process.jobs import STOP_S

    os.environ["PYTHONSAFEPATH"] = "1"  # -P, which torchrun does not hand on
    launch = ["-P", "-m", "torch.distributed.run", *_meeting(processes, node)]
    launch += ["--signals-to-handle=SIGTERM", f"--shutdown-timeout={STOP_S}"]
    command = [sys.executable, *launch, "-m", "voicelathe.worker", sys.argv[1], str(os.getpid())]
    os.execv(sys.executable, command)


def _meeting(processes: int, node: dict[str, Any] | None) -> list[str]:
    """How many torchrun starts here, and where it meets those of other machines.

    Machine 0 must have rank 0, because its stage owns the files; so the ranks are given out before, and the rendezvous is static.
    """
    if node is None:
        return ["--standalone", f"--nproc-per-node={processes}"]
    count = node["count"]
    where = [f"--master-addr={node['host']}", f"--master-port={node['port']}", f"--rdzv-id={node['token']}"]
    return [
        *(f"--nnodes={count}", f"--node-rank={node['rank']}", f"--nproc-per-node={processes // count}"),
        *("--rdzv-backend=static", f"--rdzv-conf=timeout={MEET_S}", *where),
    ]


def _die_with_parent(expected: int | None) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if expected is not None and os.getppid() != expected:
        sys.exit(0)  # the parent died before the request took effect


def _is_out_of_memory(problem: Exception) -> bool:
    import torch

    return isinstance(problem, MemoryError | torch.OutOfMemoryError) or any(
        said in str(problem) for said in NO_ROOM
    )


if __name__ == "__main__":
    sys.exit(main())
