"""One optimizer step of 8 mixed clips, VoxCPM 2, CPU, one thread: our packed pass against upstream's loop of one clip at a time.

Usage:  python -m benchmarks.bench_step [full|lora]
The model has about 20 M random parameters in the real model's proportions. Baseline: upstream's own model and codec, batch 1 x 8,
audio encoded in the loop, as its trainer does; a second baseline has the latents given.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import table
from tests.factories import voxcpm2_base
from tests.families.voxcpm import upstream_voxcpm as upstream
from voicelathe import families, rng
from voicelathe.config import schema
from voicelathe.families.base import Recompute
from voicelathe.families.voxcpm import losses as voxcpm_losses
from voicelathe.train import adapters

CLIPS = [
    (18, 22),
    (31, 40),
    (12, 14),
    (44, 55),
    (25, 30),
    (9, 10),
    (37, 45),
    (21, 26),
]  # text tokens, audio positions
LORA = schema.Lora(rank=32, alpha=32.0, dropout=0.0, scope=["lm", "dit"])
TEXT_IDS, FRAMES, WIDTH = 400, 4, 32


def overrides() -> dict[str, Any]:
    """About 20 M parameters: 28 -> 7 LM layers, 8 -> 2 residual, 12 -> 3 local, local width half of the LM's."""
    described = voxcpm2_base.config()
    factors = [1.0] * 32
    language = {
        **described["lm_config"], "hidden_size": 384, "intermediate_size": 1152, "num_attention_heads": 6, "num_hidden_layers": 7,
        "kv_channels": 64,
        "rope_scaling": {**described["lm_config"]["rope_scaling"], "long_factor": factors, "short_factor": factors},
    }  # fmt: skip
    local = {"hidden_dim": 192, "ffn_dim": 768, "num_heads": 4, "num_layers": 3, "kv_channels": 64}
    return {
        "lm_config": language, "residual_lm_num_layers": 2, "encoder_config": local,
        "dit_config": {**described["dit_config"], **local}, "scalar_quantization_latent_dim": 96,
    }  # fmt: skip


def main(mode: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        voxcpm2_base.write(base, overrides())
        family: Any = families.find("voxcpm2")
        machine = schema.Machine("cpu", 1, 1)
        facts = family.describe(base, "", False)
        model = family.open_model(base, facts, machine)
        codec = family.open_encoder(base, facts, machine).vae
        if mode == "lora":
            adapters.inject(model.core, LORA, model.adapter_targets(LORA.scope), 0)
        plan = model.trainable(mode)
        model.core.train()
        print(measure(model.core, codec, list(plan.trainable.values()), mode))


def measure(
    model: Any,
    codec: Any,
    parameters: list[torch.nn.Parameter],
    mode: str,
    rate_hz: int = 16000,
    repeats: int = table.REPEATS,
) -> str:
    """One table. A position is 0.16 s of audio in every VoxCPM."""
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(105, TEXT_IDS, (text,), generator=generator) for text, _ in CLIPS]
    latents = [torch.randn((audio, FRAMES, WIDTH), generator=generator) for _, audio in CLIPS]
    audio = [
        torch.randn((1, 1, length * round(0.16 * rate_hz)), generator=generator) * 0.1 for _, length in CLIPS
    ]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def theirs(encode: bool) -> None:
        for text, latent, samples in zip(texts, latents, audio, strict=True):
            found = encoded(codec, samples, rate_hz) if encode else latent
            difference, stop = upstream.losses(model, upstream.sequence(text, found, None), 0)
            ((difference + stop) / len(texts)).backward()
        update()

    empty = voxcpm_losses.pack(texts, latents, [None] * len(texts), torch.device("cpu"))
    with torch.no_grad():  # once for a whole run; only LoRA outside `proj` may use it
        patches = voxcpm_losses.encoded(model, empty.fed_FPD)

    def ours(recompute: Recompute, cached: bool = False) -> None:
        pack = voxcpm_losses.pack(texts, latents, [None] * len(texts), torch.device("cpu"))
        if cached:
            pack = replace(pack, patches_FC=patches)
        noise = voxcpm_losses.draw(
            pack, [rng.key(0, "bench", n) for n in range(len(texts))], 0.1, "log-norm", None
        )
        losses = voxcpm_losses.losses(model, pack, noise, recompute)
        (losses["diff"] + losses["stop"]).mean().backward()
        update()

    cases = {
        "upstream, audio encoded in the loop": lambda: theirs(True),
        "upstream, latents given": lambda: theirs(False),
        "ours, packed": lambda: ours("none"),
        "ours, packed, activations recomputed": lambda: ours("all"),
    }
    if mode.endswith("lora"):  # a recipe's `cache_encoder`
        cases["ours, packed, encoder cached"] = lambda: ours("none", True)
        cases["ours, packed, encoder cached, recomputed"] = lambda: ours("all", True)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return table.rows(
        f"{mode}, {millions:.1f} M parameters",
        table.interleaved(cases, repeats),
        "upstream, audio encoded in the loop",
    )


@torch.inference_mode()
def encoded(codec: Any, samples: Tensor, rate_hz: int) -> Tensor:
    latent: Tensor = codec.encode(samples, rate_hz)[0].T.reshape(-1, FRAMES, WIDTH)
    return latent.clone()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or ["full", "lora"]:
        main(chosen)
