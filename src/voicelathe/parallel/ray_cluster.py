"""How do we come into a Ray cluster, or to a Ray of our own, and what does Ray say when we do not? The only file that imports ray.

A process joins once and stays joined until it ends. `nodes` asks every machine whether it may do the work, `spreading` gives it out.
"""

import atexit
import os
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from voicelathe import digest, layout
from voicelathe.config import schema
from voicelathe.errors import ClusterError
from voicelathe.parallel.needs import Needs, WorkWatch, facts, sizes
from voicelathe.parallel.nodes import SAME, ClusterNode, Connection, asked, refusal
from voicelathe.parallel.spreading import Spreading, TaskOrder

Shard = TypeVar("Shard")
Result = TypeVar("Result")

REACH_S = 5.0
JOIN_TRIES, JOIN_WAIT_S = 3, 5.0  # a busy machine's Ray does not always answer the first time
JOIN_QUICK_S = 30.0  # whoever needed longer to say no has tried for itself
ANSWER = {
    "RAY_gcs_server_port_wait_time_s": "3"
}  # Ray's own attempts, 40 s each; 20 where something else listens
STORE_BYTES = 100 << 20  # of a Ray of our own: results are small
CARRIED = (
    *("MKL_CBWR", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM", "PYTHONWARNINGS"),
    *("PYTORCH_CUDA_ALLOC_CONF", "TORCH_CUDNN_SDPA_DEPRIORITIZED"),
)
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to Ray's makers
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # nodes have their own environment, which is compared
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine takes minutes to start a node
    "RAY_health_check_timeout_ms": "60000",  # and a node of ours that is slow to answer is not dead
}
INSTALL = "Install it: pip install 'voicelathe[ray]' (make setup does), or set engine.kind: processes."

_joined: dict[tuple[str | None, int, int, str], Connection] = {}  # at most one; lives as long as the process


def map_shards(
    work: Callable[[Shard], Result],
    shards: Sequence[Shard],
    how: schema.Engine,
    needs: Needs,
    watch: WorkWatch,
) -> Iterator[Result]:
    """Yield `work(shard)` for each shard, in order. Raises ClusterError before any work begins, and the error that the work raised."""
    if not shards:
        return
    connection = _connected(how, needs)
    wanted = replace(needs, files=(connection.token, *needs.files))
    if wanted not in connection.asked:
        found = asked(connection, wanted)
        if bad := [one for one in found if one.problems]:
            raise ClusterError(refusal(connection.where, bad, len(found)))
        connection.asked.add(wanted)
        watch.notice(
            f"ray: {len(found)} node{'s' if len(found) != 1 else ''} with {sum(one.cpus for one in found):g} CPUs at {connection.where}"
        )
    order = TaskOrder(str(Path.cwd()), facts(wanted), wanted, sizes(wanted.files))
    yield from Spreading(connection, order, work, shards, how.workers, watch).results()


def nodes(how: schema.Engine, needs: Needs) -> tuple[str, list[ClusterNode]]:
    """Where the cluster is, with Ray's version, and its machines. Raises ClusterError when there is none."""
    connection = _connected(how, needs)
    found = asked(connection, replace(needs, files=(connection.token, *needs.files)))
    return f"{connection.where}, Ray {connection.ray.__version__}", found


def close() -> None:
    """Leave the cluster, or end the Ray of our own; a process that ends does so by itself."""
    for connection in _joined.values():
        connection.ray.shutdown()
        Path(connection.token).unlink(missing_ok=True)
        if connection.own is not None:
            connection.own.cleanup()
    _joined.clear()


def _connected(how: schema.Engine, needs: Needs) -> Connection:
    """The one connection of this process; a Ray of our own has CPUs for `workers` tasks."""
    key = (how.address, how.workers if how.address is None else 0, needs.cpus, str(Path.cwd()))
    if key not in _joined:
        close()
        ray = _imported()
        own = (
            tempfile.TemporaryDirectory(prefix="vl-ray-", ignore_cleanup_errors=True)
            if how.address is None
            else None
        )
        threads = needs.cpus
        if own is not None:
            where = _start(ray, how.workers * threads, own.name, threads)
        else:
            where = _join(ray, how.address or "auto", threads)
        token = Path.cwd() / layout.CACHE / "cluster" / uuid.uuid4().hex
        digest.write_text(token, f"{uuid.uuid4()}\n")
        _joined[key] = Connection(ray, where, str(token), own)
        atexit.register(close)
    return _joined[key]


