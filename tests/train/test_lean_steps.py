"""What a step does not do any more gives the same bits as doing it: no waiting, no generator, no casts there and back, no second shuffle."""

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from bitsandbytes.optim import optimizer as upstream
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.factories import training
from tests.train.test_precision import numbers
from voicelathe import rng
from voicelathe.config import schema
from voicelathe.process import child
from voicelathe.train import adapters, batches, memory, optimizers, precision


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(op.overloadpacket)] += 1
        return op(*args, **(kwargs or {}))


def arithmetic(master: Tensor, low_dtype: torch.dtype, tosses: Tensor | int) -> tuple[Tensor, Tensor]:
    """Weight and low bits by shifts and sums of whole 32-bit numbers, as docs/memory.md describes them."""
    bits, dropped = master.view(torch.int32), 0 if low_dtype == torch.int16 else 8
    if dropped:
        bits = (bits + tosses) >> 8 << 8
    high = (bits + 0x8000) >> 16
    return high.to(torch.int16).view(torch.bfloat16), ((bits - (high << 16)) >> dropped).to(low_dtype)


@pytest.mark.parametrize("low_dtype", [torch.int16, torch.int8])
@pytest.mark.parametrize("tossed", [False, True])
def test_halves_read_where_they_lie_are_the_halves_of_the_arithmetic(
    low_dtype: torch.dtype, tossed: bool
) -> None:
    master = torch.cat(
        [numbers(), torch.randint(-(2**31), 2**31 - 1, (4096,)).to(torch.int32).view(torch.float32)]
    )
    coins, again = (torch.Generator().manual_seed(5) for _ in range(2))
    tosses = torch.randint(0, 256, master.shape, dtype=torch.int32, generator=again) if tossed else 0x80
    found = precision.split(master, low_dtype, coins if tossed else None)
    for one, other in zip(found, arithmetic(master, low_dtype, tosses), strict=True):
        assert torch.equal(
            one.view(low_dtype if one.dtype == low_dtype else torch.int16),
            other.view(one.dtype if one.dtype == low_dtype else torch.int16),
        )


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(80, 64), nn.Linear(64, 16))


def built(model: nn.Module, name: str, weights: str) -> Any:
    trained = dict(model.named_parameters())
    train = training.train_settings("full", optimizer=name, weights=weights)
    return memory.optimizer(train, model, trained, precision.narrow(model, weights, trained), seed=1)


def give_gradients(model: nn.Module, step: int) -> None:
    for number, parameter in enumerate(model.parameters()):
        draw = torch.Generator().manual_seed(10 * step + number)
        parameter.grad = torch.randn(parameter.shape, generator=draw).to(parameter.dtype)


@pytest.mark.parametrize(
    "name, weights", [*itertools.product(optimizers.of_bf16(), ("fp32", "bf16_split16", "bf16_stochastic"))]
)
def test_a_step_waits_for_the_device_once_at_most_and_is_upstreams_step_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, name: str, weights: str
) -> None:
    waits: list[Tensor] = []
    monkeypatch.setattr(upstream, "sync_gpu", waits.append)
    ends = []
    for ours in (True, False):
        model = layers()
        made = built(model, name, weights)
        for step in range(1, 4):
            memory.prepare(made, step, 0.01)
            made.gradient_scale = 0.5 if weights != "fp32" else 1.0
            give_gradients(model, step)
            made.step() if ours else upstream.Optimizer8bit.step(made)
        ends.append({**memory.state(made, dict(model.named_parameters())), **model.state_dict()})
        assert bool(waits) is not ours
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


@pytest.mark.parametrize("name, waits", [("adamw8bit", 0), ("paged_adamw8bit", 1)])
def test_a_step_on_a_card_waits_once_for_paged_moments_and_never_for_others(
    monkeypatch: pytest.MonkeyPatch, name: str, waits: int
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: seen.append(1))
    model = layers()
    made = built(model, name, "fp32")
    give_gradients(model, 1)
    on_card: Any = type("OnCard", (), {"device": torch.device("cuda", 0), "grad": None})()
    made.places = {on_card: None, **made.places}
    made.step()
    assert len(seen) == waits


