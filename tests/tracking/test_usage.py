"""How busy the machine was: sampled beside the journals, charted once, and never in the way."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.tracking.test_live import assert_every_step_once, run, train, wait_for
from voicelathe import records
from voicelathe.records import RunRecord
from voicelathe.tracking import replay
from voicelathe.tracking.live import usage
from voicelathe.tracking.live.mirror import Mirror

__all__ = ["run"]  # a fixture
CURVES = ("worker_gb", "worker_cores", "host_free_gb", "disk_free_gb")


@pytest.fixture
def worker() -> Iterator[None]:
    """A busy process of 50 MB, as a worker is to its stage."""
    code = "import time\nheld = bytearray(50_000_000)\nprint(flush=True)\nwhile True: sum(range(200_000)); time.sleep(0.01)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()  # it holds its memory now
        yield
        process.kill()


def looked(root: Path, run: RunRecord) -> list[usage.Usage]:
    return records.read(root / run.directory / usage.FILE, usage.Usage)


def histories(root: Path) -> dict[str, list[tuple[int, float]]]:
    client = stores.client(root)
    run_id = stores.only_run(client).info.run_id
    return {name: stores.history(client, run_id, f"system/{name}") for name in CURVES}


def test_what_the_worker_uses_is_charted_while_it_trains_and_once_only(
    root: Path, run: RunRecord, worker: None
) -> None:
    with Mirror(runs.tracking(), run, root, every_s=0.04) as mirror:
        train(root, run, last=30, pause_s=0.02)
        wait_for(lambda: len(looked(root, run)) > 1)
        train(root, run, first=31, pause_s=0.02)
    assert not mirror.degraded
    replay.mirror_all("mini-lora", runs.tracking(), root)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    lines = looked(root, run)
    for name, found in histories(root).items():
        assert found == [(one.step, getattr(one, name)) for one in lines], name
    steps = [one.step for one in lines]
    assert steps == sorted(set(steps)) and steps[-1] > 30
    assert all(one.worker_gb > 0.05 and one.device_gb is None for one in lines)
    assert max(one.worker_cores for one in lines) > 0.05 and min(one.disk_free_gb for one in lines) > 0
    assert_every_step_once(root)


def test_an_outage_loses_no_look_and_a_new_store_gets_the_same(
    root: Path, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with Mirror(runs.tracking(), run, root, every_s=0.02) as mirror:
        train(root, run, pause_s=0.02)
    assert mirror.degraded
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    told = replay.mirror_all("mini-lora", runs.tracking(), root)
    assert (
        histories(root)["disk_free_gb"] == [(one.step, one.disk_free_gb) for one in looked(root, run)] != []
    )
    assert not [name for name in told["curves"] if name.startswith("usage")], "it is about this machine"


def test_a_step_that_is_taken_again_keeps_its_first_look_and_a_torn_line_is_left_out() -> None:
    def line(step: int, free: float) -> bytes:
        return usage.digest.canonical_json(
            records.to_json(usage.Usage(step, 5, 1.0, 1.0, 1.0, free, 2.0, 0.5))
        ).encode()

    found = list(usage.points([line(1, 9.0), line(3, 8.0), line(1, 7.0), b'{"step": 4, "at', line(4, 6.0)]))
    free = [(point.step, point.value) for point in found if point.key == "system/disk_free_gb"]
    assert free == [(1, 9.0), (3, 8.0), (4, 6.0)]
    assert [point.value for point in found if point.key == "system/device_busy_share"] == [0.5] * 3


def test_a_machine_that_cannot_be_looked_at_trains_as_well(tmp_path: Path) -> None:
    sampler = usage.Sampler(tmp_path / "gone", is_cuda=False, every_s=0.01)
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone/steps.jsonl").write_text("no json\n")
    sampler.start()
    time.sleep(0.1)
    sampler.stop()
    assert not (tmp_path / "gone" / usage.FILE).exists()
