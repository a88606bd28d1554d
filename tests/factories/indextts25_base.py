"""A small random IndexTTS 2.5 in the official on-disk layout: names, shapes and file names of the published model; see indextts2_base."""

import base64
from pathlib import Path
from typing import Any

from tests.factories import indextts2_base as older

WIDTH, SPEAKER, CODES, LANGUAGES = older.WIDTH, 192, older.CODES, 107
RANKS = 256 + 6  # of the small vocabulary; 1,673 names of languages, events and times follow
SHAPE: dict[str, Any] = {**older.SHAPE, "max_text_tokens": 90, "number_text_tokens": RANKS + 1673}
VOCABULARY = "multilingual_zh_ja_yue_char_del.tiktoken"
MERGED = (b"th", b"in", b" a", b" the", b"he", b"er")  # in the order of their ranks


def write(out: Path, seed: int = 0, **shape: Any) -> Path:
    """Write the directory; gives it back. `shape` overrides entries of `gpt`."""
    import torch
    import yaml

    out.mkdir(parents=True, exist_ok=True)
    gpt = {**SHAPE, "condition_module": older.ENCODER, "emo_condition_module": older.ENCODER, **shape}
    settings = {"gpt": gpt, "semantic_codec": {}, "s2mel": {}, "gpt_checkpoint": "gpt.pth", "version": 2.5}
    (out / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    still = {name: value for name, value in older.still(seed).items() if name.startswith("emo")}
    torch.save({**trained(gpt, seed), **still}, out / "gpt.pth")
    (out / VOCABULARY).write_bytes(vocabulary())
    for name in ("s2mel.pth", "codec.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt"):
        torch.save({"w": torch.zeros(1)}, out / name)
    return out


def trained(gpt: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """What gpt.pth holds besides the encoders."""
    width = gpt["model_dim"]
    own = {
        "lang_embedding.weight": (LANGUAGES, width),
        "spk_emb_proj.weight": (width, SPEAKER),
        "spk_emb_proj.bias": (width,),
    }
    common = {name: value for name, value in older.trained(gpt, seed).items() if name != "speed_emb.weight"}
    return common | {name: older.drawn(name, shape, seed) for name, shape in own.items()}


def vocabulary() -> bytes:
    """Every byte, GPT-2's printable ones first, and a few pairs: base64 and rank on each line, as tiktoken's files have it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    single = [bytes([one]) for one in (*printable, *(one for one in range(256) if one not in printable))]
    lines = [base64.b64encode(piece) + b" %d" % rank for rank, piece in enumerate([*single, *MERGED])]
    return b"\n".join(lines) + b"\n"


def features(seconds: float, number: int, width: int = WIDTH) -> dict[str, Any]:
    """What upstream's encoders would make of a clip: fixed numbers."""
    import torch

    generator = torch.Generator().manual_seed(number)
    return {
        "codes": torch.randint(0, CODES, (round(seconds * 25),), generator=generator).to(torch.int16),
        "speaker": torch.randn((1, SPEAKER), generator=generator) * 0.5,
        "emotion": (torch.randn((1, width), generator=generator) * 0.5).half(),
    }
