"""One optimizer step of 8 mixed clips in the other families, CPU, one thread: packed against one clip at a time.

Usage:  python -m benchmarks.bench_families [voxcpm15-full|voxcpm15-lora|qwen3_tts-full|qwen3_tts-lora|cosyvoice3-full|cosyvoice3-lora]
Random models of about 20 M parameters in the real proportions. VoxCPM 1.5: against upstream's own loop, audio encoded in it, as
in bench_step. Qwen3-TTS: against upstream's own forward clip by clip with codes given (its trainer has them, too) and every shift
done once; upstream's trainer itself pads a batch and computes another, wrong loss. CosyVoice 3: against the same Qwen2 on one clip at a
time and on a padded batch as upstream's trainer makes them (equal losses: tests/families/cosyvoice3/test_cosyvoice3.py).
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from benchmarks import bench_step, table
from tests.factories import qwen_base, voxcpm15_base
from tests.families.qwen3_tts import upstream_qwen3_tts as upstream
from voicelathe import families
from voicelathe.config import schema
from voicelathe.families.cosyvoice3 import losses
from voicelathe.train import adapters

REPEATS = 5
FRAMES = (44, 80, 28, 110, 60, 20, 90, 52)  # 1.6 to 8.8 s at 12.5 Hz, the lengths of bench_step
WORDS = (
    "nobody speaks of rain in this small town and the lamp is on in every quiet house along the road tonight"
)


def voxcpm15(mode: str) -> str:
    """24, 8, 8 and 8 layers of the real model are 12, 4, 4 and 4 of a quarter of its width."""
    described = voxcpm15_base.config()
    scaling = {
        **described["lm_config"]["rope_scaling"],
        "long_factor": [1.0] * 32,
        "short_factor": [1.0] * 32,
    }
    language = {
        **described["lm_config"], "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 12, "kv_channels": 64, "rope_scaling": scaling,
    }  # fmt: skip
    local = {"hidden_dim": 256, "ffn_dim": 1024, "num_heads": 4, "num_layers": 4, "kv_channels": 64}
    overrides = {
        "lm_config": language, "residual_lm_num_layers": 4, "encoder_config": local, "scalar_quantization_latent_dim": 64,
        "dit_config": {**described["dit_config"], **local},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        base = voxcpm15_base.write(Path(folder), overrides=overrides)
        family, model = _load("voxcpm15", base)
        codec = family.open_encoder(base, model.facts, schema.Machine("cpu", 1, 1)).vae
        parameters = _trained(model, mode, ["lm", "dit"])
        return bench_step.measure(
            model.core, codec, parameters, f"VoxCPM 1.5, {mode}", rate_hz=44100, repeats=REPEATS
        )


def qwen3_tts(mode: str) -> str:
    """28 layers and a predictor of 5 become 8 and 2; the code tables stay large, as they are."""
    predictor = {
        "model_type": "qwen3_tts_talker_code_predictor", "hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 2,
        "head_dim": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "num_code_groups": 16, "vocab_size": 2048,
        "rope_theta": 1000000, "max_position_embeddings": 4096,
    }  # fmt: skip
    rope = {"rope_type": "default", "type": "default", "interleaved": True, "mrope_section": [12, 10, 10]}
    talker = {
        "hidden_size": 320, "text_hidden_size": 320, "intermediate_size": 960, "num_hidden_layers": 8, "head_dim": 64,
        "num_attention_heads": 5, "num_key_value_heads": 1, "rope_scaling": rope, "code_predictor_config": predictor,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        family, model = _load("qwen3_tts", qwen_base.write(Path(folder), **talker))
        parameters = _trained(model, mode, ["talker"])
        items = [
            upstream.clip(number, frames, WORDS[: frames + 8], width=320)
            for number, frames in enumerate(FRAMES)
        ]
        model.prepare(items)
        optimizer = torch.optim.AdamW(parameters, lr=1e-5)

        def total(losses: Any) -> Any:
            return sum(family.spec.loss_weights[name] * loss for name, loss in losses.items())

        def update() -> None:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        def theirs() -> None:
            for item in items:
                losses = upstream.losses(model, item, model.voices["awb"], "english")
                (total(losses) / len(items)).backward()
            update()

        def ours(size: int, recompute: str) -> None:
            model.checkpoint_blocks(recompute)
            for start in range(0, len(items), size):
                batch = model.collate(items[start : start + size])
                (total(model.losses(batch, None)).sum() / len(items)).backward()
            update()

        cases = {
            "upstream's forward, one clip at a time": theirs,
            "ours, one clip at a time": lambda: ours(1, "none"),
            "ours, packed": lambda: ours(8, "none"),
            "ours, packed, activations recomputed": lambda: ours(8, "all"),
        }
        millions = sum(parameter.numel() for parameter in model.core.parameters()) / 1e6
        title = f"Qwen3-TTS, {mode}, {millions:.1f} M parameters"
        return table.rows(title, table.interleaved(cases, REPEATS), "upstream's forward, one clip at a time")


def cosyvoice3(mode: str) -> str:
    """24 layers of 896 become 8 of 320; the speech table keeps its 6561 tokens, the text table is cut to 20,000."""
    sizes = {
        "hidden_size": 320, "intermediate_size": 1738, "num_hidden_layers": 8, "num_attention_heads": 5, "num_key_value_heads": 1,
        "vocab_size": 20000,
    }  # fmt: skip
    family: Any = families.find("cosyvoice3")
    model = family.sketch({**family.published, **sizes}, None).model
    core = model.core
    parameters = _trained(model, mode, ["attention"])
    generator = torch.Generator().manual_seed(0)
    clips = [
        losses.ClipTokens(*(torch.randint(0, most, (n,), generator=generator) for most, n in ((20000, 7), (20000, 4 + frames // 4), (6561, 2 * frames))))
        for frames in FRAMES
    ]  # fmt: skip
    optimizer = torch.optim.AdamW(parameters, lr=1e-5)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def padded(size: int) -> None:
        for start in range(0, len(clips), size):
            (_padded_loss(core, clips[start : start + size]) * size / len(clips)).backward()
        update()

    def ours(size: int, recompute: str) -> None:
        model.checkpoint_blocks(recompute)
        for start in range(0, len(clips), size):
            part = clips[start : start + size]
            packed = model.draw(part, range(len(part)), (0, 1))
            (model.losses(part, packed)["lm"].sum() / len(clips)).backward()
        update()

    cases = {
        "Qwen2, one clip at a time": lambda: padded(1),
        "Qwen2, a padded batch": lambda: padded(8),
        "ours, one clip at a time": lambda: ours(1, "none"),
        "ours, packed": lambda: ours(8, "none"),
        "ours, packed, activations recomputed": lambda: ours(8, "all"),
    }
    millions = sum(parameter.numel() for parameter in core.parameters()) / 1e6
    title = f"CosyVoice 3, {mode}, {millions:.1f} M parameters"
    return table.rows(title, table.interleaved(cases, REPEATS), "Qwen2, one clip at a time")


def _padded_loss(core: Any, clips: list[Any]) -> torch.Tensor:
    """As upstream's forward: embed, pad, one attention mask, logits of every position, a mean over the targets."""
    ids = losses.Ids.of(core)
    rows, targets = [], []
    for clip in clips:
        words = core.llm.model.model.embed_tokens(torch.cat([clip.instruction, clip.text]))
        first, sounds = (
            core.speech_embedding(one)
            for one in (torch.tensor([ids.sos]), torch.cat([torch.tensor([ids.task]), clip.speech]))
        )
        rows.append(torch.cat([first, words, sounds]))
        nothing = torch.full((1 + len(words),), -1)
        targets.append(torch.cat([nothing, clip.speech, torch.tensor([ids.end])]))
    embedded, target = (
        pad_sequence(rows, batch_first=True),
        pad_sequence(targets, batch_first=True, padding_value=-1),
    )
    mask = pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True)
    states = core.llm.model.model(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
    return F.cross_entropy(core.llm_decoder(states).flatten(0, 1), target.flatten(), ignore_index=-1)


def _load(name: str, base: Path) -> tuple[Any, Any]:
    family: Any = families.find(name)
    return family, family.open_model(base, family.describe(base, "", False), schema.Machine("cpu", 1, 1))


def _trained(model: Any, mode: str, scope: list[str]) -> list[torch.nn.Parameter]:
    if mode == "lora":
        lora = schema.Lora(rank=16, alpha=32.0, dropout=0.0, scope=scope)
        adapters.inject(model.core, lora, model.adapter_targets(scope), 0)
    model.core.train()
    return list(model.trainable(mode).trainable.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = [
        f"{name}-{mode}" for name in ("voxcpm15", "qwen3_tts", "cosyvoice3") for mode in ("full", "lora")
    ]
    for case in sys.argv[1:] or cases:
        name, _, mode = case.partition("-")
        print(
            {"voxcpm15": voxcpm15, "qwen3_tts": qwen3_tts, "cosyvoice3": cosyvoice3}[name](mode), flush=True
        )
