"""What a Qwen3-TTS "Base" directory is, read without torch: rates, size, languages, and all its faults.

Source: qwen-tts 0.1.1, core/models/configuration_qwen3_tts.py and modeling_qwen3_tts.py. Upstream's loader downloads what it misses
and gives absent settings the defaults of another model size, so a directory that is not whole is refused here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import BaseModelError, listing
from voicelathe.families.base import FamilySpec
from voicelathe.families.shared.base_directory import (
    CONFIG,
    WEIGHTS,
    file_problems,
    name_problems,
    read_config,
)
from voicelathe.families.shared.safetensors_header import TensorInfo, read_header
from voicelathe.records import BaseFacts

MODEL_TYPE, TOKENIZER_TYPE, BASE_TYPE = "qwen3_tts", "qwen3_tts_tokenizer_12hz", "base"
RATE_HZ, FRAMES_PER_S = 24000, 12.5  # of the 12 Hz codec, in and out
SPEAKER_ENCODER = "speaker_encoder."
CODEC = (
    "speech_tokenizer/config.json",
    f"speech_tokenizer/{WEIGHTS}",
    "speech_tokenizer/preprocessor_config.json",
)
DOWNLOAD = "huggingface-cli download Qwen/Qwen3-TTS-12Hz-1.7B-Base --local-dir DIR"
NEEDED = (WEIGHTS, "generation_config.json", "vocab.json", "merges.txt", "tokenizer_config.json", *CODEC)
FLOATS = frozenset({"F32", "BF16", "F16"})
TALKER = (  # without a default that fits every size
    "hidden_size", "text_hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "num_code_groups", "vocab_size",
    "text_vocab_size", "max_position_embeddings", "codec_pad_id", "codec_bos_id", "codec_eos_token_id", "codec_think_id",
    "codec_nothink_id", "codec_think_bos_id", "codec_think_eos_id",
)  # fmt: skip
PREDICTOR = ("hidden_size", "num_hidden_layers", "num_code_groups", "vocab_size")
TOP = ("tts_pad_token_id", "tts_bos_token_id", "tts_eos_token_id")


def facts(base: Path, licence: str, trained: bool, files: dict[str, str], spec: FamilySpec) -> BaseFacts:
    """What a directory with these hashed files is. Raises BaseModelError listing everything missing or wrong, by file."""
    config = read_config(base / CONFIG, spec.download)
    problems = [f"{CONFIG}: {problem}" for problem in _config_problems(config)]
    problems += file_problems(base, files, NEEDED)
    tensors = {} if problems else read_header(base / WEIGHTS)
    problems = problems or [*_weight_problems(tensors, config), *_codec_problems(base, spec)]
    if problems:
        raise BaseModelError(
            f"{base} is not a usable {spec.id} base:\n{listing(problems)}\nA whole one: {spec.download}"
        )
    return BaseFacts(
        family=spec.id,
        architecture=f"{MODEL_TYPE} {config.get('tts_model_size', '')}".strip(),
        encode_rate_hz=RATE_HZ,
        speak_rate_hz=RATE_HZ,
        positions_per_s=FRAMES_PER_S,
        min_clip_s=round(1 / FRAMES_PER_S, 6),
        max_clip_s=round(config["talker_config"]["max_position_embeddings"] / FRAMES_PER_S, 6),
        num_parameters=sum(tensor.num_values for tensor in tensors.values()),
        trained=trained,
        licence=licence,
        files=files,
        digest=digest.of_value(files),
    )


def _config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name, wanted, why in (
        ("model_type", MODEL_TYPE, "another model"),
        ("tokenizer_type", TOKENIZER_TYPE, "only the 12 Hz codec is supported"),
        ("tts_model_type", BASE_TYPE, "only a Base has the speaker encoder that fine-tuning needs"),
    ):
        if (seen := config.get(name)) != wanted:
            yield f"{name} = {seen!r}: must be {wanted!r}; {why}"
    talker = config.get("talker_config")
    talker = talker if isinstance(talker, Mapping) else {}
    predictor = talker.get("code_predictor_config")
    predictor = predictor if isinstance(predictor, Mapping) else {}
    for where, section, names in (
        ("", config, TOP),
        ("talker_config.", talker, TALKER),
        ("talker_config.code_predictor_config.", predictor, PREDICTOR),
    ):
        for name in names:
            value = section.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                seen = "(missing)" if value is None else repr(value)[:60]
                yield f"{where}{name} = {seen}: must be a whole number, 0 or above"
    for name in ("codec_language_id", "spk_id"):
        if not isinstance(talker.get(name), Mapping):
            yield f"talker_config.{name} = {talker.get(name)!r}: must be an object"
    for where, section in (("talker_config.", talker), ("talker_config.code_predictor_config.", predictor)):
        if section.get("use_sliding_window"):
            yield f"{where}use_sliding_window = true: windowed attention is not supported"


def tensor_names(config: Mapping[str, Any]) -> set[str]:
    """Names of the talker and the code predictor, as upstream's module has them; the speaker encoder's are not listed."""
    talker = config["talker_config"]
    predictor = talker["code_predictor_config"]
    groups = range(predictor["num_code_groups"] - 1)
    names = {f"talker.model.{name}.weight" for name in ("codec_embedding", "text_embedding", "norm")}
    names |= {"talker.codec_head.weight", "talker.code_predictor.model.norm.weight"}
    names |= {f"talker.text_projection.linear_fc{n}.{part}" for n in (1, 2) for part in ("weight", "bias")}
    names |= {f"talker.code_predictor.model.codec_embedding.{group}.weight" for group in groups}
    names |= {f"talker.code_predictor.lm_head.{group}.weight" for group in groups}
    if predictor["hidden_size"] != talker["hidden_size"]:
        names |= {f"talker.code_predictor.small_to_mtp_projection.{part}" for part in ("weight", "bias")}
    blocks = [f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")]
    blocks += [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    blocks += ["input_layernorm", "post_attention_layernorm"]
    for stack, section in (("talker.model", talker), ("talker.code_predictor.model", predictor)):
        for layer in range(section["num_hidden_layers"]):
            names |= {f"{stack}.layers.{layer}.{block}.weight" for block in blocks}
    return names


def _weight_problems(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> Iterator[str]:
    if odd := sorted({tensor.dtype for tensor in tensors.values()} - FLOATS):
        yield f"{WEIGHTS}: tensors of type {', '.join(odd)}; a quantised conversion cannot be trained"
    wanted, talker = tensor_names(config), {name for name in tensors if not name.startswith(SPEAKER_ENCODER)}
    yield from name_problems(WEIGHTS, "missing", wanted - talker)
    yield from name_problems(WEIGHTS, "not part of qwen3_tts", talker - wanted)
    if len(talker) == len(tensors):
        yield f"{WEIGHTS}: missing: {SPEAKER_ENCODER}*, the speaker encoder"
    section = config["talker_config"]
    for name, shape in (
        ("codec_embedding", (section["vocab_size"], section["hidden_size"])),
        ("text_embedding", (section["text_vocab_size"], section["text_hidden_size"])),
    ):
        found = tensors.get(f"talker.model.{name}.weight")
        if found is not None and found.shape != shape:
            yield f"{WEIGHTS}: talker.model.{name}.weight has shape {found.shape}, {CONFIG} says {shape}"


def _codec_problems(base: Path, spec: FamilySpec) -> Iterator[str]:
    config = read_config(base / CODEC[0], spec.download)
    if (seen := config.get("model_type")) != TOKENIZER_TYPE:
        yield f"{CODEC[0]}: model_type = {seen!r}: must be {TOKENIZER_TYPE!r}"
    rates = {name: config.get(name, RATE_HZ) for name in ("input_sample_rate", "output_sample_rate")}
    for name, rate in rates.items():
        if rate != RATE_HZ:
            yield f"{CODEC[0]}: {name} = {rate}: must be {RATE_HZ}"
    try:
        read_header(base / CODEC[1])
    except BaseModelError as problem:
        yield str(problem)
