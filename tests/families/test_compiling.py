"""`train.compile`: torch.compile makes one program of a layer, which serves all layers that are built alike and clips of any length.

The arithmetic is the same and its order is not, so losses and gradients agree to the last digits only.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.factories import training
from tests.families.labs import Lab
from tests.families.test_contract import adapted
from voicelathe import digest, records
from voicelathe.errors import WorkerError
from voicelathe.families.shared import layers
from voicelathe.train import loop


def passed(
    lab: Lab, model: Any, items: list[Any], compiled: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Losses of one pass and the gradients that it leaves behind."""
    model.core.zero_grad(set_to_none=True)
    with layers.compiled_layers(compiled):
        batch = model.collate(items)
        losses = model.losses(batch, model.draw(batch, list(range(len(items))), None))
    sum(losses.values()).mean().backward()  # type: ignore[union-attr]
    gradients = {n: p.grad.clone() for n, p in model.core.named_parameters() if p.grad is not None}
    return {name: one.detach() for name, one in losses.items()}, gradients


def programs() -> int:
    """How many graphs torch.compile has made so far in this process."""
    from torch._dynamo.utils import counters

    return Counter(counters["stats"])["unique_graphs"]


@pytest.mark.slow
def test_more_kinds_of_layers_than_torch_compiles_by_itself_still_run() -> None:
    """Several models in one process, or several settings of one: torch alone gives up after the eighth."""
    with layers.compiled_layers(True):
        for width in range(2, 14):
            layer = torch.nn.Linear(width, width)
            given = torch.randn(3, width)
            found = layers.run_layer(twice, layer, given, recompute=False)
            assert torch.allclose(found, twice(layer, given), atol=1e-6)


COMPILES = """
import sys, torch
from tests.families.test_compiling import twice
from voicelathe.errors import WorkerError
from voicelathe.families.shared import layers
try:
    with layers.compiled_layers(True):
        layers.run_layer(twice, torch.nn.Linear(3, 3), torch.randn(2, 3), recompute=False).sum().backward()
except WorkerError as problem:
    sys.exit(str(problem))
"""


@pytest.mark.slow
def test_a_program_that_a_killed_run_left_half_written_is_named_with_its_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMPILES]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)

    assert run().returncode == 0
    written = list(tmp_path.rglob("*.main.so"))
    for file in written:
        file.write_bytes(b"")
    for index in ("fxgraph", "aotautograd"):  # written last: a run that was killed before has no entry there
        shutil.rmtree(tmp_path / index, ignore_errors=True)
    told = run()
    assert written and told.returncode == 1
    assert "a program in the compiler's cache cannot be read: " in told.stderr
    assert any(f"{file}: file too short" in told.stderr.splitlines()[-1] for file in written)
    assert f"Delete {tmp_path}, which holds nothing else, and start again." in told.stderr


def twice(layer: torch.nn.Module, given: Tensor) -> Tensor:
    out: Tensor = layer(layer(given))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("lab", ["voxcpm2"], indirect=True)
@pytest.mark.parametrize("mode, recompute", [("lora", "none"), ("full", "all")])
def test_compiled_layers_have_the_losses_and_gradients_of_plain_ones(
    lab: Lab, mode: str, recompute: Any
) -> None:
    compare(lab, mode, recompute)


@pytest.mark.campaign
@pytest.mark.parametrize("recompute", ["none", "all"])
@pytest.mark.parametrize("mode", ["lora", "full"])
def test_compiled_layers_of_every_family_have_the_losses_and_gradients_of_plain_ones(
    lab: Lab, mode: str, recompute: Any
) -> None:
    compare(lab, mode, recompute)


def compare(lab: Lab, mode: str, recompute: Any) -> None:
    model = adapted(lab) if mode == "lora" else lab.model()
    items = lab.items()
    model.prepare(items)
    model.trainable(mode)
    model.checkpoint_blocks(recompute)
    model.core.train()
    passed(lab, model, items, compiled=True)
    passed(lab, model, items[1:], compiled=True)
    made = programs()
    for these in (items, items[::-1], items[1:], items[:2]):
        wanted, expected = passed(lab, model, these, compiled=False)
        found, gradients = passed(lab, model, these, compiled=True)
        for name, values in wanted.items():
            assert found[name].tolist() == pytest.approx(values.tolist(), abs=1e-5), name
        assert set(gradients) == set(expected)
        for name, one in expected.items():
            assert float((gradients[name] - one).norm()) <= 1e-4 * float(one.norm()) + 1e-9, name
    assert made > 0 and programs() == made, "clips of other lengths were compiled anew"


def quiet(_kind: str, _values: dict[str, Any]) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lora", pytest.param("full", marks=pytest.mark.campaign)])
def test_a_compiled_run_learns_as_a_plain_one_and_resumes_to_the_same_bytes(
    corpus: Path, tmp_path: Path, mode: str
) -> None:
    """With dropout in the adapter, which draws the same numbers either way."""
    plain = replace(training.train_settings(mode, steps=6, every=3), schedule="constant")
    compiled = replace(plain, compile_layers=True)
    loop.run(training.train_job(corpus, tmp_path / "plain", plain), quiet)
    loop.run(training.train_job(corpus, tmp_path / "whole", compiled), quiet)
    loop.run(training.train_job(corpus, tmp_path / "parts", replace(compiled, steps=3)), quiet)
    loop.run(training.train_job(corpus, tmp_path / "parts", compiled), quiet)
    steps = {
        name: records.read(tmp_path / name / "steps.jsonl", records.StepRecord)
        for name in ("plain", "whole", "parts")
    }
    assert [one.total for one in steps["whole"]] == pytest.approx(
        [one.total for one in steps["plain"]], rel=1e-3
    )
    assert steps["whole"] == steps["parts"]
    (weights,) = [
        f.name for f in (tmp_path / "whole/step_0000006").glob("*.safetensors") if "vae" not in f.name
    ]
    whole, parts = (digest.of_file(tmp_path / name / "step_0000006" / weights) for name in ("whole", "parts"))
    assert whole == parts


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_what_to_install(corpus: Path, tmp_path: Path) -> None:
    from torch._inductor import config

    train = replace(training.train_settings("full", steps=1, every=1), compile_layers=True)
    torch._dynamo.reset()  # what other tests compiled
    with (
        config.patch({"cpp.cxx": (None, "/nowhere/g++"), "force_disable_caches": True}),
        pytest.raises(
            WorkerError, match=r"No working C.. compiler found.*apt-get install g.*compile_layers: false"
        ),
    ):
        loop.run(training.train_job(corpus, tmp_path / "run", train), quiet)
    assert not list((tmp_path / "run").glob("step_*")), "nothing may be kept of a step that never ran"
