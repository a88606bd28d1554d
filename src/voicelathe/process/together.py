"""Training in a worker of this machine, or of several that meet first."""

import socket
import sys
import time
from pathlib import Path
from typing import Any

from voicelathe import families, records
from voicelathe.config import schema
from voicelathe.data.latents import general_set, index
from voicelathe.errors import ClusterError
from voicelathe.parallel import meeting
from voicelathe.parallel.needs import Needs
from voicelathe.process import jobs, runner

REACH_S = 120.0  # machine 0 starts torchrun meanwhile
PACKAGES = ("bitsandbytes", "peft", "safetensors")


def train(job: jobs.TrainJob, recipe: str, nodes: schema.Nodes) -> dict[str, Any]:
    """Train to the end. Raises ClusterError, before work begins, when a machine is missing or differs, and when one is lost."""
    if nodes.count == 1:
        meeting.alone(recipe)
        return runner.run(job, recipe)
    with meeting.called(recipe, job, nodes, needed(job), say) as placed:
        return runner.run(placed, recipe)


def join(recipe: str, nodes: schema.Nodes) -> jobs.TrainJob:
    """Train together with the machine that runs the stage, to the end; returns the job that was done."""
    job = meeting.answered(recipe, nodes, say)
    assert job.node is not None
    require_reachable(job.node, room=meeting.room_of(recipe, job.node.token))
    runner.run(job, f"{recipe}-machine{job.node.rank}")
    return job


def require_reachable(node: records.NodePlace, within_s: float = REACH_S, room: Path | None = None) -> None:
    """Raises ClusterError when nothing answers where machine 0 said that torchrun meets: a name or a port that is closed to us."""
    deadline = time.monotonic() + within_s
    while True:
        if room is not None:
            meeting.require_not_refused(room)  # a third machine may be missing: then no port is to blame
        try:
            socket.create_connection((node.host, node.port), 5.0).close()
            return
        except OSError as problem:
            if time.monotonic() >= deadline:
                raise ClusterError(
                    f"Machine 0 meets the others at {node.host}:{node.port}, and {socket.gethostname()} does not reach it ({problem}). Open "
                    "the port between the machines, or name another address of machine 0: nodes.rendezvous: HOST:PORT in params.yaml."
                ) from None
        time.sleep(0.5)


def needed(job: jobs.TrainJob) -> Needs:
    """What has to be the same on every machine: updates are computed on each, so no last digit may differ."""
    encodings = Path(job.latents) / index.FILE
    references = [job.references] if job.references is not None else []
    general = [Path(job.general, name) for name in (general_set.CLIPS, index.FILE)] if job.general else []
    return Needs(
        files=(job.clips, str(encodings), *map(str, general)),
        folders=(job.target.base, *references),
        packages=tuple(sorted({*PACKAGES, *families.spec(job.target.family).requires})),
        is_exact=True,
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
