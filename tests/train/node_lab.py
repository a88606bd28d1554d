"""Machines that train one run, on one machine: a process with the stage's call, and `voicelathe join` in the same folder."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from voicelathe import digest, records
from voicelathe.config import params, schema
from voicelathe.process import jobs

RECIPE = "mini-lora"
STAGE = """
from pathlib import Path
import sys
from voicelathe import digest, records
from voicelathe.config import params
from voicelathe.errors import VoiceLatheError
from voicelathe.process import jobs, runner, together
runner.die_with_parent()
job = records.from_json(jobs.TrainJob, digest.read_json(Path(sys.argv[1])), "job")
try:
    print(together.train(job, "mini-lora", params.load().nodes))
except VoiceLatheError as problem:
    sys.exit(f"{type(problem).__name__}: {problem}")
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def project(folder: Path, processes: int = 2, count: int = 2, wait_s: float = 60.0) -> Path:
    """A folder with settings that machines may meet in."""
    tree = params.read_yaml(Path("params.yaml"))
    tree["machine"]["processes"] = processes
    tree["nodes"].update(count=count, rendezvous=f"127.0.0.1:{free_port()}", wait_s=wait_s)
    tree["recipes"] = {RECIPE: tree["recipes"][RECIPE]}
    tree["recipes"][RECIPE]["train"].update(clips_per_pass=1)
    folder.mkdir(parents=True, exist_ok=True)
    digest.write_text(folder / "params.yaml", params.dump(tree))
    return folder


def shared(job: jobs.TrainJob, processes: int = 2) -> jobs.TrainJob:
    return replace(job, target=replace(job.target, machine=schema.Machine("cpu", 1, processes)))


def stage(folder: Path, job: jobs.TrainJob, **environment: str) -> subprocess.Popen[str]:
    """Machine 0."""
    digest.write_json(folder / "job.json", records.to_json(job))
    return _begun(folder, ["-c", STAGE, "job.json"], environment)


def workers(
    folder: Path, job: jobs.TrainJob, silent_s: float, second: jobs.TrainJob | None = None
) -> list[subprocess.Popen[str]]:
    """The workers of two machines that have met; the second may have another job. What they say are events."""
    place = records.NodePlace(0, 2, "127.0.0.1", free_port(), "0" * 32, silent_s)
    begun = []
    for rank, one in enumerate((job, second or job)):
        placed = replace(one, node=replace(place, rank=rank))
        described = {"verb": "train", "job": records.to_json(placed)}
        digest.write_json(folder / f"{rank}.json", described)
        begun.append(_begun(folder, ["-m", "voicelathe.worker", f"{rank}.json"], {}))
    return begun


def joiner(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Any other machine."""
    return _begun(folder, ["-m", "voicelathe.cli", "join", RECIPE], environment)


def both(folder: Path, job: jobs.TrainJob, others: int = 1) -> list[tuple[int, str]]:
    """How the stage and the others ended, and what they said."""
    processes = [stage(folder, job), *(joiner(folder) for _ in range(others))]
    return [ended(one) for one in processes]


def ended(process: subprocess.Popen[str], limit_s: float = 240.0) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    said, _ = process.communicate(timeout=limit_s)
    return process.returncode, said


def until(true: Callable[[], Any], limit_s: float = 120.0) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + limit_s
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return found


def family_of(pid: int) -> list[int]:
    """A process and all below it, the process itself first."""
    found = [pid]
    for one in found:
        tasks = Path(f"/proc/{one}/task")
        for task in tasks.iterdir() if tasks.is_dir() else ():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _begun(folder: Path, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", *arguments], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, **environment},
    )  # fmt: skip
