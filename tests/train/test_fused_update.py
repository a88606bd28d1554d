"""AdamW in one kernel: Triton's interpreter runs it on the CPU, beside bitsandbytes; and nothing uses it that has not proven itself."""

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.factories import training
from tests.factories.mlflow_stores import free_port
from voicelathe.errors import WorkerError
from voicelathe.process import jobs
from voicelathe.train import memory, precision
from voicelathe.train.distributed import Peers
from voicelathe.train.optimizers import fused
from voicelathe.train.stepping import trainer

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_kernel_is_bitsandbytes_update_of_a_master_with_codes_that_are_as_near() -> None:
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA build")
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
    assert seen["used"] == 4  # steps, of the one parameter that is large enough
    assert seen["again"] and seen["released"] and seen["resumed"]


POINTERS = {
    **dict.fromkeys(("weight_ptr", "low_ptr"), "*i16"),
    **dict.fromkeys(("first_ptr", "second_ptr"), "*u8"),
    **dict.fromkeys(("codes1_ptr", "codes2_ptr", "absmax1_ptr", "absmax2_ptr"), "*fp32"),
}


@pytest.mark.parametrize("gradient", ["bf16", "fp32"])
@pytest.mark.parametrize("divides", [False, True], ids=["any size", "16 divides the size"])
@pytest.mark.parametrize("card", [80, 86, 89, 90, 120], ids=["A100", "3090", "4090", "H100", "5090"])
def test_the_kernel_compiles_for_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: int, divides: bool, gradient: str
) -> None:
    """Down to machine code, by the assembler that Triton brings: no card is asked."""
    pytest.importorskip("triton", reason="Triton comes with torch's CUDA build")
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from voicelathe.train.optimizers import fused_kernel

    kernel = fused_kernel.adamw_split16
    names, given = kernel.arg_names, {**POINTERS, "gradient_ptr": f"*{gradient}", "size": "i32"}
    types = {name: given.get(name, "fp32") for name in names} | {"BLOCK_SIZE": "constexpr"}
    aligned = [at for at, name in enumerate(names) if name.endswith("_ptr") or (divides and name == "size")]
    hints = {(at,): [["tt.divisibility", 16]] for at in aligned}
    source = ASTSource(kernel, types, {"BLOCK_SIZE": fused.BLOCK}, hints)
    made = compile(source, target=GPUTarget("cuda", card, 32), options={"num_warps": fused.WARPS})
    assert len(made.asm["cubin"]) > 1000


def by_hand(
    weight: Tensor, gradient: Tensor, state: dict[str, Any], factors: fused.Factors, *, rate: float = 1.0, shift: int = 0, scaled: float = 1.0
) -> None:  # fmt: skip
    """What the kernel does, and ways to do it wrong."""
    master, *moments = fused.plainly(weight, gradient, state, factors)
    before = precision.join(weight, state["low"])
    precision.split_into(before + (master - before) * rate, weight, state["low"], None)
    for place, moment in enumerate(moments, 1):
        scales = fused.largest(moment) * scaled
        state[f"absmax{place}"].copy_(scales)
        shares = moment[:, None] / scales.repeat_interleave(fused.BLOCK)[: len(moment), None]
        codes = (shares - state[f"qmap{place}"]).abs().argmin(1)
        state[f"state{place}"].copy_((codes + shift).clamp(max=255))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a step that is one percent too long": ({"rate": 1.01}, "a weight is off by"),
    "moments two codes away": ({"shift": 2}, "moment 1 is up to 2 codes from the nearest"),
    "moments one code away": ({"shift": 1}, "moment 1 is up to 1 codes from the nearest"),
    "scales half as large": ({"scaled": 0.5}, "the scales of moment 1 are not its largest values"),
    "scales twice as large": ({"scaled": 2.0}, "the scales of moment 1 are not its largest values"),
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


def test_sizes_that_triton_compiles_apart_are_proven_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter's size is divided by 16 nearly always, and then read several values at a time."""

    def wrong_there(weight: Tensor, *given: Any) -> None:
        by_hand(weight, *given, rate=1.01 if len(weight) % 16 == 0 else 1.0)

    monkeypatch.setattr(fused, "update", wrong_there)
    assert "2208 values: a weight is off" in (fused.problem(CPU, paged=False) or "")


