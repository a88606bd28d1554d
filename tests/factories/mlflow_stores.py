"""Real MLflow: stores, servers, and ports where a server is dead or never answers."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voicelathe.tracking import store, ui


def empty_database(folder: Path) -> Path:
    """A database with its tables, kept in a folder; making one takes about four seconds. Only a whole one gets its name."""
    kept = folder / "mlflow.db"
    if not kept.is_file():
        made = folder / f"{os.getpid()}.db"
        store.client_of(f"sqlite:///{made}")
        made.replace(kept)
    return kept


def copy_tracked(root: Path, copy: Path) -> Path:
    """Copy a project with its store. Ids become new ones, because MLflow remembers places by id as long as a process lives."""
    shutil.copytree(root, copy)
    renamed = {str(root): str(copy)}
    for place in [*(copy / "mlruns/models").iterdir(), *(copy / "mlruns").iterdir()]:
        if place.name != "models":
            renamed[place.name] = place.name[:-32] + uuid.uuid4().hex
            place.rename(place.with_name(renamed[place.name]))
    with sqlite3.connect(root / "mlflow.db") as database:
        script = "\n".join(database.iterdump())
    for old, new in renamed.items():
        script = script.replace(old, new)
    (copy / "mlflow.db").unlink()
    with sqlite3.connect(copy / "mlflow.db") as database:
        database.executescript(script)
    return copy


def client(root: Path) -> Any:
    """MLflow's own client of a project's store."""
    return store.client_of(f"sqlite:///{root / 'mlflow.db'}")


def history(client: Any, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def only_run(client: Any, experiment: str = "voicelathe") -> Any:
    """The one run of an experiment."""
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def models(client: Any, experiment: str = "voicelathe") -> dict[str, Any]:
    """All LoggedModels by candidate, full strength without `@1`; every one once."""
    found = client.search_logged_models(
        [client.get_experiment_by_name(experiment).experiment_id], max_results=100
    )
    named = {model.tags["voicelathe.candidate"].removesuffix("@1"): model for model in found}
    assert len(named) == len(found), "a LoggedModel was made twice"
    return named


@contextlib.contextmanager
def server(directory: Path) -> Iterator[str]:
    """A real tracking server that keeps artifacts on its own side; gives its address."""
    port = free_port()
    with server_process(directory, port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def server_process(directory: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """The same on a port of the caller's; gives the leader of its process group."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{directory / 'server.db'}",
    ]
    command += [
        "--serve-artifacts",
        "--artifacts-destination",
        str(directory / "artifacts"),
        "--workers",
        "1",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, **ui.SAFE}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 120
        while not ui.is_healthy(f"http://127.0.0.1:{port}"):
            assert process.poll() is None and time.monotonic() < end, (directory / "server.log").read_text()
            time.sleep(0.2)
        yield process
    finally:
        ui.stop(process)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """An address that accepts every connection and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        accepted: list[socket.socket] = []
        threading.Thread(target=_swallow, args=(listener, accepted), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for connection in accepted:
            connection.close()


def _swallow(listener: socket.socket, accepted: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while True:
            accepted.append(listener.accept()[0])


def free_port() -> int:
    """A port nobody listens on: a dead server, or a place for a new one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
