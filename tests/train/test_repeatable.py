"""`train.deterministic`: torch's own switch is on while steps are taken, off again after, and what cannot repeat is named."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import training
from voicelathe.errors import WorkerError
from voicelathe.process import jobs
from voicelathe.train import loop
from voicelathe.train.stepping.repeatable import repeatable

ON = replace(training.train_settings("full"), deterministic=True)


def state() -> tuple[bool, bool]:
    memory: Any = torch.utils.deterministic
    return torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory


@pytest.mark.parametrize("asked", [True, False])
def test_steps_of_a_run_are_taken_under_torchs_switch_and_nothing_after_it(
    tmp_path: Path, asked: bool
) -> None:
    before, seen = state(), []

    def look(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and values["name"] == "backward":
            seen.append(state())

    root = training.corpus(tmp_path)
    train = replace(ON, steps=1, checkpoint_every=1, deterministic=asked)
    loop.run(training.train_job(root, root / "run", train), look)
    assert seen and set(seen) == {(True, False) if asked else before}
    assert state() == before


def test_what_cublas_was_told_before_is_kept_where_it_repeats_and_refused_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with repeatable(ON):
        assert state() == (True, False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
    with pytest.raises(WorkerError, match=r"':4096:2'.*Unset it, or set :4096:8"), repeatable(ON):
        pass


def test_an_operation_that_cannot_repeat_is_named_with_what_to_do() -> None:
    before = state()
    with (
        pytest.raises(WorkerError, match=r"deterministic = true: put_.*Set train.deterministic: false"),
        repeatable(ON),
    ):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
    assert state() == before


@pytest.mark.parametrize("asked", [True, False])
def test_the_worker_tells_cublas_before_it_imports_torch(tmp_path: Path, asked: bool) -> None:
    job = {"train": {"deterministic": asked}, "target": {"machine": {"processes": 1}}}
    (tmp_path / "job.json").write_text(json.dumps({"verb": "train", "job": job}))
    told = "import os, sys; from voicelathe.worker import __main__ as worker; worker._spread = lambda *_: sys.exit(os.environ.get('CUBLAS_WORKSPACE_CONFIG', 'nothing') + str('torch' in sys.modules)); worker.main()"
    bare = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", told, str(tmp_path / "job.json")],
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == (":4096:8False" if asked else "nothingFalse")


def test_another_failure_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="size"), repeatable(ON):
        torch.zeros(3) @ torch.zeros(4)


def test_the_setting_makes_another_run_only_where_it_is_on() -> None:
    from voicelathe import records

    assert records.to_json(ON)["deterministic"] is True
    assert "deterministic" not in records.to_json(replace(ON, deterministic=False))
