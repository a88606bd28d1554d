"""Two real Ray nodes on this machine: the bytes of one process, losses that cost what was lost, and errors before work begins."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.factories import audio as sounds
from tests.factories import rows
from tests.parallel import cluster_lab
from tests.parallel.test_local import QUICK, ROOMY, hostile, twice
from tests.worker import test_measure_verb
from voicelathe import digest, layout, records
from voicelathe.cli.machine import cluster
from voicelathe.config import params, schema
from voicelathe.data import tables
from voicelathe.data.manifest import ingest
from voicelathe.data.measures import measure
from voicelathe.errors import ClusterError, ManifestError, WorkerError
from voicelathe.parallel import local, ray_cluster
from voicelathe.parallel.needs import Needs, WorkWatch
from voicelathe.records import ClipMeasure, ManifestRow
from voicelathe.stages import hear

pytest.importorskip("ray", reason="ray is not installed: pip install 'voicelathe[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NUM_CLIPS = 96


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ManifestRow]]:
    """A project folder with short clips, one of which fills its worker."""
    root = tmp_path_factory.mktemp("project")
    found = []
    for number in range(1, NUM_CLIPS + 1):
        path = sounds.write(root / f"audio/{number:03d}.wav", sounds.speech(0.5, seed=number))
        found.append(rows.manifest_row(number, audio=path.name, audio_sha256=digest.of_file(path)))
    path = sounds.write(root / "audio/long.flac", sounds.noise(150.0, rate_hz=48000), 48000)
    bomb = rows.manifest_row(
        500, audio="long.flac", audio_sha256=digest.of_file(path), start_s=2.0, end_s=140.0
    )
    return root, [*found, bomb]


@pytest.fixture
def project(corpus: tuple[Path, list[ManifestRow]], monkeypatch: pytest.MonkeyPatch) -> list[ManifestRow]:
    monkeypatch.chdir(corpus[0])
    monkeypatch.setattr(measure, "WORKER", local.ItemLimits(memory_bytes=96 << 20, silent_s=60.0))
    return corpus[1]


@pytest.fixture
def said() -> list[str]:
    return []


def measured(known: list[ManifestRow], how: schema.Engine, said: list[str], advance: Any = None) -> bytes:
    watch = WorkWatch(said.append, advance or (lambda done: None))
    found = measure.measure(known, Path("audio"), rows.MEASURE, how, None, watch)
    tables.write(Path("table"), found, ClipMeasure)
    return Path("table").read_bytes()


def test_two_nodes_measure_the_bytes_of_one_process_and_a_bomb_costs_its_clip(
    lab: cluster_lab.Lab, project: list[ManifestRow], said: list[str]
) -> None:
    done: list[int] = []
    alone = measured(project, rows.SERIAL, said)
    assert measured(project[::-1], cluster_lab.on(lab), said, done.append) == alone
    assert len(said) == 1 and "2 nodes with 2 CPUs" in said[0]
    assert done == sorted(done) and done[-1] == len(project) and len(done) > 4
    problems = {one.clip_id: one.problem for one in tables.read(Path("table"), ClipMeasure)}
    assert [name for name, problem in problems.items() if problem] == ["c0500"]
    assert problems["c0500"] == "over_limit"


def test_a_crash_a_hang_and_a_bomb_cost_one_item_each(
    lab: cluster_lab.Lab, project: list[ManifestRow], said: list[str]
) -> None:
    items = ["a", "crash", "b", "hang", "c", "bomb", "d"]
    tried = local.try_each(hostile, items, cluster_lab.on(lab), QUICK, watch=WorkWatch(said.append))
    found = dict(zip(items, tried, strict=True))
    assert {name: one.lost.reason for name, one in found.items() if one.lost} == {
        **{"crash": "crash", "hang": "time", "bomb": "memory"}
    }
    assert all(found[item].results == [f"began {item}", f"ended {item}"] for item in "abcd")
    assert not [one for one in said if "lost" in one], "neither a node nor a task of Ray was"


def test_both_nodes_work_in_order_and_no_more_tasks_exist_than_were_allowed(
    lab: cluster_lab.Lab, project: list[ManifestRow]
) -> None:
    found = list(local.map_shards(partial(cluster_lab.slowly, 0.3), list(range(12)), cluster_lab.on(lab)))
    assert [item for item, _ in found] == list(range(12))
    assert len({pid for _, pid in found}) == 2
    one = list(
        local.map_shards(partial(cluster_lab.slowly, 0.0), list(range(12)), cluster_lab.on(lab, workers=1))
    )
    assert [item for item, _ in one] == list(range(12))
    attempts = local.try_each(twice, list(range(5)), cluster_lab.on(lab), ROOMY)
    assert [attempt.results for attempt in attempts] == [[n, 2 * n] for n in range(5)]
    assert list(local.map_shards(cluster_lab.late_fault, [], cluster_lab.on(lab))) == []


def test_two_nodes_hear_what_one_process_hears_words_included(
    lab: cluster_lab.Lab, project: list[ManifestRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the stage and its worker, which is the driver here; two of forty clips are in a language that the recogniser knows."""
    ray_cluster.close()
    shutil.copytree(cluster_lab.ROOT / "data/demo/audio", tmp_path / "audio", ignore=_all_but("rec_23.opus"))
    monkeypatch.chdir(tmp_path)
    said, _, noise = test_measure_verb.clips()
    audio = {**dict.fromkeys(("audio", "audio_sha256")), "audio": "rec_23.opus"}
    foreign = [
        replace(
            noise, **audio, start_s=7.0 + 0.05 * number, end_s=9.0, language="it", clip_id=f"f{number:03d}"
        )
        for number in range(38)
    ]
    known = [said, replace(said, clip_id="c0002", text="Another text."), *foreign]
    measures = [replace(rows.measured(1), clip_id=row.clip_id) for row in known]
    shipped = params.load(cluster_lab.ROOT / "params.yaml")
    found = {}
    for name, engine in (("one", rows.SERIAL), ("two", cluster_lab.on(lab))):
        ingested = replace(shipped.ingest, audio_root="audio")
        chosen = replace(shipped, ingest=ingested, engine=engine, hear=schema.Hear(True, True, False))
        found[name] = hear.hear(known, measures, chosen, Path(name), 1)
    assert found["one"] == found["two"] and len(found["one"]) == 40
    assert sum(one.cer is not None for one in found["two"]) == 2
    assert digest.of_tree(Path("one")) == digest.of_tree(Path("two"))


