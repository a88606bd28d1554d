"""Every optimizer of the table: its rule against a few lines of arithmetic, its footprint, and that nothing else lists optimizers."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
from torch import Tensor, nn

from tests.factories import training
from voicelathe import digest, records
from voicelathe.config import checks, params, schema
from voicelathe.errors import ParamsError, RequestError
from voicelathe.plan import forecast
from voicelathe.stages import preflight
from voicelathe.train import memory, optimizers, precision, schedule
from voicelathe.train.optimizers.base import PAGED_FROM

ROOT = Path(__file__).parents[2]
RATE, DECAY, BETA1, BETA2, EPS = 0.01, 0.1, 0.8, 0.9, 1e-3


def settings(name: str, **changes: Any) -> schema.Train:
    made = training.train_settings("full", optimizer=name)
    return replace(made, learning_rate=RATE, weight_decay=DECAY, beta1=BETA1, beta2=BETA2, eps=EPS, **changes)


def built(train: schema.Train, out: int, into: int) -> tuple[Any, nn.Linear]:
    torch.manual_seed(0)
    layer = nn.Linear(into, out, bias=False)
    trained = dict(layer.named_parameters())
    return memory.optimizer(train, layer, trained, precision.narrow(layer, train.weights, trained), 1), layer


def gradients(layer: nn.Linear, count: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(layer.weight.shape, generator=draw) for _ in range(count)]


def adamw(weight: Tensor, found: list[Tensor]) -> Tensor:
    """Loshchilov and Hutter, 2019, algorithm 2."""
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, gradient in enumerate(found, 1):
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * gradient**2
        corrected = first / (1 - BETA1**step), second / (1 - BETA2**step)
        weight = weight * (1 - RATE * DECAY) - RATE * corrected[0] / (corrected[1].sqrt() + EPS)
    return weight


def lion(weight: Tensor, found: list[Tensor]) -> Tensor:
    """Chen et al., 2023, algorithm 2."""
    momentum = torch.zeros_like(weight)
    for gradient in found:
        weight = weight * (1 - RATE * DECAY) - RATE * (BETA1 * momentum + (1 - BETA1) * gradient).sign()
        momentum = BETA2 * momentum + (1 - BETA2) * gradient
    return weight


RULES: dict[str, Callable[[Tensor, list[Tensor]], Tensor]] = {"AdamW": adamw, "Lion": lion}


@pytest.mark.parametrize("name", optimizers.TABLE)
def test_a_small_parameter_is_updated_as_the_paper_says_with_the_betas_and_eps_of_the_recipe(
    name: str,
) -> None:
    made, layer = built(settings(name), out=8, into=16)
    start, found = layer.weight.detach().clone(), gradients(layer, 5)
    for number, gradient in enumerate(found, 1):
        memory.prepare(made, number, RATE)
        layer.weight.grad = gradient.clone()
        made.step()
    expected = RULES[optimizers.find(name).rule](start, found)
    assert float((expected - start).abs().min()) > 1e-4, "it moved"
    assert torch.allclose(layer.weight, expected, atol=2e-6)


@pytest.mark.parametrize("name", optimizers.of_bf16())
@pytest.mark.parametrize("limit", [1e9, 0.5])
def test_an_exact_master_follows_fp32_weights_bit_for_bit_also_where_gradients_are_clipped(
    name: str, limit: float
) -> None:
    ends = []
    for weights in ("fp32", "bf16_split16"):
        made, layer = built(settings(name, weights=weights), out=64, into=80)
        for number, gradient in enumerate(gradients(layer, 5), 1):
            memory.prepare(made, number, RATE)
            layer.weight.grad = gradient.to(torch.bfloat16).to(layer.weight.dtype)
            trained = dict(layer.named_parameters())
            norm = memory.global_norm(memory.gradient_norms(trained))
            memory.clip(made, trained, norm, limit)
            made.step()
        low = made.state[layer.weight].get("low")
        ends.append(layer.weight.data if low is None else precision.join(layer.weight.data, low))
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", optimizers.TABLE)
def test_the_footprint_says_what_is_kept_of_a_large_parameter(name: str) -> None:
    made, layer = built(settings(name), out=400, into=256)
    layer.weight.grad = torch.zeros_like(layer.weight)
    memory.prepare(made, 1, RATE)
    made.step()
    kept = {key: value for key, value in made.state[layer.weight].items() if re.fullmatch(r"(state|absmax)\d|exp_avg(_sq)?", key)}  # fmt: skip
    footprint, size = optimizers.find(name).footprint, layer.weight.numel()
    assert size >= PAGED_FROM and sum(
        one.numel() * one.element_size() for one in kept.values()
    ) == footprint.kept(size)
    assert footprint.bytes_a_value == footprint.kept(size) / size
    assert (
        footprint.paged(size) == (2 * size if name == "paged_adamw8bit" else 0) and footprint.paged(1000) == 0
    )


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        *((name, "fp32") for name in optimizers.TABLE),
        *((name, "bf16_split16") for name in optimizers.of_bf16()),
    ],
)
def test_a_change_that_the_plan_offers_is_no_other_rule_and_is_taken_by_params_yaml(
    name: str, weights: str
) -> None:
    whole = params.load(ROOT / "params.yaml")
    train = replace(whole.recipes["mini-full"].train, optimizer=name, weights=weights)
    for text, changed in forecast.changes(train):
        assert optimizers.find(changed.optimizer).rule == optimizers.find(name).rule, text
        assert list(checks.of_memory("x", changed)) == []


def test_an_optimizer_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    tree = params.read_yaml(ROOT / "params.yaml")
    tree["recipes"]["mini-full"]["train"]["optimizer"] = "adam"
    with pytest.raises(
        ParamsError, match=r"optimizer = 'adam': no such optimizer; there are adamw, adamw8bit, lion8bit"
    ):
        params.check(tree, "params.yaml")
    with pytest.raises(RequestError, match="no such optimizer"):
        optimizers.find("adam")


def test_nothing_outside_its_room_names_an_optimizer() -> None:
    names = re.compile(rf"\b({'|'.join(optimizers.TABLE)})\b")
    room = ROOT / "src/voicelathe/train/optimizers"
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sorted((ROOT / "src").rglob("*.py"))
        if path.parent != room
        and (lines := [line.strip() for line in path.read_text().splitlines() if names.search(line)])
    }
    assert names.search("paged_adamw8bit or x") and names.search('!= "adamw"') and found == {}


def test_the_table_of_docs_memory_md_is_the_table_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|$", (ROOT / "docs/memory.md").read_text(), re.MULTILINE)
    written = {name: cells.split(" | ") for name, cells in rows if name in optimizers.TABLE}
    known = {name: optimizers.find(name) for name in optimizers.TABLE}
    assert written == {
        name: [
            one.rule,
            one.says,
            f"{one.footprint.bytes_a_value:.2f}",
            "yes" if one.footprint.scales_itself else "no",
        ]
        for name, one in known.items()
    }


SHAPED = replace(training.train_settings(steps=100), learning_rate=2.0, warmup_steps=10)


def rates(shape: str, decay_steps: int | None = None) -> list[float]:
    train = replace(SHAPED, schedule=shape, decay_steps=decay_steps)
    return [schedule.learning_rate(step, train) for step in range(1, 101)]


@pytest.mark.parametrize("shape", schedule.SHAPES)
def test_every_schedule_warms_up_to_its_peak_and_never_rises_after_it(shape: str) -> None:
    found = rates(shape, 20 if shape == "warmup_stable_decay" else None)
    assert found[0] == pytest.approx(0.2) and found[9] == max(found) == 2.0
    assert all(later <= earlier for earlier, later in itertools.pairwise(found[9:]))


def test_schedules_end_where_they_should_and_have_their_shape_between() -> None:
    assert set(schedule.SHAPES) == set(get_type_hints(schema.Train)["schedule"].__args__)
    assert rates("constant")[-1] == 2.0
    assert rates("linear")[54] == pytest.approx(1.0) and rates("linear")[-1] == 0.0
    assert rates("cosine")[54] == pytest.approx(1.0) and rates("cosine")[32] > rates("linear")[32]
    stable = rates("warmup_stable_decay", 20)
    assert stable[79] == 2.0 and stable[89] == pytest.approx(1.0) and stable[-1] == 0.0


@pytest.mark.parametrize(("changes", "message"), [
    ({"schedule": "warmup_stable_decay"}, "needs the number of its last steps"),
    ({"decay_steps": 5}, "decay_steps = 5: schedule: cosine has none; set null"),
    ({"schedule": "warmup_stable_decay", "decay_steps": 56}, r"together with warmup_steps \(5\) more than steps \(60\)"),
    ({"schedule": "polynomial"}, "'constant', 'linear', 'cosine' or 'warmup_stable_decay'"),
    ({"beta1": 1.0}, "less than 1"), ({"eps": 0}, "greater than 0"),
])  # fmt: skip
def test_a_schedule_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    tree = params.read_yaml(ROOT / "params.yaml")
    tree["recipes"]["mini-full"]["train"].update(changes)
    with pytest.raises(ParamsError, match=message):
        params.check(tree, "params.yaml")


def test_a_trial_of_a_few_steps_keeps_its_schedule_and_fits_in_them() -> None:
    whole = params.load(ROOT / "params.yaml")
    one = whole.recipes["mini-full"]
    train = preflight.trial(
        replace(one, train=replace(one.train, schedule="warmup_stable_decay", decay_steps=20))
    )
    assert train.schedule == "warmup_stable_decay" and train.steps < 20
    assert list(checks.of_schedule("x", train)) == []


def test_runs_of_before_keep_their_digest_and_other_choices_have_their_own() -> None:
    before = training.train_settings()
    assert {"schedule", "decay_steps", "beta1", "beta2", "eps"}.isdisjoint(records.to_json(before))
    chosen = replace(before, schedule="linear", beta2=0.99)
    written = records.to_json(chosen)
    assert written["schedule"] == "linear" and written["beta2"] == 0.99
    assert records.from_json(schema.Train, written, "train") == chosen
    assert digest.of_value(written) != digest.of_value(records.to_json(before))
