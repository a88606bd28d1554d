"""Real Ray nodes on this machine, each with its own raylet and processes, and work for them that tells where it ran."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.process import jobs

ROOT = Path(__file__).parents[2]
CODE = f"{ROOT}{os.pathsep}{ROOT / 'src'}"  # PYTHONPATH of whoever runs the work of tests
# Numbers of workers that have to give what one process gives.
WORKERS = [2, pytest.param(1, marks=pytest.mark.campaign), pytest.param(5, marks=pytest.mark.campaign)]


class Lab:
    """A head with one CPU, and nodes that join it."""

    def __init__(self) -> None:
        own = {"PYTHONPATH": CODE, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        own["RAY_raylet_start_wait_time_s"] = "120"  # a busy machine is slow to start them
        own["RAY_health_check_timeout_ms"] = "60000"  # and to answer; who is killed is missed at once
        own["RAY_worker_niceness"] = (
            "0"  # at Ray's 15 a machine that does anything else gives them next to nothing
        )
        self.before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, num_cpus: int = 1, **variables: str) -> Any:
        """Another node; `variables` are of its processes alone."""
        return self.cluster.add_node(num_cpus=num_cpus, env_vars=variables or None)

    def remove(self, node: Any) -> None:
        """Returns when the head has missed it."""
        self.cluster.remove_node(node, allow_graceful=False)
        self.cluster.wait_for_nodes(timeout=120)

    def end(self) -> None:
        self.cluster.shutdown()
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def on(lab: Lab, workers: int = 2) -> schema.Engine:
    return schema.Engine("ray", workers, lab.address)


def notices(events: list[tuple[str, Any]]) -> list[str]:
    return [values["text"] for kind, values in events if kind == jobs.NOTICE]


def killed_while_it_works(verb: str, job: Any) -> None:
    """A worker with this job, as a stage starts it; SIGKILL once something is kept."""
    digest.write_json(Path("job.json"), {"verb": verb, "job": records.to_json(job)})
    command = [sys.executable, "-m", "voicelathe.worker", "job.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": CODE}) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            if jobs.decode(line).kind == jobs.PROGRESS:
                break
        driver.send_signal(signal.SIGKILL)


def raylet(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def kill_when_it_works(node: Any) -> Thread:
    """SIGKILL for a raylet and all its processes, as soon as one of them has a task of ours."""

    def kill() -> None:
        above = raylet(node)
        while not any("ray::_do" in " ".join(one.cmdline()) for one in above.children(recursive=True)):
            time.sleep(0.01)
        time.sleep(0.2)
        for one in [above, *above.children(recursive=True)]:
            one.kill()

    thread = Thread(target=kill, daemon=True)
    thread.start()
    return thread


def slowly(seconds: float, item: int) -> tuple[int, int]:
    """The item, and the process that did it."""
    time.sleep(seconds)
    return item, os.getpid()


def sleepers(mark: str, item: int) -> Iterator[int]:
    """For a driver that is killed: hangs under a name that can be found."""
    Path(f"{mark}-{os.getpid()}").write_text(str(item))
    time.sleep(600)
    yield item


def late_fault(item: int) -> int:
    from voicelathe.errors import ManifestError

    if item == 3:
        raise ManifestError("the file changed")
    return item


def early_fault(item: int) -> int:
    """The second one fails at once, while the first one is at work."""
    from voicelathe.errors import ManifestError

    failed = Path("failed")
    if item == 1:
        failed.touch()
        raise ManifestError("the file changed")
    wait_until(failed.exists, 60)
    time.sleep(2.0)
    return item


def ends_its_process(item: int) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def opened(work: Any, shard: Any) -> tuple[int, str]:
    """The process, and a mark on the base that it holds after this shard: another base would have another."""
    from voicelathe.worker import encode

    work(shard)
    (base,) = encode._opened.values()
    if not hasattr(base, "mark"):
        base.mark = uuid.uuid4().hex
    return os.getpid(), base.mark


def voiced(work: Any, passage: Any) -> tuple[int, str]:
    """As `opened`, for the base that speaks."""
    from voicelathe.worker import speak

    work(passage)
    (voice,) = speak._voices.values()
    if not hasattr(voice, "mark"):
        voice.mark = uuid.uuid4().hex  # type: ignore[attr-defined]
    return os.getpid(), voice.mark  # type: ignore[attr-defined]


def whole(root: Path) -> dict[str, str]:
    """Every file by its sha256, without the parts of files that somebody was killed over."""
    return {name: sha256 for name, sha256 in digest.of_tree(root).items() if not name.endswith(".partial")}


def written(
    run: Callable[..., Any], job: Any, tree: str, events: list[tuple[str, Any]] | None = None
) -> dict[str, str]:
    """Everything that a verb leaves, by its sha256; the place is empty again."""
    run(job, lambda kind, values: None if events is None else events.append((kind, values)))
    return taken(tree)


def taken(tree: str) -> dict[str, str]:
    found = whole(Path(tree))
    shutil.rmtree(tree)
    return found


def wait_until(is_true: Callable[[], bool], patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if is_true():
            return True
        time.sleep(0.2)
    return is_true()
