"""`voicelathe serve` as a program on a port of its own, and what a client and a watcher ask of it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
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
