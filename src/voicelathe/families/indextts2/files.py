"""What an IndexTTS2 or 2.5 directory is, read without torch: size, rates, and all its faults.

Source of file names and settings: config.yaml of the published model; of tensor names and shapes: gpt.pth.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import BaseModelError, listing
from voicelathe.families.base import FamilySpec
from voicelathe.families.decoding import Setting
from voicelathe.families.indextts2 import editions
from voicelathe.families.indextts2.editions import CODEC, Edition
from voicelathe.families.shared import conversion
from voicelathe.families.shared.base_directory import file_problems, name_problems
from voicelathe.families.shared.safetensors_header import TensorInfo, read_header
from voicelathe.records import BaseFacts

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
CONFIG = "config.yaml"
PICKLE, WEIGHTS = "gpt.pth", "gpt.safetensors"
UPSTREAMS = (PICKLE, "s2mel.pth", "wav2vec2bert_stats.pt", "feat1.pt", "feat2.pt")  # read by upstream alone
CACHE = "hf_cache"  # where upstream, left to itself, puts further models: into the model's own directory
SPEAK_HZ = 22050
SIZES = (
    "layers", "model_dim", "heads", "max_text_tokens", "max_mel_tokens", "number_text_tokens", "number_mel_codes", "start_mel_token",
    "stop_mel_token", "start_text_token", "stop_text_token",
)  # fmt: skip
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


def edition(base: Path, settings: Mapping[str, Any]) -> Edition | None:
    """Which of the two a model directory is; None for a later one."""
    return editions.of(settings, (base / CODEC).is_file())


def facts(
    base: Path, licence: str, trained: bool, files: dict[str, str], spec: FamilySpec, wanted: Edition
) -> BaseFacts:
    """What a directory with these hashed files is. Raises BaseModelError listing everything missing or wrong, by file."""
    settings = read_settings(base)
    _require(wanted, base, settings, spec)
    shape = settings.get("gpt", {})
    pickles = (*UPSTREAMS, *wanted.pickles)
    problems = [f"{CONFIG}: {problem}" for problem in _setting_problems(shape)]
    problems += _stray(base, files)
    problems += file_problems(
        base,
        {n: h for n, h in files.items() if not n.startswith(f"{CACHE}/")},
        (CONFIG, wanted.tokenizer, *pickles),
        pickles,
    )
    problems += conversion.problems(base, files, PICKLE, WEIGHTS)
    tensors = {} if problems else read_header(base / WEIGHTS)
    problems = problems or list(_weight_problems(tensors, shape, spec.id, wanted))
    if problems:
        raise BaseModelError(
            f"{base} is not a usable {spec.id} base:\n{listing(problems)}\nA whole one: {spec.download}"
        )
    rate = wanted.codes_per_s
    return BaseFacts(
        family=spec.id,
        architecture=f"UnifiedVoice {shape['layers']} x {shape['model_dim']}",
        encode_rate_hz=SPEAK_HZ,
        speak_rate_hz=SPEAK_HZ,
        positions_per_s=rate,
        min_clip_s=round(1 / rate, 6),
        max_clip_s=round(shape["max_mel_tokens"] / rate, 6),
        num_parameters=sum(one.num_values for one in tensors.values()),
        trained=trained,
        licence=licence,
        files=files,
        digest=digest.of_value(files),
    )


def _require(wanted: Edition, base: Path, settings: Mapping[str, Any], spec: FamilySpec) -> None:
    """Raises BaseModelError for another edition: other conditions and other codes."""
    if not is_index(settings) or (found := edition(base, settings)) is wanted:
        return
    said = f"version = {settings['version']}" if "version" in settings else "no version"
    seen = f"{CONFIG}: {said}; {CODEC} is {'there' if (base / CODEC).is_file() else 'missing'}"
    if found is None:
        raise BaseModelError(
            f"{base} is no IndexTTS that is known here ({seen}). {wanted.name}: {wanted.download}"
        )
    raise BaseModelError(
        f"{base} is {found.name} ({seen}), and {spec.id} is {wanted.name}. `voicelathe base add` finds the family by itself; "
        f"{wanted.name}: {wanted.download}"
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


def _weight_problems(
    tensors: Mapping[str, TensorInfo], shape: Mapping[str, Any], family: str, wanted: Edition
) -> Iterator[str]:
    if odd := sorted({tensor.dtype for tensor in tensors.values()} - FLOATS - {"I64"}):
        yield f"{WEIGHTS}: tensors of type {', '.join(odd)}; a quantised conversion cannot be trained"
    others = {name: one for one in editions.ALL if one is not wanted for name in one.own}
    if foreign := [name for name in others if name in tensors]:
        yield f"{WEIGHTS}: {foreign[0]}: these are weights of {others[foreign[0]].name}"
        return
    names = tensor_names(shape["layers"], wanted)
    own = {name for name in tensors if not name.startswith(wanted.frozen)}
    yield from name_problems(WEIGHTS, "missing", names - own)
    yield from name_problems(WEIGHTS, f"not part of {family}", own - names)
    for starts in wanted.frozen:
        if not any(name.startswith(starts) for name in tensors):
            yield f"{WEIGHTS}: missing: {starts}*"
    if names != own:
        return
    width, tables = (
        shape["model_dim"],
        [("lang_embedding.weight", wanted.languages)] if wanted.languages else [],
    )
    for name, rows in (
        *tables,
        ("text_embedding.weight", shape["number_text_tokens"] + 1),
        ("mel_embedding.weight", shape["number_mel_codes"]),
        ("text_pos_embedding.emb.weight", shape["max_text_tokens"] + 2),
        ("mel_pos_embedding.emb.weight", shape["max_mel_tokens"] + 3),
    ):
        if (seen := tensors[name].shape) != (rows, width):
            yield f"{WEIGHTS}: {name} has shape {seen}, {CONFIG} says {(rows, width)}"


def tensor_names(layers: int, edition: Edition) -> set[str]:
    """Names in gpt.pth of what is trained, and of the speed table where there is one."""
    names = {f"{one}.weight" for one in ("text_embedding", "mel_embedding")} | {*edition.own}
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


def usage(module: str, language: str) -> dict[str, str]:
    """Of an export; see families.base.FamilySpec. `language`: what `infer` is told of it, with a comma in front."""
    opened = f"""import soundfile
from indextts.{module} import IndexTTS2  # upstream's checkout, with the packages of its pyproject.toml
from safetensors.torch import load_file

"""
    spoken = f"""
soundfile.write("voice.wav", load_file("HERE/speaker_reference.safetensors")["0/audio"].numpy(), 22050)
model.infer("voice.wav", "The lamp is on.", "spoken.wav"{language}, DECODING)
audio, rate = soundfile.read("spoken.wav")"""
    return {
        "adapter": f"""{opened}from peft import PeftModel

model = IndexTTS2(cfg_path="BASE/config.yaml", model_dir="BASE")
PeftModel.from_pretrained(model.gpt, "HERE")  # puts the adapter into the model in place{spoken}""",
        "full": f"""{opened}model = IndexTTS2(cfg_path="HERE/config.yaml", model_dir="HERE"){spoken}""",
    }
