"""The published configurations of VoxCPM 2 and 1.5, for planning before they are downloaded: sizes only, no weights.

Source: config.json of openbmb/VoxCPM2, revision bffb3df5a294, as three independent ports transcribe it (a GGUF converter, an MLX
port, two quantised copies). From it upstream's class makes 2,290,004,544 parameters in 577 tensors, as the published file has.
VoxCPM 1.5 (0.80 billion, 467 tensors): tc-mb/llama.cpp-omni and OpenBMB/VoxCPM issue 174; the width of its codec's encoder is a guess,
which matters to nothing but the codec's own size.
"""

from typing import Any

LANGUAGE_MODEL: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 2,
    "kv_channels": 128, "vocab_size": 73448, "max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "rope_scaling": {
        "type": "longrope", "long_factor": [1.0] * 64, "short_factor": [1.0] * 64, "original_max_position_embeddings": 32768,
    },
    "bos_token_id": 1, "eos_token_id": 2, "use_mup": False, "scale_emb": 12, "dim_model_base": 256, "scale_depth": 1.4,
}  # fmt: skip
LOCAL: dict[str, Any] = {
    "hidden_dim": 1024,
    "ffn_dim": 4096,
    "num_heads": 16,
    "num_layers": 12,
    "kv_channels": 128,
}
FLOW = {"sigma_min": 1e-6, "solver": "euler", "t_scheduler": "log-norm", "inference_cfg_rate": 2.0}
VOXCPM2: dict[str, Any] = {
    "architecture": "voxcpm2", "lm_config": LANGUAGE_MODEL, "residual_lm_num_layers": 8, "residual_lm_no_rope": True,
    "encoder_config": LOCAL, "dit_config": {**LOCAL, "mean_mode": False, "cfm_config": FLOW},
    "patch_size": 4, "feat_dim": 64, "scalar_quantization_latent_dim": 512, "scalar_quantization_scale": 9,
    "audio_vae_config": {
        "latent_dim": 64, "encoder_dim": 128, "encoder_rates": [2, 5, 8, 8], "decoder_dim": 2048, "decoder_rates": [8, 6, 5, 2, 2, 2],
        "sample_rate": 16000, "out_sample_rate": 48000, "sr_bin_boundaries": [20000, 30000, 40000],
    },
    "max_length": 8192, "device": "cuda", "dtype": "bfloat16",
}  # fmt: skip
LOCAL15 = {"hidden_dim": 1024, "ffn_dim": 4096, "num_heads": 16, "num_layers": 8}
VOXCPM15: dict[str, Any] = {
    "architecture": "voxcpm",
    "lm_config": {
        **{name: value for name, value in LANGUAGE_MODEL.items() if name != "kv_channels"},
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "rope_scaling": {**LANGUAGE_MODEL["rope_scaling"], "long_factor": [1.0] * 32, "short_factor": [1.0] * 32},
    },
    "residual_lm_num_layers": 8, "encoder_config": LOCAL15, "dit_config": {**LOCAL15, "cfm_config": FLOW},
    "patch_size": 4, "feat_dim": 64, "scalar_quantization_latent_dim": 256, "scalar_quantization_scale": 9,
    "audio_vae_config": {
        "latent_dim": 64, "encoder_dim": 64, "encoder_rates": [2, 3, 6, 7, 7], "decoder_dim": 2048, "decoder_rates": [7, 7, 6, 3, 2],
        "sample_rate": 44100,
    },
    "max_length": 8192, "device": "cuda", "dtype": "bfloat16",
}  # fmt: skip

# How an export is opened; see families.base.FamilySpec.
USAGE = {
    "adapter": """import json
from pathlib import Path

from voxcpm import VoxCPM
from voxcpm.model.MODULE import LoRAConfig

here = Path("HERE")
settings = json.loads((here / "lora_config.json").read_text())["lora_config"]
model = VoxCPM.from_pretrained(
    "BASE", load_denoiser=False, optimize=False, lora_config=LoRAConfig(**settings), lora_weights_path=str(here)
)
audio = model.generate(text="The lamp is on.", retry_badcase=False, DECODING)
rate = model.tts_model.sample_rate""",
    "full": """from voxcpm import VoxCPM

model = VoxCPM.from_pretrained("HERE", load_denoiser=False, optimize=False)
audio = model.generate(text="The lamp is on.", retry_badcase=False, DECODING)
rate = model.tts_model.sample_rate""",
}

NANO = """## nano-vLLM (nano-vllm-voxcpm 2, with the service in its `deployment/`)

```sh
export NANOVLLM_MODEL_PATH=WHICH
ADAPTER```

Its own service answers `/generate` with MP3 and is not of OpenAI's form, so `voicelathe conform` cannot ask it. It reads the codec from `audiovae.pth`.
"""

SERVERS = {  # of an export; see families.base.FamilySpec. Sources: vllm-project/vllm-omni pull request 7108, nano-vllm-voxcpm deployment/README.md
    "adapter": """## vLLM-Omni (from September 2026 on; VoxCPM 2)

It reads these very files and merges them when it starts; one adapter a server. In a copy of its `deploy/voxcpm2.yaml`, in the stage's `engine_extras`:

```yaml
hf_overrides:
  voxcpm2_runtime_config:
    startup_lora_path: HERE
```

```sh
vllm serve BASE --omni --deploy-config voxcpm2.yaml --port 8091
```

"""
    + NANO.replace("WHICH", "BASE").replace(
        "ADAPTER", "export NANOVLLM_LORA_URI=file://HERE NANOVLLM_LORA_ID=voice\n"
    ),
    "full": """## vLLM-Omni (VoxCPM 2)

```sh
vllm serve HERE --omni --port 8091
```

"""
    + NANO.replace("WHICH", "HERE").replace("ADAPTER", ""),
}
LAYERS = (
    "base_lm.layers",
    "residual_lm.layers",
    "feat_encoder.encoder.layers",
    "feat_decoder.estimator.decoder.layers",
)
