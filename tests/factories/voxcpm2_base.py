"""A small random VoxCPM 2 in the official on-disk layout, written with upstream's classes and opened by its loader.

It proves the wiring and nothing about speech. Most tests train and speak with it: the embedded base of the demo may be trained anew
without changing what they compute.
"""

import hashlib
import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

SEED = 20260511
KEPT = Path(__file__).parents[2] / ".cache/tests"
VOCABULARY = 512
SPECIAL = ("<unk>", "<s>", "</s>")
AUDIO_TOKENS = {
    101: "<|audio_start|>",
    102: "<|audio_end|>",
    103: "<|audio_prompt_start|>",
    104: "<|audio_prompt_end|>",
}


def config() -> dict[str, Any]:
    """The real model's proportions at a thousandth of its size; 25 Hz latents and 6.25 audio positions a second, as the real one."""
    head, maximum = 32, 1024
    factors = [1.0] * (head // 2)
    language_model = {
        "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 128, "intermediate_size": 384, "max_position_embeddings": maximum,
        "num_attention_heads": 4, "num_hidden_layers": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": {"type": "longrope", "long_factor": factors, "short_factor": factors, "original_max_position_embeddings": maximum},
        "vocab_size": VOCABULARY, "use_mup": False, "scale_emb": 12, "dim_model_base": 256, "scale_depth": 1.4, "kv_channels": head,
    }  # fmt: skip
    local = {"hidden_dim": 96, "ffn_dim": 288, "num_heads": 4, "num_layers": 2, "kv_channels": head}
    flow = {"sigma_min": 1e-6, "solver": "euler", "t_scheduler": "log-norm", "inference_cfg_rate": 2.0}
    vae = {
        "encoder_dim": 8, "encoder_rates": [2, 5, 8, 8], "latent_dim": 32, "decoder_dim": 64, "decoder_rates": [8, 8, 5, 2],
        "sample_rate": 16000, "out_sample_rate": 16000, "sr_bin_boundaries": [20000, 30000, 40000],
    }  # fmt: skip
    return {
        "architecture": "voxcpm2", "lm_config": language_model, "patch_size": 4, "feat_dim": 32, "residual_lm_num_layers": 1,
        "residual_lm_no_rope": True, "scalar_quantization_latent_dim": 32, "scalar_quantization_scale": 9, "encoder_config": local,
        "dit_config": {**local, "dit_mean_mode": False, "cfm_config": flow}, "audio_vae_config": vae, "max_length": 512,
        "device": "cpu", "dtype": "float32",
    }  # fmt: skip


def write_tokenizer(out: Path) -> None:
    """Characters with byte fallback; ids 101 to 104 are the audio tokens that upstream hard-codes."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    tokens = [
        *SPECIAL,
        *(f"<reserved_{number}>" for number in range(3, 101)),
        *(AUDIO_TOKENS[number] for number in range(101, 105)),
    ]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)] + ["▁"] + [chr(code) for code in range(33, 127)]
    tokens += [f"<pad_{number}>" for number in range(len(tokens), VOCABULARY)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(out / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {
        "tokenizer_class": "LlamaTokenizerFast", **special, "add_bos_token": False, "add_eos_token": False, "legacy": False,
        "clean_up_tokenization_spaces": False, "model_max_length": 512,
    }  # fmt: skip
    write_json(out / "tokenizer_config.json", settings)
    write_json(out / "special_tokens_map.json", special)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def shared() -> Path:
    """To be read only: written by whichever test process comes first, and kept as long as this file and upstream's classes stay."""
    made_of = f"{Path(__file__).read_text(encoding='utf-8')} {version('voxcpm')} {version('torch')}"
    kept = KEPT / f"voxcpm2-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    if not kept.is_dir():
        made = write(KEPT / f"{os.getpid()}.partial")
        try:
            made.rename(kept)
        except OSError:  # another process was quicker
            shutil.rmtree(made)
    return kept


def write(out: Path, overrides: dict[str, Any] | None = None) -> Path:
    """Build the directory; the same seed gives the same bytes."""
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaTokenizerFast
    from voxcpm.model.voxcpm2 import VoxCPM2Model, VoxCPMConfig
    from voxcpm.modules.audiovae import AudioVAEV2

    out.mkdir(parents=True, exist_ok=True)
    described = {**config(), **(overrides or {})}
    write_json(out / "config.json", described)
    write_tokenizer(out)
    torch.manual_seed(SEED)
    parsed = VoxCPMConfig.model_validate(described)
    vae = AudioVAEV2(config=parsed.audio_vae_config)
    model = VoxCPM2Model(parsed, LlamaTokenizerFast.from_pretrained(str(out)), vae, device="cpu")
    weights = {
        name: tensor for name, tensor in model.state_dict().items() if not name.startswith("audio_vae.")
    }
    save_file(
        {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()},
        out / "model.safetensors",
        {"format": "pt"},
    )
    codec = {name: tensor.contiguous() for name, tensor in vae.state_dict().items()}
    save_file(codec, out / "audiovae.safetensors", {"format": "pt"})
    return out
