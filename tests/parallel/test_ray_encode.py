"""Stage `encode` on two real Ray nodes of this machine: the bytes of one process, one base a process, and losses that cost what was lost."""

import shutil
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.factories import audio as sounds
from tests.factories import rows, training
from tests.parallel import cluster_lab
from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.errors import ClusterError, ManifestError, WorkerError
from voicelathe.parallel import local, on_node, ray_cluster
from voicelathe.process import jobs
from voicelathe.records import CleanClip
from voicelathe.worker import encode

pytest.importorskip("ray", reason="ray is not installed: pip install 'voicelathe[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NUM_CLIPS = 22


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[CleanClip]:
    """A folder with clips of as many lengths, some of train and the rest of validation."""
    monkeypatch.chdir(tmp_path)
    found = []
    for number in range(NUM_CLIPS):
        seconds = 0.4 + 0.11 * number
        path = sounds.write(tmp_path / f"audio/{number:03d}.wav", sounds.speech(seconds, seed=number))
        sha256 = digest.of_file(path)
        clip = replace(training.clip(number), audio=path.name, audio_sha256=sha256, samples_sha256=sha256)
        found.append(replace(clip, start_s=0.0, end_s=seconds, duration_s=seconds))
    records.write(tmp_path / "train.jsonl", found[:15])
    records.write(tmp_path / "validation.jsonl", found[15:])
    return found


def job(name: str, engine: schema.Engine, threads: int = 1) -> jobs.EncodeJob:
    """Into a cache and an output of its own."""
    machine = schema.Machine("cpu", threads, 1)
    splits = {split: f"{split}.jsonl" for split in ("train", "validation")}
    target = replace(training.target(), machine=machine)
    return jobs.EncodeJob(target, splits, "audio", f"{name}/cache", f"{name}/out", engine)


def written(one: jobs.EncodeJob, events: list[tuple[str, Any]] | None = None) -> dict[str, str]:
    """Everything that the verb leaves, by its sha256."""
    encode.run(one, lambda kind, values: None if events is None else events.append((kind, values)))
    return digest.of_tree(Path(one.out).parent)


@pytest.mark.parametrize("workers", cluster_lab.WORKERS)
def test_any_number_of_workers_writes_the_bytes_of_one_process_and_tells_how_far_it_is(
    lab: cluster_lab.Lab, project: list[CleanClip], workers: int
) -> None:
    alone = written(job("alone", rows.SERIAL))
    events: list[tuple[str, Any]] = []
    assert written(job(f"{workers}", cluster_lab.on(lab, workers)), events) == alone
    done = [values["done"] for kind, values in events if kind == jobs.PROGRESS]
    assert done == sorted(done) and done[-1] == NUM_CLIPS and len(done) >= 4
    assert {values["total"] for kind, values in events if kind == jobs.PROGRESS} == {NUM_CLIPS}
    assert len(alone) == NUM_CLIPS + 2


def test_clips_that_are_encoded_together_are_the_same_ones_for_every_engine(
    lab: cluster_lab.Lab, project: list[CleanClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at a time, as on a card: this base's encoder gives other last digits for a clip that stands alone."""
    single = written(job("single", rows.SERIAL))
    monkeypatch.setitem(encode.CLIPS_PER_BATCH, "cpu", 4)
    alone = written(job("alone", rows.SERIAL))
    assert alone != single, "neighbours do not show; the test shows nothing"
    assert written(job("one", cluster_lab.on(lab, 1))) == written(job("two", cluster_lab.on(lab))) == alone


def test_a_node_has_as_many_threads_as_this_process_and_a_cpu_for_each(
    lab: cluster_lab.Lab, project: list[CleanClip]
) -> None:
    """This base's encoder gives other last digits with two threads. The worker sets them for the verb, so it is started here."""
    from voicelathe.process import runner

    ray_cluster.close()
    Path("alone").mkdir()
    runner.run(job("alone", rows.SERIAL, threads=2), "alone")
    assert digest.of_tree(Path("alone")) != written(job("one", rows.SERIAL)), "threads do not show"
    with pytest.raises(ClusterError, match=r"has no node with 2 CPUs\. .* set machine\.threads lower"):
        encode.run(job("none", cluster_lab.on(lab), threads=2), lambda kind, values: None)
    node = lab.add(num_cpus=2)
    try:
        assert written(job("two", cluster_lab.on(lab), threads=2)) == digest.of_tree(Path("alone"))
    finally:
        ray_cluster.close()
        lab.remove(node)


def test_a_process_opens_the_base_once_and_the_driver_never(
    lab: cluster_lab.Lab, project: list[CleanClip]
) -> None:
    one = job("one", cluster_lab.on(lab))
    facts = training.families.find("voxcpm2").describe(training.BASE, "", True)
    shards = encode._shards(project, "cpu", one.engine)
    work = partial(cluster_lab.opened, partial(encode._encoded, one.target, facts, "audio"))
    seen = set(local.map_shards(work, shards, one.engine, encode._needs(one, project)))
    assert len(shards) > 6 and len(seen) == len({pid for pid, _ in seen}) == 2

    held: list[int] = []
    encode.run(one, lambda kind, values: held.append(len(encode._opened)))
    assert set(held) == {0}
    encode.run(job("two", rows.SERIAL), lambda kind, values: held.append(len(encode._opened)))
    assert set(held) == {0, 1} and encode._opened == {}


def test_a_node_that_is_killed_in_the_middle_costs_time_and_no_byte(
    lab: cluster_lab.Lab, project: list[CleanClip]
) -> None:
    alone = written(job("alone", rows.SERIAL))
    ray_cluster.close()
    killer = cluster_lab.kill_when_it_works(lab.add())
    events: list[tuple[str, Any]] = []
    assert written(job("killed", cluster_lab.on(lab, 3)), events) == alone
    killer.join(1)
    assert not killer.is_alive(), "the node never worked; the test shows nothing"
    lost = [text for text in cluster_lab.notices(events) if "was lost" in text]
    assert lost and "(clip" in lost[0] and "were lost and done again" in cluster_lab.notices(events)[-1]


def test_a_driver_that_is_killed_goes_on_with_what_it_has_not_kept(
    lab: cluster_lab.Lab, project: list[CleanClip]
) -> None:
    alone = written(job("alone", rows.SERIAL))
    ray_cluster.close()
    one = job("killed", cluster_lab.on(lab))
    cluster_lab.killed_while_it_works("encode", one)
    kept = len(list(Path("killed/cache").rglob("*.safetensors")))
    assert 0 < kept < NUM_CLIPS and not Path("killed/out").exists()
    again = encode.run(one, lambda kind, values: None)
    assert again == {"clips": NUM_CLIPS, "encoded": NUM_CLIPS - kept}
    assert cluster_lab.whole(Path("killed")) == alone


def test_an_error_names_the_clip_the_node_and_what_to_do(
    lab: cluster_lab.Lab, project: list[CleanClip]
) -> None:
    sounds.write(Path("audio/007.wav"), sounds.speech(0.3))
    with pytest.raises(ManifestError) as raised:
        encode.run(job("one", cluster_lab.on(lab)), lambda kind, values: None)
    for part in (
        "audio/007.wav",
        "Restore",
        f"Met at clip {project[7].clip_id}.",
        f"Seen on {socket.gethostname()}, a node",
    ):
        assert part in str(raised.value)


def test_what_no_code_of_ours_foresaw_names_the_clips_too(project: list[CleanClip]) -> None:
    one = job("one", rows.SERIAL)
    facts = training.families.find("voxcpm2").describe(training.BASE, "", True)
    wrong = replace(facts, encode_rate_hz=-1)
    with on_node.entered(), pytest.raises(WorkerError, match=r"^clip train0003: .*\n.*engine\.kind: serial"):
        encode._encoded(one.target, wrong, "audio", [project[3:4]])
    encode._opened.clear()


def test_a_base_that_a_node_sees_otherwise_stops_the_work_before_it_begins(
    lab: cluster_lab.Lab, project: list[CleanClip], tmp_path: Path
) -> None:
    """A file of it that is another one for every process, as on machines whose copies differ."""
    base = tmp_path / "base"
    shutil.copytree(training.BASE, base)
    (base / "notes.txt").symlink_to("/proc/self/stat")
    one = job("one", cluster_lab.on(lab))
    with pytest.raises(ClusterError, match=r"2 of 2 nodes .* nothing was begun") as raised:
        encode.run(replace(one, target=replace(one.target, base=str(base))), lambda kind, values: None)
    assert f"folder {base}: " in str(raised.value) and "Mount the same file system" in str(raised.value)
    assert not Path("one").exists()


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_other_engines_encode_in_the_one_process_there_was(project: list[CleanClip], kind: Any) -> None:
    children: set[int] = set()
    one = job(kind, schema.Engine(kind, 2))
    encode.run(one, lambda *event: children.update(child.pid for child in psutil.Process().children()))
    before = {child.pid for child in psutil.Process().children()}
    assert children <= before
    assert digest.of_tree(Path(kind)) == written(job("again", rows.SERIAL))


def test_a_family_that_encodes_in_an_interpreter_of_its_own_stays_here_and_that_is_said() -> None:
    events: list[tuple[str, Any]] = []
    one = job("one", schema.Engine("ray", 4, "auto"))
    own = replace(one, target=replace(one.target, family="indextts2"))
    assert encode._engine(own, lambda kind, values: events.append((kind, values))) == rows.SERIAL
    assert "an interpreter of its own" in cluster_lab.notices(events)[0]
    assert encode._engine(one, lambda kind, values: None) == one.engine
