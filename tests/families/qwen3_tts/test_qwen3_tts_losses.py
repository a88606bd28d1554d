"""The packed losses of Qwen3-TTS against upstream's own forward, clip by clip, and against themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.families.qwen3_tts import upstream_qwen3_tts as upstream
from voicelathe import families
from voicelathe.config import schema
from voicelathe.families.base import ClipItem
from voicelathe.families.qwen3_tts import losses as packed
from voicelathe.train import adapters

FAMILY = families.find("qwen3_tts")
LORA = schema.Lora(rank=4, alpha=8.0, dropout=0.0, scope=["talker", "code_predictor"])
NAMES = {"en": "english", "zh": "chinese", "auto": "auto"}
Load = Callable[..., Any]


def ready(load: Load, mode: str = "full") -> Any:
    """Loaded for training, with adapters whose B is not zero, and with the speakers of the clips."""
    model = load()
    if mode == "lora":
        adapters.inject(model.core, LORA, model.adapter_targets(LORA.scope), seed=1)
        with torch.no_grad():
            for name, parameter in model.core.named_parameters():
                if "lora_B" in name:
                    generator = torch.Generator().manual_seed(len(name))
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    model.trainable(mode)
    model.prepare(upstream.clips())
    model.core.train()
    return model


def theirs(model: Any, item: ClipItem) -> dict[str, Tensor]:
    voice = model.voices[item.speaker_id.lower()]
    return upstream.losses(model, item, voice, NAMES[item.language])


def total(losses: dict[str, Tensor]) -> Tensor:
    found = sum(FAMILY.spec.loss_weights[name] * loss for name, loss in losses.items())
    assert isinstance(found, Tensor)
    return found


def gradients(model: Any) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("mode", ["full", "lora"])
@pytest.mark.parametrize("recompute", ["none", "decoder", "all"])
@pytest.mark.parametrize(
    "order",
    [(0, 1, 2, 3), pytest.param((2, 0), marks=pytest.mark.slow), pytest.param((1,), marks=pytest.mark.slow)],
)
def test_losses_and_every_gradient_equal_upstream_s_forward(
    qwen: Load, mode: str, recompute: Any, order: tuple[int, ...]
) -> None:
    model = ready(qwen, mode)
    model.checkpoint_blocks(recompute)
    chosen = [upstream.clips()[number] for number in order]
    wanted = [theirs(model, item) for item in chosen]
    for found in wanted:
        (total(found) / len(chosen)).backward()
    expected = gradients(model.core)

    ours = model.losses(model.collate(chosen), None)
    total(ours).mean().backward()
    for name, values in ours.items():
        assert values.tolist() == pytest.approx([float(found[name].detach()) for found in wanted], abs=1e-5)
    found = gradients(model.core)
    assert set(found) == set(expected)
    worst = max(float((found[n] - g).norm() / g.norm().clamp_min(1e-12)) for n, g in expected.items())
    assert worst < 1e-5


def test_the_training_sequence_begins_with_exactly_what_generation_feeds(qwen: Load) -> None:
    model = ready(qwen)
    for item in upstream.clips():
        prompt = upstream.prompt(model, item, model.voices[item.speaker_id.lower()], NAMES[item.language])
        ours = packed.embedded(model.core.talker, model.collate([item]))
        assert ours.shape[0] == prompt.shape[1] + len(item.tensors["codes"])
        assert torch.allclose(ours[: prompt.shape[1]], prompt[0], atol=1e-6)


def test_a_clip_has_the_same_losses_whoever_is_packed_beside_it(qwen: Load) -> None:
    model, clips = ready(qwen), upstream.clips()
    with torch.no_grad():
        together = model.losses(model.collate([clips[n] for n in (2, 0, 3, 1)]), None)
        for row, number in enumerate((2, 0, 3, 1)):
            alone = model.losses(model.collate([clips[number]]), None)
            for name, values in together.items():
                assert float(values[row]) == pytest.approx(float(alone[name][0]), abs=1e-5)


def test_perfect_predictions_score_nothing(qwen: Load) -> None:
    """Logits that are certain of what is fed NEXT, by position in the stream: any other shift would score 40."""
    model, clips = ready(qwen), upstream.clips()
    pack = model.collate(clips)
    end = model.core.config.talker_config.codec_eos_token_id
    rows, start = torch.full((len(pack.text_T), 3072), -20.0), 0
    for item in clips:
        codes = item.tensors["codes"].long()
        prompt = upstream.prompt(model, item, model.voices[item.speaker_id.lower()], NAMES[item.language])
        first = start + prompt.shape[1]
        for at, code in enumerate([*codes[:, 0].tolist(), end]):
            rows[first - 1 + at, code] = 20.0  # the position in front of the frame, or of the end
        start = first + len(codes)
    rest = torch.full((len(pack.codes_FG), 15, 2048), -20.0)
    every = torch.cat([item.tensors["codes"].long() for item in clips])
    rest.scatter_(2, every[:, 1:, None], 20.0)
    perfect = packed.score(rows[pack.predicts_at_N], rest, pack)
    for name, values in perfect.items():
        assert float(values.max()) <= 1e-4, name
    shifted = packed.score(rows[(pack.predicts_at_N + 1).clamp_max(len(rows) - 1)], rest.roll(1, 1), pack)
    assert float(shifted["codec0"].min()) > 10 and float(shifted["sub_talker"].min()) > 30


def test_the_end_is_among_the_targets_and_reported_alone(qwen: Load) -> None:
    model, item = ready(qwen), upstream.clip(5, 4, "Rain.")
    losses = model.losses(model.collate([item]), None)
    logits, _, before = upstream.forward(
        model, item, item.tensors["speaker"][0] * 0 + model.voices["awb"], "english"
    )
    row = logits[int(before) - 1 :].log_softmax(-1)
    by_hand = [
        -float(row[n, code]) for n, code in enumerate([*item.tensors["codes"][:, 0].long().tolist(), 2150])
    ]
    assert float(losses["codec0_eos"][0]) == pytest.approx(by_hand[-1], abs=1e-5)
    assert float(losses["codec0"][0]) == pytest.approx(sum(by_hand) / 5, abs=1e-5)


def test_another_language_or_speaker_changes_the_losses(qwen: Load) -> None:
    model = ready(qwen)

    def loss(**changes: Any) -> float:
        item = upstream.clip(1, 9, "The lamp is on.", **changes)
        with torch.no_grad():
            return float(model.losses(model.collate([item]), None)["codec0"][0])

    found = [loss(), loss(language="zh"), loss(language="auto"), loss(speaker="Bea")]
    assert len({round(value, 6) for value in found}) == 4
    assert loss(language="en-GB") == loss(language="english") == found[0]


def test_bf16_autocast_over_fp32_weights_runs_and_stays_near_fp32(qwen: Load) -> None:
    model = ready(qwen, "lora")
    pack = model.collate(upstream.clips())
    exact = model.losses(pack, None)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.losses(pack, None)
    total(rough).mean().backward()
    moved = [p for p in model.core.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in moved)
    for name in exact:
        assert torch.allclose(rough[name], exact[name], rtol=0.02)
