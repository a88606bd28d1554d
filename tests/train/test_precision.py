"""bf16 weights with a master: nothing is lost, nothing is biased, and plain bf16 would lose what these keep."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.factories import training
from voicelathe import families
from voicelathe.config import params
from voicelathe.errors import ParamsError
from voicelathe.train import memory, precision

FULL = ("bf16_split16", "bf16_split8", "bf16_stochastic")


def numbers() -> Tensor:
    """fp32 numbers of every size, both signs, with exact halves between two bf16 numbers, zeros and a subnormal."""
    spread = torch.randn(4096, generator=torch.Generator().manual_seed(1))
    spread = spread * torch.logspace(-30, 30, 4096)
    bits = torch.tensor([0x3F808000, 0x3F818000, -0x407F8000, 0x3F807FFF, 0x00000001, 0, -(1 << 31)])
    return torch.cat([spread, bits.to(torch.int32).view(torch.float32)])


def test_a_master_of_32_bits_is_split_and_joined_without_losing_a_bit() -> None:
    master = numbers()
    weight, low = precision.split(master, torch.int16)
    assert (weight.dtype, low.dtype) == (torch.bfloat16, torch.int16)
    assert torch.equal(precision.join(weight, low).view(torch.int32), master.view(torch.int32))


def test_the_weight_is_the_nearest_bf16_number_to_its_master() -> None:
    master = numbers()
    weight, _low = precision.split(master, torch.int16)
    nearest = master.to(torch.bfloat16)
    differs = weight.view(torch.int16) != nearest.view(torch.int16)
    assert torch.equal((weight.float() - master).abs(), (nearest.float() - master).abs())
    assert int(differs.sum()) <= 2, "exact halves only"


def test_a_master_of_24_bits_is_off_by_at_most_half_of_its_last_bit() -> None:
    master = numbers()[:4096]
    weight, low = precision.split(master, torch.int8)
    joined = precision.join(weight, low)
    assert float(((joined - master) / master).abs().max()) <= 2.0**-16
    again = precision.split(joined, torch.int8)
    assert torch.equal(again[0], weight) and torch.equal(again[1], low)


def test_stochastic_rounding_is_right_on_average_and_between_the_two_neighbours() -> None:
    master = torch.full((200_000,), 1.0 + 0.3 * 2**-7)
    rounded = precision.round_stochastically(master, torch.Generator().manual_seed(0)).float()
    assert set(rounded.unique().tolist()) == {1.0, 1.0 + 2**-7}
    assert float((rounded - 1.0).mean() / 2**-7) == pytest.approx(0.3, abs=0.005)


def stepped(weights: str, updates: int, rate: float = 1e-5, paged: bool = False) -> tuple[Any, nn.Linear]:
    """One linear layer of 64 x 80 weights near 1, `updates` times by the same small gradient; returns optimizer and layer."""
    layer = nn.Linear(80, 64)
    with torch.no_grad():
        layer.weight.copy_(1.0 + torch.rand(64, 80, generator=torch.Generator().manual_seed(0)))
        layer.bias.zero_()
    layer.weight.data = layer.weight.data.to(torch.bfloat16).float()
    train = replace(
        training.train_settings("full", optimizer="paged_adamw8bit" if paged else "adamw8bit", weights=weights),
        learning_rate=rate, weight_decay=0.0,
    )  # fmt: skip
    trained = dict(layer.named_parameters())
    made: Any = memory.optimizer(train, layer, trained, precision.narrow(layer, weights, trained), seed=1)
    for number in range(updates):
        memory.prepare(made, number + 1, rate)
        for parameter in trained.values():
            gradient = torch.rand(parameter.shape, generator=torch.Generator().manual_seed(number)) + 0.5
            parameter.grad = gradient.to(torch.bfloat16).to(parameter.dtype)  # bf16 holds it exactly
        made.step()
    return made, layer


def master_of(made: Any, layer: nn.Linear) -> Tensor:
    state = made.state[layer.weight]
    return precision.join(layer.weight.data, state["low"]) if "low" in state else layer.weight.data.float()


@pytest.mark.parametrize("weights", FULL)
def test_small_updates_arrive_where_plain_bf16_would_lose_every_one(weights: str) -> None:
    exact_made, exact = stepped("fp32", 20)
    made, layer = stepped(weights, 20)
    start = stepped("fp32", 0)[1].weight
    moved, wanted = (master_of(made, layer) - start).mean(), (exact.weight - start).mean()
    assert exact_made.state[exact.weight]["step"] == made.state[layer.weight]["step"] == 20
    assert abs(float(wanted)) > 1e-4
    assert float(moved) == pytest.approx(float(wanted), rel=0.3 if weights == "bf16_stochastic" else 0.02)
    plain = start.to(torch.bfloat16)
    assert torch.equal((plain.float() - 1e-5).to(torch.bfloat16), plain), (
        "nearest rounding keeps no such step"
    )


def test_the_exact_master_follows_fp32_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from voicelathe.train.optimizers import blockwise

    monkeypatch.setattr(blockwise, "PIECE", 512)  # ten pieces: cutting changes nothing
    _made, exact = stepped("fp32", 10)
    made, layer = stepped("bf16_split16", 10)
    assert torch.equal(master_of(made, layer), exact.weight.data)


def test_paging_changes_no_bit_where_nothing_is_paged() -> None:
    (resident, one), (paged, two) = stepped("bf16_split16", 3), stepped("bf16_split16", 3, paged=True)
    assert torch.equal(one.weight, two.weight)
    for key, value in memory.state(resident, dict(one.named_parameters())).items():
        assert torch.equal(value, memory.state(paged, dict(two.named_parameters()))[key]), key


def test_moments_are_paged_again_after_a_resume_and_so_are_pieces_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a card only what Python sees of paged memory: a tensor on the host with two attributes, which the kernels need."""
    from voicelathe.train.optimizers import blockwise

    def get_paged(*shape: int, dtype: torch.dtype, device: torch.device) -> Any:
        made: Any = torch.empty(shape, dtype=dtype)
        made.is_paged, made.page_deviceid = True, device.index
        return made

    monkeypatch.setattr(blockwise.functional, "get_paged", get_paged)
    made, _layer = stepped("bf16_split16", 1, paged=True)
    moment = torch.randint(0, 256, (400, 256), dtype=torch.uint8)
    on_card: Any = type("OnCard", (), {"device": torch.device("cuda", 0), "numel": moment.numel})()
    memory.restore(made, {"weight": on_card}, {"weight::step": torch.tensor(3), "weight::state1": moment})
    state = made.state.pop(on_card)
    assert state["step"] == 3 and state["state1"].is_paged and torch.equal(state["state1"], moment)
    assert made.page_mng.paged_tensors.pop() is state["state1"]
    piece: Any = blockwise._view(state["state1"], slice(256, 512))
    assert piece.is_paged and piece.page_deviceid == 0 and torch.equal(piece, moment[1])
    assert piece.data_ptr() == state["state1"].data_ptr() + 256, "the kernels write into the moment itself"


