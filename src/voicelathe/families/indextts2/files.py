"""What an IndexTTS2 directory is, read without torch: size, rates, and all its faults.

Source of file names and settings: config.yaml of the published model; of tensor names and shapes: gpt.pth.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import BaseModelError, listing
from voicelathe.families.base import FamilySpec
from voicelathe.families.decoding import Setting
from voicelathe.families.shared import conversion
from voicelathe.families.shared.base_directory import file_problems, name_problems
from voicelathe.families.shared.safetensors_header import TensorInfo, read_header
from voicelathe.records import BaseFacts

OPENED = """import soundfile
from indextts.infer_v2 import IndexTTS2  # upstream's checkout, with the packages of its pyproject.toml
from safetensors.torch import load_file

"""
SPOKEN = """
soundfile.write("voice.wav", load_file("HERE/speaker_reference.safetensors")["0/audio"].numpy(), 22050)
model.infer("voice.wav", "The lamp is on.", "spoken.wav", DECODING)
audio, rate = soundfile.read("spoken.wav")"""
DECODING = {  # as upstream's infer() has them; its flow has 25 steps and guidance 0.7, which nobody can choose
    "temperature": Setting(
        0.8, 0.05, 2, "temperature", "of the codes; higher is more varied", tried=(0.6, 0.8, 1.0)
    ),
    "top_k": Setting(30, 1, 8192, "top_k", "codes that are drawn from", True),
    "top_p": Setting(0.8, 0.01, 1, "top_p", "share of the probability that is drawn from"),
    "repetition_penalty": Setting(10.0, 1, 20, "repetition_penalty", "on codes that were drawn before"),
    "beams": Setting(3, 1, 10, "num_beams", "of the beam search", True, (1, 3), True),
    "length_penalty": Setting(0.0, -2, 2, "length_penalty", "of the beam search; higher is longer"),
}
USAGE = {  # of an export; see families.base.FamilySpec
    "adapter": f"""{OPENED}from peft import PeftModel

model = IndexTTS2(cfg_path="BASE/config.yaml", model_dir="BASE")
PeftModel.from_pretrained(model.gpt, "HERE")  # puts the adapter into the model in place{SPOKEN}""",
    "full": f"""{OPENED}model = IndexTTS2(cfg_path="HERE/config.yaml", model_dir="HERE"){SPOKEN}""",
}
CONFIG, TOKENIZER = "config.yaml", "bpe.model"
PICKLE, WEIGHTS = "gpt.pth", "gpt.safetensors"
UPSTREAMS = (PICKLE, "s2mel.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt")  # read by upstream alone
NEEDED = (CONFIG, TOKENIZER, *UPSTREAMS)
CACHE = "hf_cache"  # where upstream, left to itself, puts further models: into the model's own directory
SPEAK_HZ, CODES_PER_S = 22050, 50.0
FROZEN = (  # encoders of what is computed once for each clip; carried through every checkpoint untouched
    "conditioning_encoder.", "perceiver_encoder.", "emo_conditioning_encoder.", "emo_perceiver_encoder.", "emo_layer.", "emovec_layer.",
)  # fmt: skip
SIZES = (
    "layers", "model_dim", "heads", "max_text_tokens", "max_mel_tokens", "number_text_tokens", "number_mel_codes", "start_mel_token",
    "stop_mel_token", "start_text_token", "stop_text_token",
)  # fmt: skip
LATER = ("lang_embedding.weight", "spk_emb_proj.weight")  # of IndexTTS 2.5
FLOATS = frozenset({"F32", "BF16", "F16"})


