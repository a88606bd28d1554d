"""What a CosyVoice 3 directory is, read without torch: size, rates, and all its faults.

Source: FunAudioLLM/CosyVoice ace7c47, cli/cosyvoice.py (file names), llm/llm.py (tensor names). Upstream describes its modules in a
YAML file whose tags build objects; it is never read here. Sizes come from the Qwen2 config and from the shapes of the weights.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import BaseModelError, listing
from voicelathe.families.base import FamilySpec
from voicelathe.families.decoding import Setting
from voicelathe.families.shared import conversion
from voicelathe.families.shared.base_directory import file_problems, name_problems, read_config
from voicelathe.families.shared.safetensors_header import TensorInfo, read_header
from voicelathe.records import BaseFacts

OPENED = """from functools import partial

from cosyvoice.cli.cosyvoice import CosyVoice3  # upstream's checkout, with the packages of its requirements.txt
from safetensors.torch import load_file

"""
SPOKEN = """
voice = next(iter(load_file("HERE/speaker_embedding.safetensors").values()))
model.frontend.spk2info["voice"] = {"embedding": voice[None].to(model.frontend.device)}
text = "You are a helpful assistant.<|endofprompt|>The lamp is on."
model.model.llm.sampling = partial(model.model.llm.sampling, DECODING)
audio = next(model.inference_sft(text, "voice", text_frontend=False))["tts_speech"]
rate = model.sample_rate"""
DECODING = {  # as cosyvoice3.yaml of the published model has them; its flow has 10 steps, which nobody can choose
    "top_p": Setting(
        0.8, 0.01, 1, "top_p", "share of the probability that is drawn from", tried=(0.7, 0.8, 0.9)
    ),
    "top_k": Setting(25, 1, 6561, "top_k", "speech tokens that are drawn from", True, (15, 25, 50)),
}
USAGE = {  # of an export; see families.base.FamilySpec.
    "adapter": f"""{OPENED}from peft import PeftModel

model = CosyVoice3("BASE")
PeftModel.from_pretrained(model.model.llm.llm.model, "HERE")  # puts the adapter into the model in place{SPOKEN}""",
    "full": f"""{OPENED}model = CosyVoice3("HERE"){SPOKEN}""",
}
MARK = "cosyvoice3.yaml"  # upstream, too, knows the model by this name
PICKLE, WEIGHTS = "llm.pt", "llm.safetensors"
TEXT_MODEL = "CosyVoice-BlankEN"
CONFIG = f"{TEXT_MODEL}/config.json"
TOKENS_ONNX, VOICE_ONNX = "speech_tokenizer_v3.onnx", "campplus.onnx"
UPSTREAMS = (
    PICKLE,
    "llm.rl.pt",
    "flow.pt",
    "hift.pt",
    "spk2info.pt",
)  # read by upstream alone, in its own interpreter
NEEDED = (
    MARK, PICKLE, "flow.pt", "hift.pt", TOKENS_ONNX, VOICE_ONNX, CONFIG, f"{TEXT_MODEL}/model.safetensors", f"{TEXT_MODEL}/vocab.json",
    f"{TEXT_MODEL}/merges.txt", f"{TEXT_MODEL}/tokenizer_config.json",
)  # fmt: skip
HEAR_HZ, SPEAK_HZ, TOKENS_PER_S = 16000, 24000, 25.0
MAX_S = 30.0  # of the speech tokenizer
SPECIALS = 200  # rows of the speech table behind the speech tokens
SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
FLOATS = frozenset({"F32", "BF16", "F16"})


def facts(base: Path, licence: str, trained: bool, files: dict[str, str], spec: FamilySpec) -> BaseFacts:
    """What a directory with these hashed files is. Raises BaseModelError listing everything missing or wrong, by file."""
    problems = list(file_problems(base, files, NEEDED, UPSTREAMS))
    problems += conversion.problems(base, files, PICKLE, WEIGHTS)
    config = read_config(base / CONFIG, spec.download) if CONFIG in files else {}
    problems += [f"{CONFIG}: {problem}" for problem in _config_problems(config)] if config else []
    tensors = {} if problems else read_header(base / WEIGHTS)
    problems = problems or list(_weight_problems(tensors, config))
    if problems:
        raise BaseModelError(
            f"{base} is not a usable {spec.id} base:\n{listing(problems)}\nA whole one: {spec.download}"
        )
    return BaseFacts(
        family=spec.id,
        architecture=f"CosyVoice3LM {config['num_hidden_layers']} x {config['hidden_size']}",
        encode_rate_hz=HEAR_HZ,
        speak_rate_hz=SPEAK_HZ,
        positions_per_s=TOKENS_PER_S,
        min_clip_s=round(1 / TOKENS_PER_S, 6),
        max_clip_s=MAX_S,
        num_parameters=sum(one.num_values for name, one in tensors.items() if name != TIED),
        trained=trained,
        licence=licence,
        files=files,
        digest=digest.of_value(files),
    )


TIED = "llm.model.lm_head.weight"  # the text embedding once more; no loss uses it


def _config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    if (seen := config.get("model_type")) != "qwen2":
        yield f"model_type = {seen!r}: must be 'qwen2'"
    for name in SIZES:
        if not isinstance(value := config.get(name), int) or isinstance(value, bool) or value < 1:
            yield f"{name} = {value!r}: must be a whole number above 0"
    if config.get("use_sliding_window"):
        yield "use_sliding_window = true: windowed attention is not supported"


def _weight_problems(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> Iterator[str]:
    if odd := sorted({tensor.dtype for tensor in tensors.values()} - FLOATS):
        yield f"{WEIGHTS}: tensors of type {', '.join(odd)}; a quantised conversion cannot be trained"
    wanted = tensor_names(config["num_hidden_layers"])
    yield from name_problems(WEIGHTS, "missing", wanted - set(tensors))
    yield from name_problems(WEIGHTS, "not part of cosyvoice3", set(tensors) - wanted)
    if wanted != set(tensors):
        return
    width, rows = config["hidden_size"], tensors["speech_embedding.weight"].shape[0]
    for name, shape in (
        ("llm.model.model.embed_tokens.weight", (config["vocab_size"], width)),
        ("speech_embedding.weight", (rows, width)),
        ("llm_decoder.weight", (rows, width)),
    ):
        if (seen := tensors[name].shape) != shape:
            yield f"{WEIGHTS}: {name} has shape {seen}, expected {shape}"
    if rows <= SPECIALS:
        yield f"{WEIGHTS}: speech_embedding.weight has {rows} rows; {SPECIALS} of them are special, none is left for speech"


def tensor_names(layers: int) -> set[str]:
    """Names in the official llm.pt."""
    body = "llm.model.model"
    names = {
        f"{body}.embed_tokens.weight",
        f"{body}.norm.weight",
        TIED,
        "llm_decoder.weight",
        "speech_embedding.weight",
    }
    parts = [f"self_attn.{one}_proj.{kind}" for one in "qkv" for kind in ("weight", "bias")] + [
        "self_attn.o_proj.weight"
    ]
    parts += [f"mlp.{one}_proj.weight" for one in ("gate", "up", "down")]
    parts += ["input_layernorm.weight", "post_attention_layernorm.weight"]
    return names | {f"{body}.layers.{layer}.{part}" for layer in range(layers) for part in parts}