def test_a_kernel_that_does_not_compile_is_a_reason_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: Any) -> None:
        raise RuntimeError("at 2:16:\n  something\n\nFailed to find C compiler. Please specify via CC.\n")

    monkeypatch.setattr(fused, "update", fails)
    assert (
        fused.problem(CPU, paged=False) == "RuntimeError: Failed to find C compiler. Please specify via CC."
    )


def test_where_there_is_no_triton_that_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("triton", "voicelathe.train.optimizers.fused_kernel"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("voicelathe.train.optimizers.fused_kernel", raising=False)
    assert "Error" in (said := fused.problem(CPU, paged=False) or "") and "fused_kernel" in said


def test_a_card_that_is_full_at_the_proof_is_no_reason_to_go_on_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(fused, "update", fails)
    with pytest.raises(torch.OutOfMemoryError):
        fused.problem(CPU, paged=False)


def test_a_kernel_that_broke_the_card_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: Any, **_more: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(fused, "update", fails)
    monkeypatch.setattr(torch, "ones", fails)
    with pytest.raises(WorkerError, match=r"broke cpu.*illegal memory access.*deterministic: true"):
        fused.problem(CPU, paged=False)


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


@pytest.mark.parametrize("kernel, weights, deterministic", [
    ("adam", "fp32", False), ("adam", "bf16_split8", False), ("adam", "bf16_stochastic", False), ("lion", "bf16_split16", False),
    ("adam", "bf16_split16", True),
])  # fmt: skip
def test_other_weights_and_rules_and_runs_that_must_repeat_keep_bitsandbytes_kernels(
    monkeypatch: pytest.MonkeyPatch, kernel: str, weights: str, deterministic: bool
) -> None:
    monkeypatch.setattr(fused, "problem", lambda *_: None)
    made = made_for_a_card("adamw8bit", "bf16_split16")
    on_card: Any = type("OnCard", (), {"device": torch.device("cuda", 0)})()
    usual = training.built(on_card, "bf16_split16")
    assert made._in_one_kernel("adam", usual) is fused
    given = training.built(on_card, weights)
    given = replace(given, train=replace(given.train, deterministic=deterministic))
    assert made._in_one_kernel(kernel, given) is None and made.notice is None


def joins(rank: int, port: int, is_fused: list[bool], told: Any) -> None:
    """One of two processes, in one of which Triton is said to run."""
    from torch import distributed

    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    fused.interpreted = lambda: is_fused[rank]
    made = made_for_a_card("adamw8bit", "bf16_split16")
    assert made.is_fused is is_fused[rank]
    made.notice = None if is_fused[rank] else f"process {rank} cannot"
    said: list[str] = []
    trainer.agree(made, Peers(rank, 2), lambda _kind, values: said.append(values["text"]))
    told.put((rank, made.is_fused, said))
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("is_fused", [[True, True], [True, False]], ids=["both", "one"])
def test_no_process_updates_by_the_kernel_when_one_of_them_cannot_and_the_first_says_why(
    is_fused: list[bool],
) -> None:
    told, port = multiprocessing.get_context("spawn").Queue(), free_port()
    torch.multiprocessing.spawn(joins, (port, is_fused, told), nprocs=2)
    said = [] if all(is_fused) else ["process 1 cannot"]
    assert sorted(told.get(timeout=10) for _ in range(2)) == [(rank, all(is_fused), said) for rank in (0, 1)]


def test_a_run_of_one_process_says_why_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_for_a_card("adamw8bit", "bf16_split16")
    made.notice = "it hums"
    said: list[Any] = []
    trainer.agree(made, Peers(), lambda kind, values: said.append((kind, values["text"])))
    assert said == [(jobs.NOTICE, "it hums")]


def test_a_training_asks_before_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(trainer, "agree", lambda *given: asked.append(given[0]))
    root = training.corpus(tmp_path)
    train = training.train_settings("full", steps=1, every=1, optimizer="adamw8bit", weights="bf16_split16")
    made = trainer.prepare(
        training.train_job(root, root / "run", train), trainer.Telling(lambda *_: None), Peers()
    )
    assert asked == [made.optimizer]
