"""A small random VoxCPM 1.5 in the official on-disk layout, written with upstream's classes and opened by its loader."""

from pathlib import Path
from typing import Any

from tests.factories import voxcpm2_base


def config() -> dict[str, Any]:
    """The small VoxCPM 2's proportions in half, with VoxCPM 1.5's rates: 44.1 kHz, 25 latents and 6.25 positions a second."""
    second = voxcpm2_base.config()
    local = {"hidden_dim": 64, "ffn_dim": 96, "num_heads": 2, "num_layers": 2, "kv_channels": 32}
    vae = {
        "encoder_dim": 4, "encoder_rates": [2, 3, 6, 7, 7], "latent_dim": 32, "decoder_dim": 64, "decoder_rates": [7, 7, 6, 3, 2],
        "sample_rate": 44100,
    }  # fmt: skip
    language = {
        **second["lm_config"],
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 2,
    }
    made = {
        **second, "architecture": "voxcpm", "lm_config": language, "encoder_config": local, "audio_vae_config": vae,
        "dit_config": {**second["dit_config"], **local},
    }  # fmt: skip
    del made["residual_lm_no_rope"]
    return made


def write(out: Path, seed: int = 0, overrides: dict[str, Any] | None = None) -> Path:
    """Write the whole directory; gives it back."""
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaTokenizerFast
    from voxcpm.model.voxcpm import VoxCPMConfig, VoxCPMModel
    from voxcpm.modules.audiovae import AudioVAE

    out.mkdir(parents=True, exist_ok=True)
    described = {**config(), **(overrides or {})}
    voxcpm2_base.write_json(out / "config.json", described)
    voxcpm2_base.write_tokenizer(out)
    torch.manual_seed(seed)
    parsed = VoxCPMConfig.model_validate(described)
    vae = AudioVAE(config=parsed.audio_vae_config)
    model = VoxCPMModel(parsed, LlamaTokenizerFast.from_pretrained(str(out)), vae, device="cpu")
    weights = {n: t for n, t in model.state_dict().items() if not n.startswith("audio_vae.")}
    halved = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(halved, out / "model.safetensors", {"format": "pt"})
    codec = {name: tensor.contiguous() for name, tensor in vae.state_dict().items()}
    save_file(codec, out / "audiovae.safetensors", {"format": "pt"})
    return out
