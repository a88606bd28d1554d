"""Training is killed at every point of a commit and at random moments, and ends with the bytes of a run that nobody disturbed.

`make campaign` runs 200 random kills of each optimizer and mode (VOICELATHE_KILLS); `.ci/run` makes 10 of one. A campaign that names a
file (VOICELATHE_KILLS_LOG) writes a line there for each run that ended, and goes on from it when it is started again.
"""

import itertools
import json
import os
import random
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import training
from tests.train import kill_lab
from tests.train.test_loop import final_state
from voicelathe import checkpoints, digest
from voicelathe.process import jobs
from voicelathe.train import optimizers, resume, saving

KILLS = int(os.environ.get("VOICELATHE_KILLS", "10"))
LOG = os.environ.get("VOICELATHE_KILLS_LOG")
ALL = [(mode, optimizer) for mode in ("lora", "full") for optimizer in optimizers.TABLE]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus; imports and the loaded base are inherited by every child."""
    torch.set_num_threads(1)
    root = training.corpus(tmp_path_factory.mktemp("corpus"))
    warm = [
        job(root, root / mode, mode, "adamw8bit", steps=2) for mode in ("full", "lora")
    ]  # peft's import takes seconds
    kill_lab.preload(*warm)
    return root


def job(
    corpus: Path, directory: Path, mode: str, optimizer: str, steps: int, every: int = 2
) -> jobs.TrainJob:
    """Two clips a step; full runs with 8-bit moments train exact bf16 weights, the others fp32."""
    lean = mode == "full" and optimizer in optimizers.of_bf16()
    train = training.train_settings(
        mode, steps=steps, every=every, optimizer=optimizer, weights="bf16_split16" if lean else "fp32"
    )
    train = replace(train, clips_per_step=2, clips_per_pass=2, probe_every=steps)
    return training.train_job(corpus, directory, train)


def undisturbed(tmp_path: Path, whole: jobs.TrainJob, diary: Path | None = None) -> tuple[str, float]:
    began = time.monotonic()
    code = kill_lab.ended(kill_lab.child(lambda: kill_lab.train(whole, diary), tmp_path / "log"))
    assert code == 0, (tmp_path / "log").read_text()[-2000:]
    return final_state(Path(whole.directory)), time.monotonic() - began


def contents(value: float) -> dict[str, saving.Contents]:
    """What a save commits, in order: weights of several files with a link, then the state."""
    draw = torch.full((40,), value)
    base = Path(__file__)
    return {
        "step": {
            "model.safetensors": {"w": draw, "b": draw[:3]},
            "config.json": {"at": value},
            "nested/link.py": base,
        },
        "state": {"parameters.safetensors": {"w": draw}, "optimizer.safetensors": {"m": draw * 2}},
    }


def commit(root: Path, step: int) -> None:
    for kind, files in contents(float(step)).items():
        kept = saving.put(root / f"{kind}_{step:07d}", files, {"step": step})
    resume.forget_others(kept)


def every_checkpoint_verifies(directory: Path) -> None:
    for found in [*directory.glob("step_*"), *directory.glob("state_*")]:
        if (found / checkpoints.MANIFEST).is_file():
            checkpoints.verify(found)


@pytest.mark.slow
def test_a_save_that_dies_at_any_point_leaves_the_old_state_or_the_new_one_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    """Before every fsync, rename, replace, link, mkdir, unlink and rmdir of a save, and in the middle of every file."""
    commit(tmp_path / "whole", 1)
    commit(tmp_path / "whole", 2)
    expected, ends = digest.of_tree(tmp_path / "whole"), []
    for nth in range(1, 500):
        root = tmp_path / f"point-{nth}"
        commit(root, 1)

        def doomed(root: Path = root, nth: int = nth) -> None:
            kill_lab.die_at(nth, threading.main_thread().name)
            commit(root, 2)

        if (code := kill_lab.ended(kill_lab.child(doomed, tmp_path / "log"))) == 0:
            break
        assert code == kill_lab.KILLED, (tmp_path / "log").read_text()
        assert all((found / checkpoints.MANIFEST).is_file() for found in root.glob("step_*"))
        every_checkpoint_verifies(root)
        checkpoints.sweep(root)
        newest = checkpoints.newest_verified(root, resume.PREFIX)
        assert newest is not None and not (root / "quarantine").exists()
        assert newest.name == "state_0000001" or (root / "step_0000002").is_dir(), (
            "weights come before their state"
        )
        ends.append(newest.name)
        commit(root, 2)
        assert digest.of_tree(root) == expected, f"point {nth}"
    assert len(ends) > 30 and ends == sorted(ends), "one moment at which the new state comes into being"
    assert set(ends) == {"state_0000001", "state_0000002"}


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_is_named_and_keeps_the_state_before(tmp_path: Path) -> None:
    """At every write of a save; making room and saving again gives the bytes of a save that nothing disturbed."""
    commit(tmp_path / "whole", 1)
    commit(tmp_path / "whole", 2)
    expected, refused = digest.of_tree(tmp_path / "whole"), 0
    for nth in range(1, 500):
        root, log = tmp_path / f"write-{nth}", tmp_path / f"log-{nth}"
        commit(root, 1)

        def full(root: Path = root, nth: int = nth) -> None:
            kill_lab.die_at(
                nth,
                threading.main_thread().name,
                kill_lab.fill_disk,
                ("fsync", "rename", "replace", "link", "mkdir"),
            )
            for kind, files in contents(2.0).items():
                saving.put(root / f"{kind}_0000002", files, {"step": 2})

        code = kill_lab.ended(kill_lab.child(full, log))
        if code == 0 and not log.read_text():
            break
        assert code == 0 or "errors.DiskFull" in log.read_text(), (
            log.read_text()
        )  # 0: a copy where a link failed
        refused += code == kill_lab.BROKEN
        every_checkpoint_verifies(root)
        checkpoints.sweep(root)
        assert checkpoints.newest_verified(root, resume.PREFIX) is not None
        commit(root, 2)
        assert digest.of_tree(root) == expected, f"write {nth}"
    assert refused > 20, "a disk that was never full proves nothing"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_training_that_dies_while_it_saves_ends_with_identical_bytes(corpus: Path, tmp_path: Path) -> None:
    """The same points in a run that goes on training beside the save: every one of 1,185 in the campaign, every 97th in CI."""
    expected, _ = undisturbed(tmp_path, job(corpus, tmp_path / "whole", "lora", "adamw", steps=2, every=1))
    died = 0
    for nth in itertools.count(1, 1 if KILLS > 30 else 97):
        directory = tmp_path / f"point-{nth}"
        doomed = job(corpus, directory, "lora", "adamw", steps=2, every=1)

        def work(doomed: jobs.TrainJob = doomed, nth: int = nth) -> None:
            kill_lab.die_at(nth, saving.THREAD)
            kill_lab.train(doomed)

        if (code := kill_lab.ended(kill_lab.child(work, tmp_path / "log"))) == 0:
            break
        assert code == kill_lab.KILLED, (tmp_path / "log").read_text()[-2000:]
        died += 1
        every_checkpoint_verifies(directory)
        code = kill_lab.ended(kill_lab.child(lambda d=doomed: kill_lab.train(d), tmp_path / "log"))
        assert code == 0, (tmp_path / "log").read_text()[-2000:]
        assert final_state(directory) == expected, f"point {nth}"
        assert not list(directory.glob(f"{checkpoints.TEMPORARY}*"))
    assert died > 2, "a run without crash points proves nothing"
    print(f"{died} crash points of training, all recovered", file=sys.stderr)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "mode, optimizer", ALL if KILLS > 30 else [("full", "paged_adamw8bit")], ids=lambda value: value
)
def test_kills_at_random_moments_end_with_identical_bytes(
    corpus: Path, tmp_path: Path, mode: str, optimizer: str
) -> None:
    """Half of the moments are drawn from the time of a whole run, half are just after a phase, so that short ones are hit, too."""
    log = Path(LOG) if LOG else tmp_path / "campaign.jsonl"
    past = earlier(log, mode, optimizer)
    kills = sum(len(one["killed_in"]) for one in past)
    if kills >= KILLS:
        return
    diary, whole = tmp_path / "diary", job(corpus, tmp_path / "whole", mode, optimizer, steps=6)
    expected, whole_s = undisturbed(tmp_path, whole, diary)
    num_phases = len(kill_lab.announced(diary))
    assert all(one["final_state"] == expected for one in past), f"{log} is of other code or another machine"
    for number in range(len(past), 1000):
        if kills >= KILLS:
            break
        doomed = job(corpus, tmp_path / f"run-{number}", mode, optimizer, steps=6)
        draw = random.Random(f"{mode} {optimizer} {number}")
        killed_in, torn = killed_until_done(doomed, tmp_path, draw, num_phases, whole_s)
        assert final_state(Path(doomed.directory)) == expected, f"run {number}, killed in {killed_in}"
        shutil.rmtree(doomed.directory)
        line = {"killed_in": killed_in, "torn": torn, "final_state": expected, "seconds": round(whole_s, 2)}
        with log.open("a") as file:
            file.write(json.dumps({"mode": mode, "optimizer": optimizer, **line}) + "\n")
        kills += len(killed_in)
    print(f"{mode} {optimizer}: {kills} kills, all identical", file=sys.stderr)


def earlier(log: Path, mode: str, optimizer: str) -> list[dict[str, Any]]:
    """What a campaign's log has of a combination: one entry for each run that ended."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return [one for one in map(json.loads, lines) if (one["mode"], one["optimizer"]) == (mode, optimizer)]


def killed_until_done(
    doomed: jobs.TrainJob, folder: Path, draw: random.Random, num_phases: int, whole_s: float
) -> tuple[list[str], int]:
    """Kill a run and start it again until it ends; the phases it was killed in, and how often a half-made directory was left."""
    directory, diary, killed_in, torn = Path(doomed.directory), folder / "diary", [], 0
    while True:
        diary.unlink(missing_ok=True)
        phases, seconds = 0, draw.uniform(0.02, 0.9) * whole_s
        if draw.random() < 0.5:
            phases, seconds = draw.randint(1, num_phases), draw.uniform(0.0, 2 * whole_s / num_phases)
        pid = kill_lab.child(lambda: kill_lab.train(doomed, diary), folder / "log")
        code = kill_lab.kill_when(pid, diary, phases, seconds)
        assert code in (0, -9), (folder / "log").read_text()[-2000:]
        every_checkpoint_verifies(directory)
        assert not (directory / "quarantine").exists()
        if code == 0:
            return killed_in, torn
        killed_in += kill_lab.announced(diary)[-1:] or ["start"]
        torn += any(directory.glob(f"{checkpoints.TEMPORARY}*"))
