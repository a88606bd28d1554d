"""AdamW in one kernel: Triton's interpreter runs it on the CPU, beside bitsandbytes; and nothing uses it that has not proven itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.factories import training
from voicelathe.process import jobs
from voicelathe.train import memory, precision
from voicelathe.train.distributed import Peers
from voicelathe.train.optimizers import fused
from voicelathe.train.stepping import trainer

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_kernel_is_bitsandbytes_update_of_a_master_with_codes_that_are_as_near() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.fused_lab"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["proof"] is None
    assert seen["first"] < 1e-4  # of a learning rate: before any moment was quantised, only rounding
    assert (
        seen["mean_off"] < 0.02 * seen["moved"]
    )  # later bitsandbytes' CPU is up to seven codes from the nearest
    assert seen["apart"] == 0
    assert seen["small_alike"]
    assert seen["again"] and seen["paged"] and seen["released"] and seen["resumed"]


def by_hand(
    weight: Tensor, gradient: Tensor, state: dict[str, Any], factors: fused.Factors, rate: float = 1.0, shift: int = 0
) -> None:  # fmt: skip
    """What the kernel does, and two ways to do it wrong."""
    master, *moments = fused._plainly(weight, gradient, state, factors)
    before = precision.join(weight, state["low"])
    precision.split_into(before + (master - before) * rate, weight, state["low"], None)
    for place, moment in enumerate(moments, 1):
        blocks = nn.functional.pad(moment, (0, -len(moment) % fused.BLOCK)).view(-1, fused.BLOCK)
        state[f"absmax{place}"].copy_(blocks.abs().amax(1))
        scales = state[f"absmax{place}"].repeat_interleave(fused.BLOCK)[: len(moment)]
        codes = (moment[:, None] / scales[:, None] - state[f"qmap{place}"]).abs().argmin(1)
        state[f"state{place}"].copy_((codes + shift).clamp(max=255))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a step that is one percent too long": ({"rate": 1.01}, "a weight is off by"),
    "moments two codes away": ({"shift": 2}, "moment 1 is 2 codes from the nearest"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_kernel_that_computes_something_else_is_seen_through(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    changes, said = WRONG[wrong]
    monkeypatch.setattr(fused, "update", by_hand)
    assert fused.problem(CPU, paged=False) is None
    monkeypatch.setattr(fused, "update", lambda *given: by_hand(*given, **changes))
    assert said in (fused.problem(CPU, paged=False) or "")


def test_a_kernel_that_does_not_compile_is_a_reason_and_no_crash() -> None:
    """Without a card Triton has no driver; with one it refuses memory of the host."""
    assert "Error" in (fused.problem(CPU, paged=False) or "")


def made_for_a_card(optimizer: str, weights: str) -> Any:
    layer = nn.Linear(80, 64)
    trained = dict(layer.named_parameters())
    train = training.train_settings("full", optimizer=optimizer, weights=weights)
    lows = precision.narrow(layer, weights, trained)
    return memory.optimizer(train, layer, trained, lows, 1, on_card=True)


@pytest.mark.parametrize("refuse", [True, False])
@pytest.mark.parametrize("optimizer", ["adamw8bit", "paged_adamw8bit"])
def test_a_card_uses_the_kernel_only_after_its_proof_and_says_so_otherwise(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, refuse: bool
) -> None:
    asked: list[tuple[str, bool]] = []

    def proof(device: torch.device, paged: bool) -> str | None:
        asked.append((device.type, paged))
        return "it hums" if refuse else None

    monkeypatch.setattr(fused, "problem", proof)
    made = made_for_a_card(optimizer, "bf16_split16")
    assert (asked, made._fused, made.notice) == ([], None, None)  # real tensors that lie on the CPU
    on_card: Any = type("OnCard", (), {"device": torch.device("cuda", 0)})()
    given = training.built(on_card, "bf16_split16")
    assert made._in_one_kernel("adam", given) is (None if refuse else fused)
    assert asked == [("cuda", optimizer == "paged_adamw8bit")]
    assert ("it hums" in (made.notice or "")) is refuse


class TwoProcesses(Peers):
    """This one, and another that cannot do what is asked."""

    def any(self, raised: bool) -> bool:
        return True


@pytest.mark.parametrize("peers, is_fused", [(Peers(), True), (TwoProcesses(), False)], ids=["alone", "two"])
def test_no_process_updates_by_the_kernel_when_one_of_them_cannot(
    monkeypatch: pytest.MonkeyPatch, peers: Peers, is_fused: bool
) -> None:
    monkeypatch.setattr(fused, "interpreted", lambda: True)
    made, told = made_for_a_card("adamw8bit", "bf16_split16"), []
    assert made.is_fused
    trainer.agree(made, peers, lambda kind, values: told.append((kind, values["text"])))
    assert made.is_fused is is_fused
    assert told == ([] if is_fused else [(jobs.NOTICE, made.notice)])


@pytest.mark.parametrize("weights", ["fp32", "bf16_split8", "bf16_stochastic"])
def test_other_weights_keep_bitsandbytes_kernels(weights: str) -> None:
    made = made_for_a_card("adamw8bit", weights)
    on_card: Any = type("OnCard", (), {"device": torch.device("cuda", 0)})()
    assert made._in_one_kernel("adam", training.built(on_card, weights)) is None
    assert made._in_one_kernel("lion", training.built(on_card, "bf16_split16")) is None
