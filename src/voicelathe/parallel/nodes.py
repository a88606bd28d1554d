"""Which machines of a cluster may get work? Each is asked what it finds, before anything begins, and compared with this process.

Another version, package or file would give other bytes, or none. Ray is handed in by `ray_cluster`, its only door.
"""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe.errors import ClusterError, first_line, listing
from voicelathe.parallel.needs import Needs, differences, facts

PROBE_S = 180.0  # a node starts a process for the question
SAME = "Give every node the same environment: one image, or one virtual environment on the file system that all of them see."
MOUNT = (
    "Mount the same file system at the same path on every node; audio is not sent to them (docs/scale.md)."
)
ALIKE = "Keep to nodes whose processors have the same vector instructions: others give other last digits."
LOOK = "Look at a node that gives no answer: `ray status`, and the logs below /tmp/ray/session_latest/logs on it."


@dataclass(frozen=True)
class ClusterNode:
    """One machine of the cluster that may get work, and why it must not."""

    name: str
    cpus: float
    gpus: float
    problems: list[str]  # empty: it sees what the driver sees


@dataclass
class Connection:
    """Ray, joined or started by this process, and which needs every node was asked for."""

    ray: Any
    where: str
    token: str  # a file in the project that only those can read who see the project
    own: tempfile.TemporaryDirectory[str] | None
    asked: set[Needs] = field(default_factory=set)


def usable(connection: Connection, needs: Needs) -> list[Mapping[str, Any]]:
    """Nodes that have room for a task."""
    wanted = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_bytes}
    alive = [
        one
        for one in connection.ray.nodes()
        if one["Alive"] and all(one["Resources"].get(kind, 0) >= number for kind, number in wanted.items())
    ]
    return sorted(alive, key=lambda one: (one["NodeManagerAddress"], one["NodeID"]))


def asked(connection: Connection, needs: Needs) -> list[ClusterNode]:
    """Every node with room for a task, and how it differs from this process. Raises ClusterError when there is none."""
    ray, there = connection.ray, usable(connection, needs)
    if not there:
        raise no_nodes(connection, needs)
    look = ray.remote(num_cpus=0, max_retries=0)(_stranger())
    at = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    root, here = str(Path.cwd()), facts(needs)
    answers = [
        look.options(scheduling_strategy=at(one["NodeID"], soft=False)).remote(root, vars(needs))
        for one in there
    ]
    ray.wait(answers, num_returns=len(answers), timeout=PROBE_S)
    found = []
    for one, answer in zip(there, answers, strict=True):
        problems = _problems(ray, answer, here)
        if problems is not None:
            has, name = (
                one["Resources"],
                f"{one['NodeManagerHostname']} ({one['NodeManagerAddress']}, {one['NodeID'][:6]})",
            )
            found.append(ClusterNode(name, has["CPU"], has.get("GPU", 0.0), problems))
    if not found:
        raise no_nodes(connection, needs)
    return found


def no_nodes(connection: Connection, needs: Needs) -> ClusterError:
    more = "" if needs.cpus == 1 else ", or set machine.threads lower: a task has a CPU for each thread"
    return ClusterError(
        f"The cluster at {connection.where} has no node with {room(needs)}. Add one: ray start --address HEAD:PORT --num-cpus N{more}"
    )


def room(needs: Needs) -> str:
    """What a task takes of a node, in words."""
    parts = ["a CPU" if needs.cpus == 1 else f"{needs.cpus} CPUs", *["a GPU"][: needs.gpus]]
    if needs.memory_bytes:
        parts.append(f"{needs.memory_bytes / 2**30:.1f} GiB of memory for Ray")
    return " and ".join(parts)


def _problems(ray: Any, answer: Any, here: Mapping[str, str]) -> list[str] | None:
    """How a node differs; None for one that is gone since it was listed."""
    try:
        there = ray.get(answer, timeout=0)
    except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
        return None
    except ray.exceptions.GetTimeoutError:
        ray.cancel(answer, force=True)
        return [f"no answer within {PROBE_S:g} s"]
    except ray.exceptions.RayError as problem:
        return [f"no answer: {first_line(problem)}"]
    return [there["problem"]] if "problem" in there else differences(here, there)


def _stranger() -> Callable[..., dict[str, str]]:
    """What a node is asked. Sent as code, not as a name, because the node may have another voicelathe, or none."""

    def look(root: str, wanted: dict[str, Any]) -> dict[str, str]:
        import os
        import sys

        try:
            os.chdir(root)
        except OSError as problem:
            return {"problem": f"the project's folder {root} cannot be opened: {problem.strerror}"}
        try:
            import voicelathe
        except ImportError as problem:
            return {"problem": f"{sys.executable} has no voicelathe: {problem}"}
        try:
            from voicelathe.parallel import needs

            return needs.facts(needs.Needs(**wanted))
        except Exception as problem:  # another version may do anything
            seen = getattr(voicelathe, "__version__", "of no version")
            return {"problem": f"its voicelathe ({seen}, {voicelathe.__file__}) is another one: {problem}"}

    return look


def refusal(where: str, bad: Sequence[ClusterNode], number: int) -> str:
    said = "\n".join(f" {one.name}\n{listing(one.problems)}" for one in bad[:5])
    more = f"\n ... and {len(bad) - 5} more nodes" if len(bad) > 5 else ""
    return f"{len(bad)} of {number} nodes of the cluster at {where} cannot do this work; nothing was begun:\n{said}{more}\n{remedy(bad)}"


def remedy(bad: Sequence[ClusterNode]) -> str:
    """What to do about nodes that differ."""
    parts = {MOUNT: r"(?:file|folder) |the project's folder", LOOK: "no answer", ALIKE: "vector", SAME: ""}
    kinds = {
        next(part for part, start in parts.items() if re.match(start, said))
        for one in bad
        for said in one.problems
    }
    return " ".join(part for part in parts if part in kinds)