def _all_but(kept: str) -> Any:
    return lambda _, names: {name for name in names if name != kept}


def test_ingest_hashes_the_same_files(
    lab: cluster_lab.Lab, project: list[ManifestRow], monkeypatch: Any
) -> None:
    monkeypatch.setattr(ingest, "FILES_PER_SHARD", 20)
    names = sorted(row.audio for row in project)
    assert ingest._hash_all(Path("audio"), names, cluster_lab.on(lab)) == ingest._hash_all(
        Path("audio"), names, rows.SERIAL
    )


def test_an_error_of_the_work_is_raised_as_it_is(lab: cluster_lab.Lab, project: list[ManifestRow]) -> None:
    with pytest.raises(ManifestError, match="the file changed"):
        list(local.map_shards(cluster_lab.late_fault, list(range(6)), cluster_lab.on(lab)))
    with pytest.raises(ManifestError, match="the file changed"):
        local.try_each(hostile, ["a", "fault"], cluster_lab.on(lab), QUICK)


def test_what_stands_before_a_fault_is_still_given_out_and_what_stands_behind_it_is_not_begun(
    lab: cluster_lab.Lab, project: list[ManifestRow]
) -> None:
    got: list[int] = []
    with pytest.raises(ManifestError, match="the file changed"):
        for item in local.map_shards(cluster_lab.early_fault, list(range(5)), cluster_lab.on(lab)):
            got.append(item)
    assert got == [0]


