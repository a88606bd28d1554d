"""Losses and probes of candidates on two real Ray nodes of this machine: the bytes of one process, and a loss that costs what was lost."""

import contextlib
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.factories import rows, training
from tests.parallel import cluster_lab
from voicelathe import checkpoints, records
from voicelathe.config import schema
from voicelathe.errors import CheckpointError, ClusterError
from voicelathe.parallel import ray_cluster
from voicelathe.process import jobs, runner
from voicelathe.worker import validate

pytest.importorskip("ray", reason="ray is not installed: pip install 'voicelathe[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OUT, SCALES = "validation", (0.35, 0.7, 1.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished LoRA run with three checkpoints."""
    root = training.corpus(tmp_path_factory.mktemp("trained"), validation=8)
    with contextlib.chdir(root):
        runner.run(training.train_job(root, root / "run", training.train_settings("lora", 6, 2)), "test")
    return root


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(root: Path, engine: schema.Engine) -> jobs.ValidateJob:
    """The base, the base behind a clip, and three checkpoints at several strengths."""
    target = training.target()
    base = jobs.WeightsRef(records.Candidate(0, None), "base", str(training.BASE), target.base_digest)
    refs = [base, replace(base, candidate=records.Candidate(0, None, True))]
    for step in (2, 4, 6):
        folder = root / f"run/step_{step:07d}"
        refs += [
            jobs.WeightsRef(records.Candidate(step, one), "lora", str(folder), checkpoints.identity(folder))
            for one in SCALES
        ]
    clips = records.read(root / "validation.jsonl", records.CleanClip)
    how = schema.Evaluate(2, 3, list(SCALES), "reference", None, 3)
    return jobs.ValidateJob(
        target, how, 9, str(root / "validation.jsonl"), str(root / "train.jsonl"), None, str(root / "latents"),
        training.LORA, refs, jobs.Reference([clips[0], clips[1]], "audio"), OUT, engine,
    )  # fmt: skip


written = partial(cluster_lab.written, validate.run, tree=OUT)
taken = partial(cluster_lab.taken, OUT)


@pytest.mark.parametrize("workers", cluster_lab.WORKERS)
def test_any_number_of_workers_computes_the_bytes_of_one_process_and_tells_how_far_it_is(
    lab: cluster_lab.Lab, trained: Path, workers: int
) -> None:
    runner.run(job(trained, rows.SERIAL), "alone")
    alone = taken()
    assert len(alone) == 2 + 3 * len(SCALES) == len(set(alone.values()))
    events: list[tuple[str, Any]] = []
    assert written(job(trained, cluster_lab.on(lab, workers)), events=events) == alone
    done = [values["done"] for kind, values in events if kind == jobs.PROGRESS]
    assert done == list(range(1, len(alone) + 1))


def test_the_driver_of_a_cluster_opens_no_base(lab: cluster_lab.Lab, trained: Path) -> None:
    held: list[int] = []
    validate.run(job(trained, cluster_lab.on(lab)), lambda kind, values: held.append(len(validate._open)))
    assert set(held) == {0} and len(taken()) == 2 + 3 * len(SCALES)


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
    assert any("was lost" in text and "the losses of " in text for text in cluster_lab.notices(events)), (
        "which candidate"
    )


def test_a_driver_that_is_killed_goes_on_with_what_it_has_not_kept(
    lab: cluster_lab.Lab, trained: Path
) -> None:
    alone = written(job(trained, rows.SERIAL))
    ray_cluster.close()
    one = job(trained, cluster_lab.on(lab))
    cluster_lab.killed_while_it_works("validate", one)
    kept = len(list(Path(OUT).glob("*.json")))
    assert 0 < kept < len(alone)
    assert validate.run(one, lambda kind, values: None)["computed"] == len(alone) - kept
    assert taken() == alone


def test_an_error_names_the_candidate_the_node_and_what_to_do(
    lab: cluster_lab.Lab, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    one = job(trained, cluster_lab.on(lab))
    (tmp_path / "run/step_0000004/lora_weights.safetensors").write_bytes(b"other")
    broken = replace(one.weights[5], path=str(tmp_path / "run/step_0000004"))
    with pytest.raises(CheckpointError, match=r"Met at the losses of step_0000004@0\.35"):
        validate.run(replace(one, weights=[*one.weights[:3], broken]), lambda kind, values: None)


def test_a_checkpoint_that_a_node_sees_otherwise_stops_the_work_before_it_begins(
    lab: cluster_lab.Lab, trained: Path, tmp_path: Path
) -> None:
    one = job(trained, cluster_lab.on(lab))
    shutil.copytree(trained, tmp_path / "corpus")
    other = tmp_path / "corpus" / "run" / "step_0000004" / checkpoints.MANIFEST
    other.unlink()
    other.symlink_to("/proc/self/stat")
    blind = replace(one.weights[5], path=str(other.parent))
    with pytest.raises(ClusterError, match=r"2 of 2 nodes .* nothing was begun"):
        validate.run(replace(one, weights=[blind]), lambda kind, values: None)
    assert not Path(OUT).exists()
