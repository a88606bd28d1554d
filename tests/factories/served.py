"""`voicelathe serve` as a program on a port of its own, and what a client and a watcher ask of it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil

from tests.factories import mlflow_stores

KEY = "an-example-key-of-a-client-0123"
FEW = {"max_seconds": 0.5, "attempts": 1, "seed": 5}
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Served:
    """A running server."""

    root: Path
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(api_key=KEY, base_url=f"{self.url}/v1", max_retries=0, timeout=240)

    def wav(self, text: str, **more: Any) -> bytes:
        body = {**FEW, **more}
        answer = self.client.audio.speech.create(
            model="voicelathe", voice="default", input=text, response_format="wav", extra_body=body
        )
        return answer.content

    def post(self, path: str = "/v1/audio/speech", **more: Any) -> httpx.Response:
        headers = {**AUTHORIZED, **more.pop("headers", {})}
        return httpx.post(f"{self.url}{path}", headers=headers, timeout=240, **more)

    def worker(self) -> psutil.Process:
        """The process that speaks. There is one."""
        (found,) = self.workers()
        return found

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [one for one in psutil.Process(self.process.pid).children(True) if _is_worker(one)]
        return []

    def is_well(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=10).status_code == 200
        return False

    @property
    def log(self) -> str:
        return (self.root / "serve.log").read_text()


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "voicelathe.worker" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def running(root: Path, *options: str) -> Iterator[Served]:
    """A server of a project in which something is in production. Ends with the block."""
    (root / "keys").write_text(f"# clients\nanna {KEY}\n")
    (root / "keys").chmod(0o600)
    port = mlflow_stores.free_port()
    command = [sys.executable, "-m", "voicelathe.cli", "serve", "--port", str(port), "--keys", "keys"]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with (root / "serve.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], cwd=root, env=environment, stdout=log, stderr=log)
    served = Served(root, port, process)
    try:
        while not served.is_well():  # until the test's own limit
            assert process.poll() is None, served.log
            time.sleep(0.3)
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextlib.contextmanager
def mlflows_own(root: Path, **more: str) -> Iterator[int]:
    """`mlflow models serve` of what is in production, as a program; gives its port. `more` goes into its environment. Ends with the block."""
    from voicelathe.tracking import ui

    port = mlflow_stores.free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/voicelathe@production"]
    command += ["--env-manager", "local", "-p", str(port), "-h", "127.0.0.1"]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # it starts `uvicorn` by name
        **more,
    }
    written = root / "mlflow-serve.log"
    with written.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=root, start_new_session=True, stdout=log, stderr=log
        )
    try:
        while not _answers(port):  # until the test's own limit
            assert process.poll() is None, written.read_text()
            time.sleep(0.5)
        yield port
    finally:
        ui.stop(process)


def invocation(port: int, body: dict[str, Any]) -> urllib.request.Request:
    address, header = f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}
    return urllib.request.Request(address, json.dumps(body).encode(), header)


def invoked(port: int, *texts: str, **settings: Any) -> list[dict[str, Any]]:
    """The rows that MLflow's server answers with."""
    body = {"dataframe_records": [{"text": text} for text in texts], "params": settings}
    with urllib.request.urlopen(invocation(port, body), timeout=240) as answer:
        found: list[dict[str, Any]] = json.load(answer)["predictions"]
    return found


def _answers(port: int) -> bool:
    address = f"http://127.0.0.1:{port}/ping"
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
        return bool(answer.status == 200)
    return False
