"""A rehearsal without memory counts what a real run of the same model, settings and clips really holds and writes."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.factories import training
from voicelathe import families, records
from voicelathe.config import schema
from voicelathe.data.latents import index
from voicelathe.families.shared.safetensors_header import read_header
from voicelathe.process import jobs
from voicelathe.train import batches, footprint, loop, memory, optimizers, rehearsal
from voicelathe.train.allocator import Allocator, Pool
from voicelathe.worker import rehearse

CONFIG = json.loads((training.BASE / "config.json").read_text())
MACHINE = schema.Machine("cpu", 1, 1)
Train = schema.Train


def train_settings(mode: str = "full", **changes: Any) -> Train:
    made = replace(training.train_settings(mode), **{"clips_per_step": 2, **changes})
    return replace(made, lora=replace(made.lora, dropout=0.0)) if made.lora else made


@functools.cache
def _rehearsed(train: str, clip_s: float, on_card: bool) -> records.Rehearsal:
    made = records.from_json(Train, json.loads(train), "train")
    job = jobs.RehearseJob("voxcpm2", CONFIG, None, made, 1, clip_s, None, None, 1, on_card)
    return records.from_json(records.Rehearsal, rehearse.run(job, lambda *_: None), "rehearsal")


def rehearsed(train: Train, clip_s: float = 2.0, on_card: bool = True) -> records.Rehearsal:
    return _rehearsed(json.dumps(records.to_json(train)), clip_s, on_card)


CASES = [
    train_settings("full", clips_per_step=4),
    train_settings("full", activation_checkpointing="all"),
    train_settings(
        "full", weights="bf16_stochastic", optimizer="adamw8bit", activation_checkpointing="decoder"
    ),
    train_settings("lora", activation_checkpointing="all"),
    train_settings("lora", weights="bf16"),
]


@pytest.mark.parametrize(
    "train",
    [*(pytest.param(one, marks=pytest.mark.slow) for one in (*CASES[:2], CASES[3])), CASES[2], CASES[4]],
    ids=["full", "recomputed", "lora", "bf16", "bf16 lora"],
)
def test_the_peak_without_memory_is_the_peak_with_memory(train: Train) -> None:
    planned = rehearsed(train)
    model, trainable, _ = training.real_model(training.BASE, train)
    batch, noise = model.example(planned.size.text_tokens, planned.size.positions)
    account = rehearsal.Account(on_card=True)
    for tensor in (*model.core.parameters(), *model.core.buffers()):
        account.name(tensor, rehearsal.WEIGHTS)
    rehearsal.watch_gradients(account, list(trainable.values()), False)
    with account:
        for name in ("forward", "backward"):
            account.begin()
            if name == "forward":
                with torch.autocast("cpu", torch.bfloat16, enabled=train.weights != "fp32"):
                    losses = model.losses(batch, noise)
                total = losses["diff"] + losses["stop"]
            else:
                (total.sum() / train.clips_per_step).backward()
            found = account.phase(name)
            expected = next(one for one in planned.phases if one.name == name)
            assert found.weights == expected.weights
            assert found.total == pytest.approx(expected.total, rel=0.01)
    moved = sum(one[1] * count for one, count in account.kernels.items())
    assert moved == pytest.approx(sum(one.bytes * one.count for one in planned.kernels), rel=1e-4)
    weighing = 5  # operations that weigh the losses, which are not here
    assert account.kernels.total() == sum(one.count for one in planned.kernels) - weighing


def counted(work: Callable[[], object]) -> tuple[int, int]:
    """Operations and bytes that an account sees."""
    account = rehearsal.Account(on_card=True)
    with account:
        work()
    return account.kernels.total(), sum(moved * count for (_, moved, _), count in account.kernels.items())


def test_what_a_tensor_is_asked_and_how_it_is_looked_at_moves_no_memory() -> None:
    with FakeTensorMode():
        one = torch.empty(100, 200)
        assert counted(lambda: (one.device, one.view(200, 100), one.t(), torch.empty_like(one))) == (0, 0)
        assert counted(lambda: torch.ops.aten._unsafe_view(one, [200, 100])) == (0, 0)
        assert counted(lambda: one + one.device.index if one.device.index else one + 1) == (1, 160_000)
        assert counted(lambda: one.add_(1)) == (1, 160_000)
        assert counted(lambda: one.copy_(torch.empty(200))) == (1, 80_800), "what is overwritten is not read"
        assert counted(lambda: one[:, :1].expand(100, 200) + 0) == (1, 83_200), (
            "repeated values are read once"
        )


@pytest.mark.slow
def test_an_update_is_counted_on_the_real_optimizer_its_kernels_and_what_they_overwrite() -> None:
    train = train_settings("full", weights="bf16_split16", optimizer="adamw8bit")
    found, tuned = rehearsed(train), rehearsed(replace(train, max_grad_norm=None))
    a_value = found.update_traffic / found.num_trainable
    assert a_value == pytest.approx(16, rel=0.05), (
        "weight, low bits and two moments twice, the gradient once, and once for its norm"
    )
    plain = rehearsed(
        replace(train, deterministic=True)
    )  # bitsandbytes' kernels, which a card may have to use
    assert plain.update_traffic / plain.num_trainable == pytest.approx(60, rel=0.05)
    assert found.update == plain.update > 0
    tensors = len(training.real_model(training.BASE, train)[1])
    assert tensors < found.update_kernels == tuned.update_kernels < 4 * tensors


def test_flash_backward_takes_128_rows_for_11_tokens() -> None:
    query, keys = (
        torch.empty(504, 16, 11, 128, dtype=torch.bfloat16),
        torch.empty(504, 2, 11, 128, dtype=torch.bfloat16),
    )
    sums, rows = 504 * 128 * 16 * 128 * 4, 504 * 128 * 16 * 4
    assert rehearsal.flash_workspace(query, query) == sums + rows
    assert rehearsal.flash_workspace(query, keys) == sums + rows + 2 * query.numel() * 2
    assert rehearsal.flash_workspace(query.float(), query.float()) == 0


@pytest.mark.slow
def test_moments_that_torch_makes_in_its_first_step_are_counted_once() -> None:
    """Its fused form, which the trainer takes on a card, needs nothing beside them."""
    found = rehearsed(train_settings("full", clips_per_step=4))
    (update,) = [phase for phase in found.phases if phase.name == "update"]
    assert update.activations < 0.02 * found.moments


@pytest.mark.slow
def test_gradients_that_are_released_never_lie_there_together() -> None:
    lean = train_settings("full", weights="bf16_stochastic", optimizer="adamw8bit", max_grad_norm=None)
    kept, released = rehearsed(lean), rehearsed(replace(lean, gradient_release=True))
    most = max(phase.gradients for phase in kept.phases)
    assert most == 2 * kept.num_parameters
    assert max(phase.gradients for phase in released.phases) < 0.2 * most


@pytest.mark.slow
def test_activations_grow_in_proportion_to_the_clips() -> None:
    train = train_settings("full")
    short, long = rehearsed(train, 10.0), rehearsed(train, 40.0)
    assert long.activations_per_position == pytest.approx(short.activations_per_position, rel=0.1)
    assert long.peak.activations > 3 * short.peak.activations


@pytest.mark.slow
def test_recomputation_leaves_a_fraction_of_the_activations_and_adds_arithmetic() -> None:
    full = rehearsed(train_settings("full"), 10.0)
    lean = rehearsed(train_settings("full", activation_checkpointing="all"), 10.0)
    assert lean.peak.activations < 0.6 * full.peak.activations
    assert 1.2 < lean.flops / full.flops < 1.4


@pytest.mark.parametrize("optimizer, weights", [
    *((name, "fp32") for name in optimizers.TABLE),
    ("paged_adamw8bit", "bf16_split16"), ("adamw8bit", "bf16_split8"), ("adamw8bit", "bf16_stochastic"), ("lion8bit", "bf16_split8"),
])  # fmt: skip
def test_optimizer_state_and_its_file_weigh_what_the_ledger_says(optimizer: str, weights: str) -> None:
    train = train_settings("full", optimizer=optimizer, weights=weights)
    model, trainable, lows = training.real_model(training.BASE, train)
    made = memory.optimizer(train, model.core, trainable, lows, 1)
    for parameter in trainable.values():
        parameter.grad = torch.zeros_like(parameter)
    memory.prepare(made, 1, 1e-3)
    made.step()
    kept = footprint.state(train, trainable)
    tensors = memory.state(made, trainable)
    real = {kind: 0 for kind in ("low", "moment")}
    for name, tensor in tensors.items():
        if not name.endswith(("::step", "::qmap1", "::qmap2")):
            real["low" if name.endswith("::low") else "moment"] += tensor.numel() * tensor.element_size()
    assert (kept.masters, kept.moments) == (real["low"], real["moment"])


@pytest.mark.parametrize("mode", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_checkpoint_and_a_state_weigh_what_the_plan_says(tmp_path: Path, mode: str) -> None:
    train = train_settings(mode, steps=1, checkpoint_every=1)
    root = training.corpus(tmp_path)
    loop.run(training.train_job(root, root / "run", train), lambda *_: None)
    planned = rehearsed(train)
    name = "model.safetensors" if mode == "full" else "lora_weights.safetensors"
    width = {"F32": 4, "BF16": 2, "U8": 1, "I16": 2, "I8": 1}
    written = read_header(
        root / "run/step_0000001" / name
    ).values()  # a header is 6 % of an adapter this small
    payload = sum(width[info.dtype] * info.num_values for info in written)
    assert payload == pytest.approx(planned.checkpoint, rel=0.01)
    stored = (
        (tensor_name, info)
        for path in (root / "run/state_0000001").glob("*.safetensors")
        for tensor_name, info in read_header(path).items()
    )
    kept = [
        info for tensor_name, info in stored if not tensor_name.endswith(("::step", "::qmap1", "::qmap2"))
    ]
    assert sum(width[info.dtype] * info.num_values for info in kept) == planned.state


@pytest.mark.slow
def test_the_largest_pass_is_found_as_the_trainer_will_draw_it(tmp_path: Path) -> None:
    root = training.corpus(tmp_path)
    train = train_settings("full", steps=9)
    job = jobs.RehearseJob(
        "voxcpm2", CONFIG, str(training.BASE), train, 1, None, str(root / "train.jsonl"), str(root / "latents"), 1, False
    )  # fmt: skip
    found = records.from_json(records.Rehearsal, rehearse.run(job, lambda *_: None), "rehearsal").size
    assert (
        len(found.positions) == train.clips_per_pass
        and "the largest pass of the run, in step" in found.source
    )
    step = int(found.source.split()[-1])
    rows = {row.clip_id: row for row in records.read(root / "train.jsonl", records.CleanClip)}
    lengths = {entry.clip_id: entry.num_positions for entry in index.read(root / "latents")}
    drawn = batches.Order(sorted(rows), train.clips_per_step, 1).of_step(step)
    assert sorted(found.positions) == sorted(lengths[one] for one in drawn)
    longest = max(
        sum(len(rows[one].text) for one in batches.Order(sorted(rows), 2, 1).of_step(number))
        for number in range(1, 10)
    )
    assert sum(len(rows[one].text) for one in drawn) > 0.9 * longest


def test_the_allocator_rounds_splits_merges_and_grows_by_pages() -> None:
    pool = Pool(page=100)
    first, second, third = pool.take(30), pool.take(30), pool.take(40)
    assert pool.reserved == 100 and {first, second, third} == {0, 30, 60}
    pool.give(first)
    pool.give(second)
    assert pool.take(60) == 0, "neighbours merge"
    pool.give(third)
    assert pool.take(130) == 60 and pool.reserved == 200, "a free block at the end is grown, not left behind"


def test_a_freed_gap_that_is_too_small_is_fragmentation() -> None:
    allocator = Allocator()
    for key in range(4):
        allocator.take(key, 10 << 20)
    before = allocator.reserved
    allocator.give(0)
    allocator.give(2)
    allocator.take(9, 11 << 20)
    assert before == 40 << 20 and allocator.reserved == 60 << 20


def test_a_family_without_a_sketch_is_refused_by_name() -> None:
    from voicelathe.families.optional import Plannable

    assert isinstance(families.find("voxcpm2"), Plannable)
