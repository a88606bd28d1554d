"""A small random IndexTTS2 in the official on-disk layout: names, shapes and file names of the published model.

Every tensor is drawn by its name, so the numbers are the same on any version of transformers. The encoders' tensors stand in for
upstream's: they are carried through, never run. Features come from `features`, since only upstream's own code makes them from sound.
"""

import io
import math
from pathlib import Path
from typing import Any

WIDTH, LATENTS, CODES = 32, 32, 8192
SHAPE: dict[str, Any] = {
    "layers": 2, "model_dim": WIDTH, "heads": 4, "max_text_tokens": 60, "max_mel_tokens": 200, "number_text_tokens": 60,
    "number_mel_codes": CODES + 2, "start_mel_token": CODES, "stop_mel_token": CODES + 1, "start_text_token": 0, "stop_text_token": 1,
    "mel_length_compression": 1024, "use_mel_codes_as_input": True, "train_solo_embeddings": False, "condition_type": "conformer_perceiver",
}  # fmt: skip
ENCODER = {
    "output_size": 32, "linear_units": 64, "attention_heads": 2, "num_blocks": 1, "input_layer": "conv2d2", "perceiver_mult": 2,
}  # fmt: skip
TEXT = [
    "THE LAMP IS ON AND NOBODY SPEAKS OF RAIN IN THIS TOWN", "IT RAINS. A QUIET HOUSE, A LONG ROAD!", "WHO WALKED BY? WE DO NOT KNOW",
    "JUMPING FOXES VEX THE LAZY DOGS WITH QUIZZES", "FIVE BRICKS, SIX CATS AND A ZEBRA",
]  # fmt: skip


def write(out: Path, seed: int = 0, **shape: Any) -> Path:
    """Write the directory; gives it back. `shape` overrides entries of `gpt`."""
    import torch
    import yaml

    out.mkdir(parents=True, exist_ok=True)
    gpt = {**SHAPE, "condition_module": ENCODER, "emo_condition_module": ENCODER, **shape}
    settings = {
        "dataset": {"bpe_model": "bpe.model", "sample_rate": 24000},
        "gpt": gpt,
        "semantic_codec": {},
        "s2mel": {},
        "version": 2.0,
    }
    (out / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    torch.save({**trained(gpt, seed), **still(seed)}, out / "gpt.pth")
    (out / "bpe.model").write_bytes(_pieces())
    for name in ("s2mel.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt"):
        torch.save({"w": torch.zeros(1)}, out / name)
    return out


def trained(gpt: dict[str, Any], seed: int = 0) -> "dict[str, Any]":
    """What gpt.pth holds besides the encoders."""
    width, text = gpt["model_dim"], gpt["number_text_tokens"] + 1
    shapes: dict[str, tuple[int, ...]] = {
        "text_embedding.weight": (text, width), "mel_embedding.weight": (gpt["number_mel_codes"], width), "speed_emb.weight": (2, width),
        "text_pos_embedding.emb.weight": (gpt["max_text_tokens"] + 2, width), "mel_pos_embedding.emb.weight": (gpt["max_mel_tokens"] + 3, width),
        "text_head.weight": (text, width), "text_head.bias": (text,), "mel_head.weight": (gpt["number_mel_codes"], width),
        "mel_head.bias": (gpt["number_mel_codes"],),
    }  # fmt: skip
    norms = [
        "final_norm",
        "gpt.ln_f",
        *(f"gpt.h.{n}.{ln}" for n in range(gpt["layers"]) for ln in ("ln_1", "ln_2")),
    ]
    shapes |= {f"{norm}.{kind}": (width,) for norm in norms for kind in ("weight", "bias")}
    for n in range(gpt["layers"]):
        for name, rows, columns in (
            ("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width), ("mlp.c_fc", width, 4 * width), ("mlp.c_proj", 4 * width, width),
        ):  # fmt: skip
            shapes |= {f"gpt.h.{n}.{name}.weight": (rows, columns), f"gpt.h.{n}.{name}.bias": (columns,)}
    return {name: drawn(name, shape, seed) for name, shape in shapes.items()}


def still(seed: int) -> dict[str, Any]:
    """The encoders' tensors."""
    names = (
        "conditioning_encoder.x.weight", "perceiver_encoder.latents", "emo_conditioning_encoder.x.weight", "emo_perceiver_encoder.latents",
        "emo_layer.weight", "emovec_layer.weight",
    )  # fmt: skip
    return {name: drawn(name, (4, 8), seed) for name in names}


def drawn(name: str, shape: tuple[int, ...], seed: int) -> Any:
    """A tensor by its name."""
    import torch

    from voicelathe import rng

    generator = torch.Generator().manual_seed(rng.key(seed, "tiny index", name))
    values = torch.randn(shape, generator=generator)
    if "ln_" in name or name.startswith("final_norm"):
        return values * 0.1 + (1.0 if name.endswith("weight") else 0.0)
    return values * (0.5 if "emb" in name else 0.7 / math.sqrt(shape[0]) if len(shape) == 2 else 0.1)


def _pieces() -> bytes:
    """A unigram model of capital letters."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 20),
        model_writer=model,
        vocab_size=58,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    return model.getvalue()


def features(seconds: float, number: int, width: int = WIDTH) -> "dict[str, Any]":
    """What upstream's encoders would make of a clip: fixed numbers."""
    import torch

    generator = torch.Generator().manual_seed(number)
    return {
        "codes": torch.randint(0, CODES, (round(seconds * 50),), generator=generator).to(torch.int16),
        "condition": (torch.randn((1, LATENTS * width), generator=generator) * 0.5).half(),
        "emotion": (torch.randn((1, width), generator=generator) * 0.5).half(),
    }
