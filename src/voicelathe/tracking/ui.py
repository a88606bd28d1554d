"""`make ui`: MLflow's own pages on this machine only, opened at the view that shows training runs.

Without an account system whoever reaches MLflow may change everything, so it binds to loopback and nowhere else. Its job
runner and the loading of pickles are off. MLflow opens at pages for chat agents unless a
link says `workflowType=machine_learning`.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from voicelathe import layout
from voicelathe.config import schema
from voicelathe.errors import TrackingError
from voicelathe.process import runner
from voicelathe.redaction import public
from voicelathe.tracking import registered
from voicelathe.tracking.pages import comparison
from voicelathe.tracking.store import ENVIRONMENT, address, client_of, connect, is_embedded, usable

HOST = "127.0.0.1"
VIEW = comparison.MACHINE_LEARNING
START_LIMIT_S = 120.0
LOG = layout.CACHE / "logs" / "mlflow-server.log"
SAFE = {
    **ENVIRONMENT,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 7 processes and an open door less
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ASSISTANT_SANDBOX": "true",  # its assistant may run programs in a container only, never on this machine
    "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": "^models:/",
}


def serve(tracking: schema.Tracking, root: Path, port: int = 5000) -> int:
    """Serve the project's store until interrupted, and print where to look. Returns the exit code.

    With MLFLOW_TRACKING_URI set there is a server already: only the links are printed.
    """
    uri = address(root)
    if not is_embedded(uri):
        _print_links(uri, tracking, root)
        return 0
    with usable(uri):
        client_of(uri)
    runner.stop_with_exit_code()
    log = root / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(uri, root, port), env=environment(), start_new_session=True, stdout=output, stderr=output
        )
    try:
        _wait_until_healthy(process, port, log)
        _print_links(f"http://{HOST}:{port}", tracking, root)
        print(f"Stop it with Ctrl-C. What the server says: {log}", flush=True)
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop(process)


def command(uri: str, root: Path, port: int) -> list[str]:
    """The server's command line: loopback, one worker, only this host name."""
    names = f"{HOST}:{port},localhost:{port}"
    store = ["--backend-store-uri", uri, "--default-artifact-root", (root.resolve() / "mlruns").as_uri()]
    where = ["--host", HOST, "--port", str(port), "--allowed-hosts", names, "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *store, *where, "--no-serve-artifacts"]


def environment() -> dict[str, str]:
    return {**os.environ, **SAFE}


def links(origin: str, tracking: schema.Tracking, root: Path) -> dict[str, str]:
    """What there is to see, with its address."""
    store = connect(tracking, root)
    with usable(store.uri):
        comparison.ensure(store)
    place = f"{origin}/#/experiments/{store.experiment_id}"
    return {
        "runs": f"{place}/runs?{VIEW}",
        "compare": f"{origin}/{comparison.place(store.experiment_id)}",
        "curves": f"{place}/runs?{VIEW}&compareRunsMode=CHART",
        "candidates": f"{place}/models?{VIEW}",
        "registry": f"{origin}/#/models/{registered.name_of(tracking)}?{VIEW}",
    }


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise TrackingError(
                f"MLflow's server ended at once (exit code {process.returncode}); {log} says why. Is port {port} in use? "
                "Another one: voicelathe ui --port 5001"
            )
        if is_healthy(f"http://{HOST}:{port}"):
            return
        time.sleep(0.3)
    raise TrackingError(
        f"MLflow's server did not answer within {START_LIMIT_S:g} s; {log} may say why. Try again."
    )


def is_healthy(origin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{origin}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _print_links(origin: str, tracking: schema.Tracking, root: Path) -> None:
    for what, link in links(public(origin), tracking, root).items():
        print(f"{what:10} {link}", flush=True)
