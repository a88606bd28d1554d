"""What a VoxCPM directory is, read without torch: rates, size, and all its faults.

Upstream fills missing settings with defaults and loads weights with `strict=False` (voxcpm 2.0.3,
model/voxcpm2.py, `from_local`), so a wrong directory can load in silence and speak noise. It is refused here.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import BaseModelError, listing
from voicelathe.families.base import FamilySpec
from voicelathe.families.shared import conversion
from voicelathe.families.shared.base_directory import (
    CONFIG,
    WEIGHTS,
    file_problems,
    name_problems,
    read_config,
)
from voicelathe.families.shared.safetensors_header import TensorInfo, read_header
from voicelathe.families.voxcpm import config as voxcpm_config
from voicelathe.records import BaseFacts

VAE_SAFETENSORS, VAE_PICKLE = "audiovae.safetensors", "audiovae.pth"  # upstream prefers the first
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
FLOATS = frozenset({"F32", "BF16", "F16"})


def facts(
    base: Path, licence: str, trained: bool, files: dict[str, str], spec: FamilySpec, architecture: str
) -> BaseFacts:
    """What a directory with these hashed files is. Raises BaseModelError listing everything missing or wrong, by file."""
    config = read_config(base / CONFIG, spec.download)
    if (seen := voxcpm_config.architecture(config)) != architecture:
        raise BaseModelError(
            f"{base / CONFIG}: architecture = {seen!r}, but this family needs {architecture!r}. Download: {spec.download}"
        )
    problems = [f"{CONFIG}: {problem}" for problem in voxcpm_config.problems(config)]
    problems += file_problems(base, files, (WEIGHTS, *TOKENIZER), (VAE_PICKLE,))
    problems += _codec_problems(base, files)
    tensors = {} if problems else read_header(base / WEIGHTS)
    problems = problems or list(_weight_problems(tensors, config, spec.id))
    if problems:
        raise BaseModelError(
            f"{base} is not a usable {spec.id} base:\n{listing(problems)}\nA whole one: {spec.download}"
        )
    vae, rate = voxcpm_config.vae(config), voxcpm_config.positions_per_s(config)
    return BaseFacts(
        family=spec.id,
        architecture=architecture,
        encode_rate_hz=vae["sample_rate"],
        speak_rate_hz=vae["out_sample_rate"],
        positions_per_s=rate,
        min_clip_s=round(1 / rate, 6),
        max_clip_s=round(voxcpm_config.max_positions(config) / rate, 6),
        num_parameters=sum(tensor.num_values for tensor in tensors.values()),
        trained=trained,
        licence=licence,
        files=files,
        digest=digest.of_value(files),
    )


def _codec_problems(base: Path, files: Mapping[str, str]) -> Iterator[str]:
    if VAE_SAFETENSORS in files:
        found = list(_vae_problems(base / VAE_SAFETENSORS))
        if not found and conversion.is_converted(base / VAE_SAFETENSORS):
            found = list(conversion.problems(base, files, VAE_PICKLE, VAE_SAFETENSORS))
        yield from found
    elif VAE_PICKLE not in files:
        yield f"{VAE_PICKLE}: missing, and so is {VAE_SAFETENSORS}"
    # torch.save writes a zip archive; a download that stopped has lost the archive's index at its end.
    elif not zipfile.is_zipfile(base / VAE_PICKLE):
        yield f"{VAE_PICKLE}: not a whole torch archive; download it again"


def _vae_problems(path: Path) -> Iterator[str]:
    try:
        if not read_header(path):
            yield f"{path.name}: holds no tensors"
    except BaseModelError as problem:
        yield str(problem)


def _weight_problems(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any], model: str
) -> Iterator[str]:
    wanted = voxcpm_config.tensor_names(config)
    if odd := sorted({tensor.dtype for tensor in tensors.values()} - FLOATS):
        yield f"{WEIGHTS}: tensors of type {', '.join(odd)}; a quantised conversion cannot be trained"
    yield from name_problems(WEIGHTS, "missing", wanted - set(tensors))
    yield from name_problems(WEIGHTS, f"not part of {model}", set(tensors) - wanted)
    embedding = tensors.get("base_lm.embed_tokens.weight")
    shape = (config["lm_config"]["vocab_size"], config["lm_config"]["hidden_size"])
    if embedding is not None and embedding.shape != shape:
        yield f"{WEIGHTS}: base_lm.embed_tokens.weight has shape {embedding.shape}, {CONFIG} says {shape}"
