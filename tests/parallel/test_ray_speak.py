"""What candidates speak, on two real Ray nodes of this machine: the bytes of one process, one base a process, losses that cost what was lost."""

import contextlib
import re
import shutil
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.factories import audio as sounds
from tests.factories import rows, training
from tests.parallel import cluster_lab
from voicelathe import checkpoints, digest, layout, records
from voicelathe.config import params, schema
from voicelathe.errors import CheckpointError, ClusterError
from voicelathe.parallel import local, ray_cluster
from voicelathe.process import jobs, runner
from voicelathe.stages import speak as speak_stage
from voicelathe.worker import speak

pytest.importorskip("ray", reason="ray is not installed: pip install 'voicelathe[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LINES = [records.Line(f"l{number}", " ".join(training.WORDS[number:]), "en", number) for number in range(5)]
TREE, LOGS = "speech", layout.CACHE / "logs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished LoRA run with two checkpoints, and a clip that the base may hear first."""
    root = training.corpus(tmp_path_factory.mktemp("trained"))
    sounds.write(root / "audio/heard.wav", sounds.speech(1.0))
    with contextlib.chdir(root):
        runner.run(training.train_job(root, root / "run", training.train_settings("lora", 4, 2)), "test")
    return root


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(root: Path, engine: schema.Engine) -> jobs.SpeakJob:
    """The base, the base after a clip, and two candidates."""
    target, sha256 = training.target(), digest.of_file(root / "audio/heard.wav")
    base = jobs.WeightsRef(records.Candidate(0, None), "base", str(training.BASE), target.base_digest)
    clip = replace(training.clip(1), audio="heard.wav", audio_sha256=sha256, start_s=0.0, end_s=1.0)
    refs = [base, replace(base, candidate=records.Candidate(0, None, True))]
    for step in (2, 4):
        folder = root / f"run/step_{step:07d}"
        tuned = jobs.WeightsRef(
            records.Candidate(step, 1.0), "lora", str(folder), checkpoints.identity(folder)
        )
        refs.append(tuned)
    heard = jobs.Reference([clip], str(root / "audio"))
    return jobs.SpeakJob(
        target,
        training.LORA,
        refs,
        LINES,
        1.0,
        training.DECODING,
        heard,
        TREE,
        False,
        f"{TREE}/shared",
        engine,
    )


written = partial(cluster_lab.written, speak.run, tree=TREE)
taken = partial(cluster_lab.taken, TREE)


@pytest.mark.parametrize("workers", cluster_lab.WORKERS)
def test_any_number_of_workers_speaks_the_bytes_of_one_process_and_tells_how_far_it_is(
    lab: cluster_lab.Lab, trained: Path, workers: int
) -> None:
    runner.run(job(trained, rows.SERIAL), "alone")
    alone = taken()
    assert len(alone) == 2 * 4 * len(LINES)
    events: list[tuple[str, Any]] = []
    assert written(job(trained, cluster_lab.on(lab, workers)), events=events) == alone
    done = [values["done"] for kind, values in events if kind == jobs.PROGRESS]
    assert done == list(range(1, 4 * len(LINES) + 1))


def test_a_process_opens_the_base_once_and_the_driver_never(lab: cluster_lab.Lab, trained: Path) -> None:
    one = job(trained, cluster_lab.on(lab))
    passages = speak._passages(one)
    work = partial(cluster_lab.voiced, partial(speak._said, one))
    seen = set(local.map_shards(work, passages, one.engine, speak._needs(one, passages)))
    assert len(passages) > 6 and len(seen) == len({pid for pid, _ in seen}) == 2
    held: list[int] = []
    speak.run(one, lambda kind, values: held.append(len(speak._voices)))
    assert set(held) == {0} and len(taken()) == 2 * 4 * len(LINES)


def test_a_node_that_is_killed_in_the_middle_costs_time_and_no_byte(
    lab: cluster_lab.Lab, trained: Path
) -> None:
    alone = written(job(trained, rows.SERIAL))
    ray_cluster.close()
    killer = cluster_lab.kill_when_it_works(lab.add())
    events: list[tuple[str, Any]] = []
    assert written(job(trained, cluster_lab.on(lab, 3)), events=events) == alone
    killer.join(1)
    assert not killer.is_alive(), "the node never worked; the test shows nothing"
    lost = [text for text in cluster_lab.notices(events) if "was lost" in text]
    assert (
        lost and " lines from l" in lost[0] and "were lost and done again" in cluster_lab.notices(events)[-1]
    )


def test_a_driver_that_is_killed_goes_on_with_what_it_has_not_kept(
    lab: cluster_lab.Lab, trained: Path
) -> None:
    alone = written(job(trained, rows.SERIAL))
    ray_cluster.close()
    one = job(trained, cluster_lab.on(lab))
    cluster_lab.killed_while_it_works("speak", one)
    kept = len(list(Path(TREE).rglob("*.json")))
    assert 0 < kept < 4 * len(LINES)
    assert speak.run(one, lambda kind, values: None) == {"spoken": 4 * len(LINES) - kept}
    assert taken() == alone


def test_an_error_names_the_candidate_the_line_the_node_and_what_to_do(
    lab: cluster_lab.Lab, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    one = job(trained, cluster_lab.on(lab))
    broken = replace(one.weights[3], path=str(tmp_path / "run/step_0000004"))
    (tmp_path / "run/step_0000004/lora_weights.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError) as raised:
        speak.run(replace(one, weights=[*one.weights[:3], broken]), lambda kind, values: None)
    place = f"Seen on {socket.gethostname()}, a node"
    for part in ("step_0000004", "retrain", place):
        assert part in str(raised.value)
    assert re.search(r"Met at step_0000004@1, 2 lines from l\d\.", str(raised.value)), (
        "whichever shard is first"
    )


def test_a_checkpoint_that_a_node_sees_otherwise_stops_the_work_before_it_begins(
    lab: cluster_lab.Lab, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / checkpoints.MANIFEST).symlink_to("/proc/self/stat")
    one = job(trained, cluster_lab.on(lab))
    blind = replace(one.weights[3], path=str(tmp_path / "run"))
    with pytest.raises(ClusterError, match=r"2 of 2 nodes .* nothing was begun"):
        speak.run(replace(one, weights=[blind]), lambda kind, values: None)
    assert not Path(TREE).exists()


def said(root: Path, engine: schema.Engine) -> list[records.SampleRecord]:
    """Through the stage's own door, two at a time."""
    one = job(root, engine)
    train = training.train_settings("lora", 4, 2)
    shipped = params.load(cluster_lab.ROOT / "params.yaml")
    base = schema.Base("voxcpm2", str(training.BASE), one.target.base_digest, "Apache-2.0", False)
    chosen = replace(shipped, engine=engine, bases={"tiny": base})
    identity = records.RunIdentity(train, "tiny", "voxcpm2", base.digest, "0" * 64, 1, 1, "cpu", 1, 1, "2")
    run = records.RunRecord("tiny-lora", "0" * 64, TREE, identity, 12, 1, 1, {})
    return speak_stage.speak(
        chosen,
        run,
        one.weights,
        LINES[:3],
        1.0,
        training.DECODING,
        Path(TREE),
        one.reference,
        2,
        Path(TREE, "shared"),
    )


def test_the_stage_lets_a_cluster_speak_what_two_workers_of_this_machine_speak(
    lab: cluster_lab.Lab, trained: Path
) -> None:
    ray_cluster.close()
    alone = said(trained, rows.PARALLEL), taken()
    assert len(list(LOGS.iterdir())) == 2, "a worker for each share"
    shutil.rmtree(LOGS)
    assert (said(trained, cluster_lab.on(lab)), taken()) == alone
    assert len(list(LOGS.iterdir())) == 1, "one driver"


def test_a_family_that_speaks_in_an_interpreter_of_its_own_stays_here_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = schema.Engine("ray", 4, "auto")
    assert speak_stage.on_cluster(cluster, "tiny", "voxcpm2") and not speak_stage.on_cluster(
        rows.PARALLEL, "tiny", "voxcpm2"
    )
    assert capsys.readouterr().err == ""
    assert not speak_stage.on_cluster(cluster, "tiny", "cosyvoice3")
    assert "tiny: cosyvoice3 speaks in an interpreter of its own" in capsys.readouterr().err
