"""A VoxCPM 2 directory in the official on-disk format, made without torch: every tensor is there, all zeros.

Good for everything that reads files (`base add`, `verify`, `doctor`); the codec is a stub, so it cannot be loaded.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicelathe.families.voxcpm import config as voxcpm_config

WIDTH, VOCABULARY = 4, 128
CARD = "---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n"


def config(**changes: Any) -> dict[str, Any]:
    """A small config.json; a change is given as dotted path with `__` for the dot, None removes the field."""
    local = {"hidden_dim": WIDTH, "ffn_dim": 8, "num_heads": 2, "num_layers": 1, "kv_channels": 2}
    made: dict[str, Any] = {
        "architecture": "voxcpm2",
        "lm_config": {
            **dict.fromkeys(("hidden_size", "dim_model_base"), WIDTH),
            **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "num_hidden_layers"), 2),
            **{"intermediate_size": 8, "max_position_embeddings": 64, "vocab_size": VOCABULARY},
            **{
                "bos_token_id": 1,
                "eos_token_id": 2,
                "rms_norm_eps": 1e-5,
                "scale_emb": 12,
                "scale_depth": 1.4,
            },
            **{"rope_theta": 10000, "kv_channels": 2},
            "rope_scaling": {
                **{"type": "longrope", "long_factor": [1.0], "short_factor": [1.0]},
                "original_max_position_embeddings": 64,
            },
        },
        "residual_lm_num_layers": 1,
        "encoder_config": dict(local),
        "dit_config": {**local, "cfm_config": {}},
        "audio_vae_config": {
            **{"sample_rate": 16000, "out_sample_rate": 48000},
            **{"encoder_rates": [2, 5, 8, 8], "decoder_rates": [8, 6, 5, 2, 2, 2]},
        },
        "patch_size": 4,
        "max_length": 512,
    }
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        place = made
        for part in parents:
            place = place[part]
        if value is None:
            place.pop(leaf, None)
        else:
            place[leaf] = value
    return made


def write(directory: Path, card: str | None = CARD, **changes: Any) -> Path:
    """Write the whole directory; gives it back."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = config(**changes)
    (directory / "config.json").write_text(json.dumps(settings))
    shapes = {name: (1,) for name in voxcpm_config.tensor_names(config())}
    write_tensors(
        directory / "model.safetensors", {**shapes, "base_lm.embed_tokens.weight": (VOCABULARY, WIDTH)}
    )
    write_tensors(directory / "audiovae.safetensors", {"encoder.weight": (3,)}, dtype="F32")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (directory / name).write_text("{}")
    if card is not None:
        (directory / "README.md").write_text(card)
    return directory


def write_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "BF16") -> None:
    """A safetensors file of zeros."""
    width = {"BF16": 2, "F32": 4, "U32": 4}[dtype]
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