@pytest.mark.parametrize("fused", [True, False])
def test_steps_are_counted_after_a_resume_where_the_update_reads_them(fused: bool) -> None:
    """Fused, as on a card, that is beside the parameter: a kernel that is given the host's address reads nonsense."""
    model = layers()
    trained = dict(model.named_parameters())
    made = memory.optimizer(training.train_settings("lora"), model, trained, {}, seed=1, on_card=fused)
    elsewhere = nn.Parameter(torch.zeros(3, device="meta"))  # a device that is not the host
    saved = {f"there::{key}": torch.ones(()) for key in ("step", "exp_avg", "exp_avg_sq")}
    memory.restore(made, {"there": elsewhere}, saved)
    places = {key: value.device.type for key, value in made.state[elsewhere].items()}
    assert places == {"step": "meta" if fused else "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}


def test_an_exact_master_tosses_nothing_and_makes_no_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a generator was made")

    monkeypatch.setattr(precision, "rounding_generator", refuse)
    for weights in ("bf16_split16", "bf16_split8"):
        model = layers()
        made = built(model, "adamw8bit", weights)
        give_gradients(model, 1)
        if weights == "bf16_split16":
            made.step()
        else:
            with pytest.raises(AssertionError, match="a generator"):
                made.step()


def test_released_gradients_are_not_looked_at_inside_backward() -> None:
    model = layers()
    trained = dict(model.named_parameters())
    made = built(model, "adamw8bit", "fp32")
    norms = memory.release_gradients(made, trained)
    same = layers()
    (same(torch.ones(2, 80)) - 3).pow(2).sum().backward()
    stored = memory.gradient_norms(dict(same.named_parameters()))
    with Operations() as counted:
        (model(torch.ones(2, 80)) - 3).pow(2).sum().backward()
    assert not counted.seen["aten._local_scalar_dense"] and len(norms) == len(trained)
    assert memory.released_norms(norms) == stored
    model[0].weight.register_hook(lambda gradient: gradient * float("nan"))
    model(torch.ones(2, 80)).sum().backward()
    assert memory.global_norm(memory.released_norms(norms)) != memory.global_norm(
        memory.released_norms(norms)
    )


def test_norms_and_clipping_of_all_gradients_are_those_of_each() -> None:
    model = layers()
    give_gradients(model, 1)
    each = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    found = memory.gradient_norms(dict(model.named_parameters()))
    assert list(found.values()) == [float(torch.linalg.vector_norm(one, dtype=torch.float32)) for one in each]
    memory.clip(torch.optim.AdamW(model.parameters()), dict(model.named_parameters()), 2.0, 1.0)
    scale = 1.0 / (2.0 + 1e-6)
    assert all(
        torch.equal(p.grad, one * scale)
        for p, one in zip(model.parameters(), each, strict=True)
        if p.grad is not None
    )


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_inputs_of_an_adapter_are_cast_once_and_every_bit_stays(dropout: float) -> None:
    lora = schema.Lora(rank=4, alpha=4.0, dropout=dropout, scope=["lm"])
    train = replace(training.train_settings("lora", weights="bf16"), lora=lora)
    ends, casts = [], []
    for lean in (False, True):
        model = layers()
        adapters.inject(model, lora, r"\d", 0)
        precision.narrow(model, "bf16", {n: p for n, p in model.named_parameters() if "lora_" in n})
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter)
        if lean:
            adapters.leave_casts_to_autocast(model, train)
        model.train()
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16), Operations() as counted:
            out = model(torch.linspace(-1, 1, 160).view(2, 80).to(torch.bfloat16).requires_grad_())
            out.float().pow(2).sum().backward()
        casts.append(counted.seen["aten._to_copy"])
        ends.append([out, *(p.grad for n, p in model.named_parameters() if "lora_" in n)])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
    assert casts[1] < casts[0] if not dropout else casts[1] == casts[0], "with dropout nothing is changed"


def test_an_order_that_is_kept_is_shuffled_once_a_pass_and_is_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"clip{number}" for number in range(10)]
    said = [name for epoch in range(8) for name in rng.shuffled(names, 7, "epoch", epoch)]
    expected = [said[start : start + 4] for start in range(0, 80, 4)]
    assert expected == list(batches.every_step(names, 20, 4, 7))
    shuffled: list[int] = []
    real = rng.shuffled
    monkeypatch.setattr(rng, "shuffled", lambda *given: (shuffled.append(given[-1]), real(*given))[1])
    order = batches.Order(names, 4, 7)
    assert [order.of_step(step) for step in range(1, 21)] == expected
    assert shuffled == list(range(8)), "twenty steps of 4 are eight passes over ten clips"
    assert order.of_step(3) == expected[2], "any step may be asked for"


def test_workers_do_not_let_cudnn_plan_attention_for_every_length() -> None:
    assert child._environment(1)["TORCH_CUDNN_SDPA_DEPRIORITIZED"] == "1"
