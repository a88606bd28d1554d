"""The shape of the embedded base: what config.json says, in one place for the codec, the language model and the export.

The codec hops 640 samples (25 Hz) and a position holds four latents, as in the real one. The flow has few, small layers, because
every position runs them twenty times.
"""

from typing import Any

VOCABULARY = 256
LATENT = 64
PATCH = 4
HEAD, MAX_POSITIONS = 32, 1024
HIDDEN, LAYERS = 192, 4


def codec() -> dict[str, Any]:
    return {
        "encoder_dim": 48, "encoder_rates": [80, 2, 4], "latent_dim": LATENT, "decoder_dim": 384,
        "decoder_rates": [2, 1, 320], "sample_rate": 16000, "out_sample_rate": 16000, "use_noise_block": True,
        "sr_bin_boundaries": [20000, 30000, 40000],
    }  # fmt: skip


def config() -> dict[str, Any]:
    factors = [1.0] * (HEAD // 2)
    language_model = {
        "bos_token_id": 1, "eos_token_id": 2, "hidden_size": HIDDEN, "intermediate_size": 512,
        "max_position_embeddings": MAX_POSITIONS, "num_attention_heads": 6, "num_hidden_layers": LAYERS, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": VOCABULARY, "use_mup": False, "scale_emb": 12,
        "dim_model_base": 256, "scale_depth": 1.4, "kv_channels": HEAD,
        "rope_scaling": {
            "type": "longrope", "long_factor": factors, "short_factor": factors,
            "original_max_position_embeddings": MAX_POSITIONS,
        },
    }  # fmt: skip
    local = {"hidden_dim": 160, "ffn_dim": 384, "num_heads": 4, "kv_channels": HEAD}
    flow = {"sigma_min": 1e-6, "solver": "euler", "t_scheduler": "log-norm", "inference_cfg_rate": 2.0}
    return {
        "architecture": "voxcpm2", "lm_config": language_model, "patch_size": PATCH, "feat_dim": LATENT,
        "residual_lm_num_layers": 1, "residual_lm_no_rope": True, "scalar_quantization_latent_dim": 96,
        "scalar_quantization_scale": 9, "encoder_config": {**local, "num_layers": 1},
        "dit_config": {**local, "num_layers": 3, "dit_mean_mode": False, "cfm_config": flow}, "audio_vae_config": codec(),
        "max_length": 512, "device": "cpu", "dtype": "float32",
    }  # fmt: skip
