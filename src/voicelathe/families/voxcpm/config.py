"""What VoxCPM's config.json must hold, and what follows: the codec's rates and the name of every tensor.

The architecture `voxcpm2` is VoxCPM 2; `voxcpm`, or no key at all, is VoxCPM 1.5 and 0.5B (voxcpm 2.0.3, core.py).

Upstream checks types through pydantic when it loads; here the same is checked without importing it or torch.
Source: voxcpm 2.0.3, model/voxcpm.py and voxcpm2.py (VoxCPMConfig), minicpm4/config.py, audiovae/.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

V2 = "voxcpm2"


def architecture(config: Mapping[str, Any]) -> Any:
    """As upstream reads it."""
    return config.get("architecture", "voxcpm")


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Every field that is missing or makes no sense, with its dotted path and the value seen."""
    sound = True
    for path, (expected, holds) in {**REQUIRED, **OPTIONAL}.items():
        value = _at(config, path)
        if value is _ABSENT and path in OPTIONAL:
            continue
        if value is _ABSENT or not holds(value):
            sound = False
            yield f"{path} = {'(missing)' if value is _ABSENT else repr(value)[:60]}: must be {expected}"
    if sound:
        codec = vae(config)
        encoded_hz = codec["sample_rate"] / math.prod(codec["encoder_rates"])
        decoded_hz = codec["out_sample_rate"] / math.prod(codec["decoder_rates"])
        if encoded_hz != decoded_hz:
            yield f"audio_vae_config: encodes {encoded_hz:g} latents a second but decodes {decoded_hz:g}"


def vae(config: Mapping[str, Any]) -> dict[str, Any]:
    """The codec's rates; what is absent has upstream's default (AudioVAEConfig)."""
    given = config.get("audio_vae_config") or {}
    defaults: dict[str, Any] = {"sample_rate": 16000, "encoder_rates": [2, 5, 8, 8]}
    if architecture(config) == V2:
        defaults |= {"out_sample_rate": 48000, "decoder_rates": [8, 6, 5, 2, 2, 2]}
    else:  # what goes in comes out at the same rate
        defaults |= {"out_sample_rate": given.get("sample_rate", 16000), "decoder_rates": [8, 8, 5, 2]}
    return {**defaults, **given}


def positions_per_s(config: Mapping[str, Any]) -> float:
    """Audio positions of the language model in one second: `patch_size` latents make one position."""
    codec = vae(config)
    rate: float = (
        codec["sample_rate"] / math.prod(codec["encoder_rates"]) / _default(config, "patch_size", 4, 2)
    )
    return rate


def max_positions(config: Mapping[str, Any]) -> int:
    """Text and audio positions that fit in one sequence."""
    length: int = _default(config, "max_length", 8192, 4096)
    return length


def tensor_names(config: Mapping[str, Any]) -> set[str]:
    """The names upstream's module has for a configuration: 577 for VoxCPM 2 itself, 467 for VoxCPM 1.5."""
    projections = ["enc_to_lm_proj", "lm_to_dit_proj", "res_to_dit_proj", "stop_proj"]
    projections += ["fusion_concat_proj"] if architecture(config) == V2 else []
    estimator = ["cond_proj", "in_proj", "out_proj"]
    estimator += [f"{mlp}.linear_{number}" for mlp in ("time_mlp", "delta_time_mlp") for number in (1, 2)]
    linears = [*projections, "feat_encoder.in_proj", "fsq_layer.in_proj", "fsq_layer.out_proj"]
    linears += [f"feat_decoder.estimator.{name}" for name in estimator]
    names = {f"{linear}.{part}" for linear in linears for part in ("weight", "bias")}
    names |= {"base_lm.embed_tokens.weight", "stop_head.weight", "feat_encoder.special_token"}
    blocks = [f"self_attn.{letter}_proj" for letter in "qkvo"]
    blocks += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"]
    for stack, num_layers in _layers(config).items():
        names |= {f"{stack}.layers.{layer}.{block}.weight" for layer in range(num_layers) for block in blocks}
        names.add(f"{stack}.norm.weight")
    return names


def _layers(config: Mapping[str, Any]) -> dict[str, int]:
    return {
        "base_lm": config["lm_config"]["num_hidden_layers"],
        "residual_lm": _default(config, "residual_lm_num_layers", 8, 6),
        "feat_encoder.encoder": config["encoder_config"].get("num_layers", 4),
        "feat_decoder.estimator.decoder": config["dit_config"].get("num_layers", 4),
    }


def _default(config: Mapping[str, Any], name: str, second: int, first: int) -> Any:
    """A setting, or upstream's default for it in either architecture."""
    return config.get(name, second if architecture(config) == V2 else first)


def _at(config: Mapping[str, Any], path: str) -> Any:
    place: Any = config
    for name in path.split("."):
        if not isinstance(place, Mapping) or name not in place:
            return _ABSENT
        place = place[name]
    return place


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_count(value: object) -> bool:
    return _is_index(value) and value != 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list_of(holds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and len(value) > 0 and all(map(holds, value))


_ABSENT = object()
Check = tuple[str, Callable[[object], bool]]
COUNT: Check = ("a whole number above 0", _is_count)
INDEX: Check = ("a whole number, 0 or above", _is_index)
NUMBER: Check = ("a number", _is_number)
COUNTS: Check = ("a list of whole numbers above 0", _is_list_of(_is_count))
NUMBERS: Check = ("a list of numbers", _is_list_of(_is_number))
TEXT: Check = ("text", lambda value: isinstance(value, str))
OBJECT: Check = ("an object", lambda value: isinstance(value, dict))

REQUIRED: Mapping[str, Check] = {  # fields without a default upstream
    "lm_config.hidden_size": COUNT,
    "lm_config.intermediate_size": COUNT,
    "lm_config.max_position_embeddings": COUNT,
    "lm_config.num_attention_heads": COUNT,
    "lm_config.num_hidden_layers": COUNT,
    "lm_config.num_key_value_heads": COUNT,
    "lm_config.vocab_size": COUNT,
    "lm_config.dim_model_base": COUNT,
    "lm_config.bos_token_id": INDEX,
    "lm_config.eos_token_id": INDEX,
    "lm_config.rms_norm_eps": NUMBER,
    "lm_config.scale_emb": NUMBER,
    "lm_config.scale_depth": NUMBER,
    "lm_config.rope_theta": NUMBER,
    "lm_config.rope_scaling.type": TEXT,
    "lm_config.rope_scaling.long_factor": NUMBERS,
    "lm_config.rope_scaling.short_factor": NUMBERS,
    "lm_config.rope_scaling.original_max_position_embeddings": COUNT,
    "encoder_config": OBJECT,
    "dit_config.cfm_config": OBJECT,
}
OPTIONAL: Mapping[str, Check] = {  # fields with a default upstream, which must make sense when they are there
    "patch_size": COUNT,
    "max_length": COUNT,
    "residual_lm_num_layers": COUNT,
    "encoder_config.num_layers": COUNT,
    "dit_config.num_layers": COUNT,
    "audio_vae_config.sample_rate": COUNT,
    "audio_vae_config.out_sample_rate": COUNT,
    "audio_vae_config.encoder_rates": COUNTS,
    "audio_vae_config.decoder_rates": COUNTS,
}
