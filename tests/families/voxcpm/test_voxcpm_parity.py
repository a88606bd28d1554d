"""The packed forward against upstream's own forward, clip by clip, with the same random numbers."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.families.voxcpm import upstream_voxcpm as upstream
from voicelathe import families
from voicelathe.config import schema
from voicelathe.families.base import Recompute
from voicelathe.families.voxcpm import losses
from voicelathe.train import adapters

LORA = schema.Lora(rank=8, alpha=16.0, dropout=0.0, scope=["lm", "dit", "proj"])
LENGTHS = [
    (12, 9, 0),
    (3, 1, 0),
    (20, 14, 6),
    (7, 22, 0),
]  # text tokens, audio positions, reference positions


Load = Callable[[], Any]


def family(model: Any) -> Any:
    return families.find(model.facts.family)


def clips(model: Any) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    generator = torch.Generator().manual_seed(7)
    shape = (model.config.patch_size, model.config.feat_dim)
    made = []
    for text, audio, reference in LENGTHS:
        ids = torch.randint(105, 400, (text,), generator=generator)
        latents = torch.randn((audio, *shape), generator=generator)
        made.append(
            (ids, latents, torch.randn((reference, *shape), generator=generator) if reference else None)
        )
    return made


def gradients(model: Any) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def worst_relative_error(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert set(ours) == set(theirs)
    return max(
        float((ours[name] - grad).norm() / grad.norm().clamp_min(1e-12)) for name, grad in theirs.items()
    )


def with_adapters(model: Any) -> None:
    """LoRA whose B is not zero, so that both factors get a gradient."""
    adapters.inject(model.core, LORA, model.adapter_targets(LORA.scope), seed=1)
    with torch.no_grad():
        for name, parameter in model.core.named_parameters():
            if "lora_B" in name:
                parameter.copy_(
                    torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.05
                )
    model.trainable("lora")


@pytest.mark.parametrize("mode", ["full", "lora"])
@pytest.mark.parametrize("recompute", ["none", "decoder", "all"])
@pytest.mark.parametrize(
    "order",
    [(0, 1, 2, 3), pytest.param((3, 2), marks=pytest.mark.slow), pytest.param((1,), marks=pytest.mark.slow)],
)
def test_loss_and_every_gradient_equal_upstream_s_forward(
    voxcpm: Load, mode: str, recompute: Recompute, order: tuple[int, ...]
) -> None:
    loaded = voxcpm()
    if mode == "lora":
        with_adapters(loaded)
    model, chosen = loaded.core, [clips(loaded.core)[number] for number in order]
    theirs, drawn = [], []
    for number, clip in enumerate(chosen):
        inputs = upstream.sequence(*clip)
        difference, stop = upstream.losses(model, inputs, seed=100 + number)
        ((difference + stop) / len(chosen)).backward()
        theirs.append((difference.item(), stop.item()))
        drawn.append(upstream.noise(model, inputs, seed=100 + number))
    expected = gradients(model)

    pack = losses.pack(*(list(column) for column in zip(*chosen, strict=True)), torch.device("cpu"))
    ours = losses.losses(model, pack, upstream.joined(drawn), recompute)
    (ours["diff"] + ours["stop"]).mean().backward()

    for name, column in (("diff", 0), ("stop", 1)):
        assert ours[name].tolist() == pytest.approx([pair[column] for pair in theirs], abs=1e-6)
    assert worst_relative_error(gradients(model), expected) < 1e-5


def test_a_clip_has_the_same_loss_whoever_is_packed_beside_it(voxcpm: Load) -> None:
    model = voxcpm()
    model.core.eval()
    members, keys = clips(model.core), [11, 12, 13, 14]

    def per_clip(order: list[int]) -> list[float]:
        chosen = [members[number] for number in order]
        pack = losses.pack(*(list(column) for column in zip(*chosen, strict=True)), torch.device("cpu"))
        noise = losses.draw(pack, [keys[number] for number in order], 0.1, "log-norm", None)
        with torch.no_grad():
            return losses.losses(model.core, pack, noise, "none")["diff"].tolist()

    together, alone = per_clip([2, 0, 3, 1]), [per_clip([number])[0] for number in (2, 0, 3, 1)]
    assert together == pytest.approx(alone, abs=1e-6)


def test_frozen_noise_repeats_exactly_and_drops_no_condition(voxcpm: Load) -> None:
    chosen = clips(voxcpm().core)
    pack = losses.pack(*(list(column) for column in zip(*chosen, strict=True)), torch.device("cpu"))
    first, second = (losses.draw(pack, [1, 2, 3, 4], 0.5, "log-norm", (1, 4)) for _ in range(2))
    assert torch.equal(first.noise_APD, second.noise_APD) and torch.equal(first.time_A, second.time_A)
    assert first.keep_A.all()


def test_frozen_times_cover_the_schedule_evenly_over_the_passes(voxcpm: Load) -> None:
    chosen = [clips(voxcpm().core)[3]]
    pack = losses.pack(*(list(column) for column in zip(*chosen, strict=True)), torch.device("cpu"))
    times = torch.cat([losses.draw(pack, [5], 0.0, "uniform", (number, 4)).time_A for number in range(4)])
    even = (torch.arange(len(times)) + 0.5) / len(times)
    assert torch.allclose(times.sort().values, even, atol=1e-6)


def test_training_times_follow_upstream_s_log_normal_schedule(voxcpm: Load) -> None:
    chosen = [clips(voxcpm().core)[3]] * 200
    pack = losses.pack(*(list(column) for column in zip(*chosen, strict=True)), torch.device("cpu"))
    noise = losses.draw(pack, list(range(200)), 0.1, "log-norm", None)
    logits = torch.logit(noise.time_A.double())
    assert float(logits.mean()) == pytest.approx(-0.4, abs=0.05) and float(logits.std()) == pytest.approx(
        1.0, abs=0.05
    )
    assert float(noise.keep_A.float().mean()) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("scope", [["lm"], ["dit"], ["lm", "dit"], ["lm", "dit", "proj"]])
def test_adapters_sit_on_exactly_the_linears_that_upstream_s_lora_wraps(
    voxcpm: Load, scope: list[str]
) -> None:
    model = voxcpm()
    form = family(model).format
    module = import_module(f"voxcpm.model.{form.module}")
    chosen = {f"enable_{one}": one in scope for one in ("lm", "dit", "proj")}
    reference = getattr(module, form.model).from_local(
        str(model.base), optimize=False, training=True, device="cpu",
        lora_config=module.LoRAConfig(r=4, alpha=8, **chosen),
    )  # fmt: skip
    wrapped = {
        name.removesuffix(".lora_A") for name, _ in reference.named_parameters() if name.endswith(".lora_A")
    }
    lora = schema.Lora(4, 8.0, 0.0, scope)
    assert set(adapters.inject(model.core, lora, model.adapter_targets(scope), 0)) == wrapped


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_bf16_autocast_over_fp32_weights_runs_and_stays_near_fp32(voxcpm: Load, mode: str) -> None:
    """The recipes for a GPU compute in bf16; the CPU's autocast stands in for it."""
    model = voxcpm()
    if mode == "lora":
        with_adapters(model)
    pack = losses.pack(
        *(list(column) for column in zip(*clips(model.core), strict=True)), torch.device("cpu")
    )
    noise = losses.draw(pack, [1, 2, 3, 4], 0.1, "log-norm", None)
    exact = losses.losses(model.core, pack, noise, "all")
    with torch.autocast("cpu", torch.bfloat16):
        rough = losses.losses(model.core, pack, noise, "all")
    (rough["diff"] + rough["stop"]).mean().backward()
    moved = [p for p in model.core.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in moved)
    assert torch.allclose(rough["diff"], exact["diff"], rtol=0.02)
    assert torch.allclose(rough["stop"], exact["stop"], rtol=0.02)
