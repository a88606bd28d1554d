"""A run whose process was killed does not stay RUNNING for ever."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe.tracking import glance
from voicelathe.tracking.live import dead
from voicelathe.tracking.live.mirror import Mirror


def status(root: Path) -> str:
    return str(stores.only_run(stores.client(root)).info.status)


@pytest.mark.slow
def test_the_run_of_a_killed_stage_is_ended_by_whoever_looks_next(root: Path) -> None:
    code = f"""
        import time
        from pathlib import Path
        from tests.factories import runs
        from voicelathe.tracking.live.mirror import Mirror
        root = Path({str(root)!r})
        with Mirror(runs.tracking(), runs.planned(root), root, every_s=0.1):
            time.sleep(600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=os.environ)
    end = time.monotonic() + 200
    while not _has_process(root):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.3)
    assert dead.end(runs.tracking(), root) == [], "it lives"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert status(root) == "RUNNING" and glance.num_running(root) == 1
    (name,) = dead.end(runs.tracking(), root)
    assert name.startswith("mini-lora-") and status(root) == "KILLED" and glance.num_running(root) == 0
    assert dead.end(runs.tracking(), root) == []
    with Mirror(runs.tracking(), runs.planned(root), root, every_s=0.1):
        pass
    assert status(root) == "FINISHED", "a resumed run goes on as the same one"


def _has_process(root: Path) -> bool:
    client = stores.client(root)
    experiment = client.get_experiment_by_name("voicelathe")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return bool(found) and "voicelathe.process" in found[0].data.tags


def test_runs_of_other_machines_are_left_alone(project: Path) -> None:
    client = stores.client(project)
    run = stores.only_run(client)
    client.update_run(run.info.run_id, status="RUNNING")
    client.set_tag(run.info.run_id, "voicelathe.process", "elsewhere/17/4711")
    assert dead.end(runs.tracking(), project) == [] and status(project) == "RUNNING"


def test_without_a_store_there_is_nothing_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert dead.end(runs.tracking(), tmp_path) == [] and not (tmp_path / "mlflow.db").exists()