def test_the_low_bits_of_a_base_that_is_not_bf16_are_kept() -> None:
    layer = nn.Linear(80, 64)
    before = layer.weight.detach().clone()
    trained = dict(layer.named_parameters())
    lows = precision.narrow(layer, "bf16_split16", trained)
    train = training.train_settings("full", optimizer="adamw8bit", weights="bf16_split16")
    made: Any = memory.optimizer(train, layer, trained, lows, seed=1)
    memory.prepare(made, 1, 0.0)
    for parameter in trained.values():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    assert torch.equal(master_of(made, layer), before)


@pytest.mark.parametrize("weights", [*FULL, "bf16"])
def test_rope_tables_and_adapters_stay_fp32(weights: str) -> None:
    family = families.find("voxcpm2")
    model = family.open_model(
        training.BASE, family.describe(training.BASE, "", False), training.target().machine
    )
    buffers = {name: tensor.clone() for name, tensor in model.core.named_buffers()}
    trained = (
        {"base_lm.norm.weight": model.core.base_lm.norm.weight}
        if weights == "bf16"
        else model.trainable("full").trainable
    )
    precision.narrow(model.core, weights, trained)
    assert all(torch.equal(tensor, buffers[name]) for name, tensor in model.core.named_buffers())
    assert any(name.endswith("cos_cached") for name in buffers)
    for name, parameter in model.core.named_parameters():
        fp32 = weights == "bf16" and name in trained
        assert parameter.dtype == (torch.float32 if fp32 else torch.bfloat16), name


def test_norms_of_bf16_gradients_are_summed_in_fp32_and_clipping_is_exact() -> None:
    made, layer = stepped("bf16_split16", 1)
    gradient = torch.full((64, 80), 1.0 + 2**-7, dtype=torch.bfloat16)
    layer.weight.grad, layer.bias.grad = gradient, torch.zeros(64, dtype=torch.bfloat16)
    trained = dict(layer.named_parameters())
    norm = memory.global_norm(memory.gradient_norms(trained))
    assert norm == pytest.approx((1.0 + 2**-7) * (64 * 80) ** 0.5, rel=1e-6)
    memory.clip(made, trained, norm, limit=1.0)
    assert made.gradient_scale == pytest.approx(1.0 / norm, rel=1e-5)
    assert torch.equal(layer.weight.grad, gradient), "scaled inside the update"
    memory.clip(made, trained, norm, limit=1e6)
    assert made.gradient_scale == 1.0


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weights": "bf16"}, "most updates would be lost"),
        ({"weights": "bf16_split16", "optimizer": "adamw"}, "updated by the 8-bit kernels"),
        ({"gradient_release": True}, "global norm is known only after the update"),
        ({"gradient_release": True, "max_grad_norm": None, "clips_per_pass": 4}, "a step must be one pass"),
        ({"gradient_release": True, "max_grad_norm": None, "optimizer": "adamw"}, "with an 8-bit optimizer"),
        ({"activation_checkpointing": True}, "'none', 'decoder' or 'all'"),
    ],
)
def test_a_stack_that_would_train_wrongly_is_refused_with_the_reason(
    changes: dict[str, Any], message: str
) -> None:
    tree = params.read_yaml(Path("params.yaml"))
    tree["recipes"]["mini-full"]["train"].update(changes)
    with pytest.raises(ParamsError, match=message):
        params.check(tree, "params.yaml")


def test_an_adapter_s_base_needs_no_master_and_may_be_bf16() -> None:
    tree = params.read_yaml(Path("params.yaml"))
    tree["recipes"]["mini-lora"]["train"]["weights"] = "bf16"
    params.check(tree, "params.yaml")
    tree["recipes"]["mini-lora"]["train"]["weights"] = "bf16_split16"
    with pytest.raises(ParamsError, match="is frozen and needs no master"):
        params.check(tree, "params.yaml")