def test_a_shard_that_always_ends_its_process_is_given_up_with_its_number(
    lab: cluster_lab.Lab, project: list[ManifestRow], monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    from voicelathe.parallel import spreading

    monkeypatch.setattr(spreading, "MAX_LOSSES", 2)
    with pytest.raises(WorkerError, match="Shard 2 of 3 ended its process 2 times"):
        list(
            local.map_shards(
                cluster_lab.ends_its_process, [0, 1, 2], cluster_lab.on(lab), watch=WorkWatch(said.append)
            )
        )
    assert [one for one in said if "shard 2 of 3 was lost" in one]


def test_a_file_that_a_node_sees_otherwise_stops_the_work_before_it_begins(
    lab: cluster_lab.Lab, project: list[ManifestRow]
) -> None:
    """A path that is another file for every process, as on machines without a common file system."""
    seen = "/proc/self/stat"
    with pytest.raises(ClusterError, match=r"2 of 2 nodes .* nothing was begun") as raised:
        list(local.map_shards(cluster_lab.late_fault, [1, 2], cluster_lab.on(lab), Needs((seen,))))
    assert "file /proc/self/stat: " in str(raised.value) and "Mount the same file system" in str(raised.value)


def test_a_node_with_another_voicelathe_or_none_is_named_before_work_begins(
    lab: cluster_lab.Lab, project: list[ManifestRow], tmp_path: Path
) -> None:
    ray_cluster.close()  # nodes are asked once a connection
    for name, text, expected in (
        ("other", '__version__ = "0.0.1"\n', r"its voicelathe \(0\.0\.1, .*other.*\) is another one"),
        ("none", "raise ImportError('no such package')\n", r"python has no voicelathe: no such package"),
    ):
        package = tmp_path / name / "voicelathe/__init__.py"
        package.parent.mkdir(parents=True)
        package.write_text(text)
        node = lab.add(PYTHONPATH=f"{tmp_path / name}:{cluster_lab.ROOT}")
        try:
            with pytest.raises(
                ClusterError, match=r"1 of 3 nodes of the cluster at .* cannot do this work"
            ) as raised:
                list(local.map_shards(cluster_lab.late_fault, [1, 2], cluster_lab.on(lab)))
            raised.match(expected)
            raised.match("Give every node the same environment")
        finally:
            ray_cluster.close()
            lab.remove(node)


def test_a_cluster_of_another_ray_is_refused_with_both_versions(
    lab: cluster_lab.Lab, project: list[ManifestRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own check against the real head; this process says that it is another one."""
    import ray

    ray_cluster.close()
    ours = ray.__version__
    monkeypatch.setattr(ray, "__version__", "2.59.0")
    with pytest.raises(ClusterError, match=f"cluster was started with Ray {ours} and .* here are Ray 2.59.0"):
        list(local.map_shards(cluster_lab.late_fault, [1, 2], cluster_lab.on(lab)))


def test_doctor_shows_every_node_and_what_is_wrong_with_it(
    lab: cluster_lab.Lab, project: list[ManifestRow]
) -> None:
    shipped = params.load(cluster_lab.ROOT / "params.yaml")
    chosen = replace(shipped, engine=cluster_lab.on(lab), ingest=replace(shipped.ingest, audio_root="audio"))
    records.write(layout.MANIFEST, project)
    total, *each = cluster.cluster(chosen)
    assert total.state == "ok" and "2 nodes with 2 CPUs" in total.seen and "Ray 2." in total.seen
    assert [one.state for one in each] == ["ok", "ok"] and all(
        "1 CPUs, 0 GPUs, sees" in one.seen for one in each
    )
    (few, *_) = cluster.cluster(replace(chosen, engine=cluster_lab.on(lab, workers=9)))
    assert few.state == "note" and "no more than 2 tasks can run at once" in few.fix
    records.write(layout.MANIFEST, [replace(project[0], audio="/proc/self/stat")])
    _, *each = cluster.cluster(chosen)
    assert [one.state for one in each] == ["BAD", "BAD"] and "Mount the same file system" in each[0].fix
    assert list(cluster.cluster(replace(chosen, engine=rows.SERIAL))) == []


def test_a_node_that_is_killed_in_the_middle_costs_time_and_no_byte(
    lab: cluster_lab.Lab, project: list[ManifestRow], said: list[str]
) -> None:
    alone = measured(project, rows.SERIAL, said)
    ray_cluster.close()
    node = lab.add()
    killer = cluster_lab.kill_when_it_works(node)
    assert measured(project, cluster_lab.on(lab, workers=3), said) == alone
    killer.join(1)
    assert not killer.is_alive(), "the node never worked; the test shows nothing"
    assert [one for one in said if "3 nodes with 3 CPUs" in one]
    assert [one for one in said if "was lost" in one] and "were lost and done again" in said[-1]


def test_an_address_where_something_else_listens_is_one_sentence_and_not_ray_s_quarter_of_an_hour(
    project: list[ManifestRow], said: list[str]
) -> None:
    ray_cluster.close()
    before = {name: os.environ.get(name) for name in ray_cluster.ANSWER}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ClusterError,
            match=rf"could not join: Failed to connect to Ray cluster at \S+:{port}: .+If this machine",
        ) as seen:
            measured(project, schema.Engine("ray", 1, f"127.0.0.1:{port}"), said)
    assert "Traceback" not in str(seen.value).split("…")[-1]
    assert {name: os.environ.get(name) for name in ray_cluster.ANSWER} == before


DRIVER = """
import sys
from functools import partial
from tests.parallel import cluster_lab
from voicelathe.config import schema
from voicelathe.parallel import local
if __name__ == "__main__":
    work = partial(cluster_lab.sleepers, sys.argv[1])
    local.try_each(work, [1, 2], schema.Engine("ray", 2, sys.argv[2] or None), local.ItemLimits(512 << 20, 300.0))
"""


@pytest.mark.parametrize("whose", ["the cluster", "its own Ray"])
def test_a_driver_that_is_killed_leaves_nothing_running(
    lab: cluster_lab.Lab, project: list[ManifestRow], tmp_path: Path, whose: str
) -> None:
    ray_cluster.close()
    script, mark = tmp_path / "driver.py", tmp_path / "sleeper"
    script.write_text(DRIVER)
    address = lab.address if whose == "the cluster" else ""
    driver = subprocess.Popen(
        [sys.executable, str(script), str(mark), address],
        env={**os.environ, "PYTHONPATH": cluster_lab.CODE},
    )
    assert cluster_lab.wait_until(lambda: len(list(tmp_path.glob("sleeper-*"))) == 2, 240), driver.poll()
    sleepers = [psutil.Process(int(path.name.split("-")[1])) for path in tmp_path.glob("sleeper-*")]
    tasks = [one.parent() for one in sleepers]
    own = psutil.Process(driver.pid).children(recursive=True)
    assert len({one.pid for one in tasks if one}) == 2 and bool(own) == (whose == "its own Ray")
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    left = [one for one in [*sleepers, *tasks, *own] if one]
    assert cluster_lab.wait_until(lambda: not any(map(_runs, left)), 180), [one for one in left if _runs(one)]


def _runs(one: psutil.Process) -> bool:
    return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
