"""Negative controls of the resume tests: whatever a resumed run forgets, its final bytes give it away.

Order, noise, dropout and learning rate are functions of (seed, step), so forgetting one means counting from 0 again at a resume.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import training
from tests.train.test_loop import Killed, final_state, quiet
from voicelathe import rng
from voicelathe.process import jobs
from voicelathe.train import batches, loop, memory, precision
from voicelathe.train import schedule as train_schedule

STEPS, SAVED = 4, 2  # killed in step 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"))


def nothing(_: pytest.MonkeyPatch) -> None:
    """The control of the controls: a resume that forgets nothing."""


def optimizer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory, "restore", lambda *_: None)


def parameters(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.nn.Parameter, "copy_", lambda self, _other: self, raising=False)


def master(patch: pytest.MonkeyPatch) -> None:
    restore = memory.restore

    def without(optimizer: Any, found: Any, flat: dict[str, torch.Tensor]) -> None:
        restore(
            optimizer,
            found,
            {key: value * 0 if key.endswith("::low") else value for key, value in flat.items()},
        )

    patch.setattr(memory, "restore", without)


def rounding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(precision, "rounding_generator", lambda device, *_: torch.Generator(device).manual_seed(7))


def schedule(patch: pytest.MonkeyPatch) -> None:
    rate = train_schedule.learning_rate
    patch.setattr(train_schedule, "learning_rate", lambda step, *rest: rate(step - SAVED, *rest))


def sampler(patch: pytest.MonkeyPatch) -> None:
    chosen = batches.Order.of_step
    patch.setattr(batches.Order, "of_step", lambda order, step: chosen(order, step - SAVED))


def drawn_again(kind: str) -> Callable[[pytest.MonkeyPatch], None]:
    def forget(patch: pytest.MonkeyPatch) -> None:
        key = rng.key

        def restarted(seed: int, *what: Any) -> int:
            return key(seed, *what[:-1], what[-1] - SAVED) if what[0] == kind else key(seed, *what)

        patch.setattr(rng, "key", restarted)

    return forget


FORGOTTEN: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {  # weights, and what is forgotten
    "nothing": ("fp32", nothing),
    "optimizer": ("fp32", optimizer),
    "parameters": ("fp32", parameters),
    "schedule": ("fp32", schedule),
    "sampler": ("fp32", sampler),
    "noise": ("fp32", drawn_again("noise")),
    "dropout": ("fp32", drawn_again("dropout")),
    "master": ("bf16_split16", master),
    "rounding": ("bf16_stochastic", rounding),
}


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", FORGOTTEN)
def test_the_resume_test_would_notice_forgotten_state(
    corpus: Path, tmp_path: Path, forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, forget = FORGOTTEN[forgotten]
    mode = "lora" if forgotten == "dropout" else "full"
    train = training.train_settings(mode, steps=STEPS, every=SAVED)
    if weights != "fp32":
        train = replace(train, optimizer="adamw8bit", weights=weights)
    loop.run(training.train_job(corpus, tmp_path / "whole", train), quiet)

    def kill(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and values["step"] == SAVED + 1:
            raise Killed

    with pytest.raises(Killed):
        loop.run(training.train_job(corpus, tmp_path / "killed", train), kill)
    forget(monkeypatch)
    loop.run(training.train_job(corpus, tmp_path / "killed", train), quiet)
    assert (final_state(tmp_path / "killed") == final_state(tmp_path / "whole")) == (forgotten == "nothing")