def read_settings(base: Path) -> dict[str, Any]:
    """config.yaml as plain values: a tag that would build an object is an error. {} when there is none that can be read."""
    import yaml

    try:
        read = yaml.safe_load((base / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return read if isinstance(read, dict) else {}


def is_index(settings: Mapping[str, Any]) -> bool:
    """IndexTTS2 or a later one: a GPT over text and mel codes, and a stage from there to mel."""
    return (
        isinstance(settings.get("gpt"), dict)
        and "number_mel_codes" in settings["gpt"]
        and "s2mel" in settings
    )


def facts(base: Path, licence: str, trained: bool, files: dict[str, str], spec: FamilySpec) -> BaseFacts:
    """What a directory with these hashed files is. Raises BaseModelError listing everything missing or wrong, by file."""
    settings = read_settings(base)
    _require_version_2(base, settings, files)
    shape = settings.get("gpt", {})
    problems = [f"{CONFIG}: {problem}" for problem in _setting_problems(shape)]
    problems += _stray(base, files)
    problems += file_problems(
        base, {n: h for n, h in files.items() if not n.startswith(f"{CACHE}/")}, NEEDED, UPSTREAMS
    )
    problems += conversion.problems(base, files, PICKLE, WEIGHTS)
    tensors = {} if problems else read_header(base / WEIGHTS)
    problems = problems or list(_weight_problems(tensors, shape))
    if problems:
        raise BaseModelError(
            f"{base} is not a usable {spec.id} base:\n{listing(problems)}\nA whole one: {spec.download}"
        )
    return BaseFacts(
        family=spec.id,
        architecture=f"UnifiedVoice {shape['layers']} x {shape['model_dim']}",
        encode_rate_hz=SPEAK_HZ,
        speak_rate_hz=SPEAK_HZ,
        positions_per_s=CODES_PER_S,
        min_clip_s=round(1 / CODES_PER_S, 6),
        max_clip_s=round(shape["max_mel_tokens"] / CODES_PER_S, 6),
        num_parameters=sum(one.num_values for one in tensors.values()),
        trained=trained,
        licence=licence,
        files=files,
        digest=digest.of_value(files),
    )


def _require_version_2(base: Path, settings: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Raises BaseModelError for a later layout: other conditions and other codes, which nothing here packs yet."""
    seen = str(settings.get("version", "2.0"))
    if "codec.pth" in files or not seen.startswith("2.0"):
        what = "codec.pth" if "codec.pth" in files else f"version = {seen}"
        raise BaseModelError(
            f"{base} is IndexTTS 2.5 or later ({what}): one campplus vector instead of 32 latents, languages, codes at 25 a second. "
            "It is not supported yet. IndexTTS2: "
            "huggingface-cli download IndexTeam/IndexTTS-2 --local-dir DIR"
        )


def _stray(base: Path, files: Mapping[str, str]) -> Iterator[str]:
    if any(name.startswith(f"{CACHE}/") for name in files):
        beside = base.with_name(f"{base.name}-upstream")
        yield f"{CACHE}/: further models that upstream fetched, not part of this one; mkdir -p {beside} && mv {base / CACHE} {beside}"


def _setting_problems(shape: Mapping[str, Any]) -> Iterator[str]:
    for name in SIZES:
        if not isinstance(value := shape.get(name), int) or isinstance(value, bool) or value < 0:
            yield f"gpt.{name} = {value!r}: must be a whole number, 0 or above"
    if (seen := shape.get("condition_type")) != "conformer_perceiver":
        yield f"gpt.condition_type = {seen!r}: must be 'conformer_perceiver'"
    if shape.get("train_solo_embeddings") or not shape.get("use_mel_codes_as_input", True):
        yield "gpt.train_solo_embeddings, gpt.use_mel_codes_as_input: only False and True are supported"


def _weight_problems(tensors: Mapping[str, TensorInfo], shape: Mapping[str, Any]) -> Iterator[str]:
    if odd := sorted({tensor.dtype for tensor in tensors.values()} - FLOATS - {"I64"}):
        yield f"{WEIGHTS}: tensors of type {', '.join(odd)}; a quantised conversion cannot be trained"
    if later := [name for name in LATER if name in tensors]:
        yield f"{WEIGHTS}: {later[0]}: this is IndexTTS 2.5, which is not supported"
        return
    wanted, own = tensor_names(shape["layers"]), {name for name in tensors if not name.startswith(FROZEN)}
    yield from name_problems(WEIGHTS, "missing", wanted - own)
    yield from name_problems(WEIGHTS, "not part of indextts2", own - wanted)
    for starts in FROZEN:
        if not any(name.startswith(starts) for name in tensors):
            yield f"{WEIGHTS}: missing: {starts}*"
    if wanted != own:
        return
    width = shape["model_dim"]
    for name, rows in (
        ("text_embedding.weight", shape["number_text_tokens"] + 1),
        ("mel_embedding.weight", shape["number_mel_codes"]),
        ("text_pos_embedding.emb.weight", shape["max_text_tokens"] + 2),
        ("mel_pos_embedding.emb.weight", shape["max_mel_tokens"] + 3),
    ):
        if (seen := tensors[name].shape) != (rows, width):
            yield f"{WEIGHTS}: {name} has shape {seen}, {CONFIG} says {(rows, width)}"


def tensor_names(layers: int) -> set[str]:
    """Names in gpt.pth of what is trained, and of the speed table."""
    names = {f"{one}.weight" for one in ("text_embedding", "mel_embedding", "speed_emb")}
    names |= {f"{one}_pos_embedding.emb.weight" for one in ("text", "mel")}
    parts = [
        f"{one}.{kind}"
        for one in ("final_norm", "gpt.ln_f", "text_head", "mel_head")
        for kind in ("weight", "bias")
    ]
    blocks = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    parts += [
        f"gpt.h.{n}.{one}.{kind}" for n in range(layers) for one in blocks for kind in ("weight", "bias")
    ]
    return names | set(parts)