def _imported() -> Any:
    os.environ.update(QUIET)
    try:
        import ray
    except ImportError as problem:
        raise ClusterError(
            f"engine.kind = ray, but the package ray cannot be imported here ({problem}). {INSTALL}"
        ) from None
    return ray


def _start(ray: Any, cpus: int, folder: str, threads: int) -> str:
    options = {"num_cpus": cpus, "include_dashboard": False, "_temp_dir": folder}
    _init(ray, "local", threads, object_store_memory=STORE_BYTES, **options)
    return "this machine (engine.address: null)"


def _join(ray: Any, address: str, threads: int) -> str:
    """Where the cluster's head is. Raises ClusterError when nothing is there, it is of another version, or has no node here."""
    if address != "auto":
        _require_listening(address)
    before = {name: os.environ.get(name) for name in ANSWER}
    os.environ.update({name: value for name, value in ANSWER.items() if before[name] is None})
    try:
        _init(ray, address, threads)
    finally:
        for name in (name for name, value in before.items() if value is None):
            del os.environ[name]
    return str(ray.get_runtime_context().gcs_address)


def _init(ray: Any, address: str, threads: int, **options: Any) -> None:
    variables = {name: os.environ[name] for name in CARRIED if name in os.environ}
    environment = {"env_vars": {**variables, "OMP_NUM_THREADS": str(threads)}}
    for tried in range(1, JOIN_TRIES + 1):
        began = time.monotonic()
        try:
            ray.init(address, runtime_env=environment, log_to_driver=False, logging_level="ERROR", **options)
            return
        except Exception as problem:  # Ray raises this very class for a node that does not start
            ray.shutdown()
            may_pass = isinstance(problem, ConnectionError) and address not in ("auto", "local")
            may_pass = may_pass and time.monotonic() - began < JOIN_QUICK_S
            if tried == JOIN_TRIES or not may_pass:
                raise ClusterError(_not_joined(address, _chain(problem), ray.__version__)) from None
        time.sleep(JOIN_WAIT_S)


def _chain(problem: BaseException) -> str:
    """What Ray says, and what it says that is because of: its own sentence often names no reason."""
    because = problem.__cause__
    return str(problem) if because is None else f"{str(problem).strip()}: {_chain(because).strip()}"


def _require_listening(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError) as problem:
        raise ClusterError(
            f"engine.address = {address!r}: nothing answers there ({problem}). Start the head (ray start --head --port {port}), or correct "
            "the address in params.yaml; null starts a Ray of this machine."
        ) from None


def _not_joined(address: str, said: str, version: str) -> str:
    """Why Ray did not let us in, in a sentence."""
    seen = re.findall(r"Ray: (\S+)\s+Python: (\S+)", said)
    if len(seen) == 2 and seen[0] != seen[1]:
        (ray, python), (our_ray, our_python) = seen
        return (
            f"engine.address = {address!r}: the cluster was started with Ray {ray} and Python {python}; here are Ray {our_ray} and Python "
            f"{our_python}. They must be the same. {SAME}"
        )
    if address == "auto" and "Could not find any running Ray" in said:
        return (
            "engine.address = 'auto': no Ray runs on this machine. Join the cluster (ray start --address HEAD:PORT), name its head "
            "(engine.address: HOST:PORT), or set it to null for a Ray of this machine."
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no reason given"]
    first = lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"  # of a traceback, what was raised
    if address == "local":
        return f"engine.address = null: Ray {version} could not start on this machine: {first}"
    return (
        f"engine.address = {address!r}: Ray {version} could not join: {first} If this machine is not one of the cluster's yet, "
        "join it: ray start --address HEAD:PORT"
    )
