"""What a VoxCPM 2 directory is, read without torch: rates, size, the sha256 of its files, and all its faults.

Upstream fills missing settings with defaults and loads weights with `strict=False` (voxcpm 2.0.3,
model/voxcpm2.py, `from_local`), so a wrong directory can load in silence and speak noise. It is refused here.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicelathe import digest, records
from voicelathe.errors import BaseModelError, RecordError, listing
from voicelathe.families import voxcpm_config
from voicelathe.families.tensor_files import TensorInfo, read_header
from voicelathe.records import BaseFacts

FAMILY = ARCHITECTURE = "voxcpm2"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
VAE_SAFETENSORS, VAE_PICKLE = "audiovae.safetensors", "audiovae.pth"  # upstream prefers the first
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
BOOKKEEPING = (".cache", ".git")  # of the download tools, dated: not part of the model
FLOATS = frozenset({"F32", "BF16", "F16"})
DOWNLOAD = "huggingface-cli download openbmb/VoxCPM2 --local-dir DIR"


def describe(base: Path, licence: str, trained: bool) -> BaseFacts:
    """Read what a base directory is. Raises BaseModelError listing everything missing or wrong, by file."""
    _require_directory(base)
    return _facts(base, licence, trained, digest.of_tree(base))


def verify(base: Path, expected: BaseFacts | str) -> None:
    """Hash every file again, about a second a GB. Raises BaseModelError naming what changed.

    Given a digest alone it can do so only beside the record that `voicelathe base add` left: DIR.json of that digest.
    """
    _require_directory(base)
    _compare(base, digest.of_tree(base), expected)


def pinned(base: Path, licence: str, trained: bool, expected: BaseFacts | str) -> BaseFacts:
    """`verify`, then `describe`, in one reading: a changed file is named before what the change broke."""
    _require_directory(base)
    files = digest.of_tree(base)
    _compare(base, files, expected)
    return _facts(base, licence, trained, files)


def _facts(base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
    config = _read_config(base)
    problems = [f"{CONFIG}: {problem}" for problem in voxcpm_config.problems(config)]
    problems += _file_problems(base, files)
    tensors = {} if problems else read_header(base / WEIGHTS)
    problems = problems or list(_weight_problems(tensors, config))
    if problems:
        raise BaseModelError(
            f"{base} is not a usable VoxCPM 2 base:\n{listing(problems)}\nA whole one: {DOWNLOAD}"
        )
    vae, rate = voxcpm_config.vae(config), voxcpm_config.positions_per_s(config)
    return BaseFacts(
        family=FAMILY,
        architecture=ARCHITECTURE,
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


def _require_directory(base: Path) -> None:
    if not base.is_dir():
        raise BaseModelError(f"{base} is missing or not a directory. Restore it, or download it: {DOWNLOAD}")


def _read_config(base: Path) -> dict[str, Any]:
    path = base / CONFIG
    if not path.is_file():
        raise BaseModelError(f"{path} is missing: this is not a VoxCPM 2 directory. Download it: {DOWNLOAD}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BaseModelError(f"{path} is not JSON ({problem}). Download it again: {DOWNLOAD}") from None
    if not isinstance(config, dict):
        raise BaseModelError(f"{path} holds {str(config)[:40]}, not an object. Download again: {DOWNLOAD}")
    # A missing key means "voxcpm", the format of VoxCPM 0.5B and 1.5 (voxcpm 2.0.3, core.py).
    if (seen := config.get("architecture", "voxcpm")) != ARCHITECTURE:
        raise BaseModelError(
            f"{path}: architecture = {seen!r}, but this family needs {ARCHITECTURE!r}. Download: {DOWNLOAD}"
        )
    return config


def _compare(base: Path, files: Mapping[str, str], expected: BaseFacts | str) -> None:
    wanted = expected if isinstance(expected, str) else expected.digest
    seen = digest.of_value(files)
    if seen == wanted:
        return
    record = _record_beside(base, wanted) if isinstance(expected, str) else expected
    changes = list(_changes(files, record.files)) if record else []
    raise BaseModelError(
        f"{base} is not the base that was pinned: digest {seen[:16]}, pinned {wanted[:16]}.\n"
        + (listing(changes) + "\n" if changes else "")
        + "Restore the files, or accept them: voicelathe base add DIR --name NAME --replace "
        "(everything made from it is then made again)."
    )


def _record_beside(base: Path, wanted: str) -> BaseFacts | None:
    path = base.with_name(f"{base.name}.json")
    if not path.is_file():
        return None
    try:
        record = records.read_one(path, BaseFacts)
    except RecordError:
        return None  # somebody's own file of that name
    return record if record.digest == wanted else None


def _changes(files: Mapping[str, str], pinned_files: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*files, *pinned_files}):
        if name not in files:
            yield f"{name}: missing"
        elif name not in pinned_files:
            yield f"{name}: was not there when the base was added"
        elif files[name] != pinned_files[name]:
            yield f"{name}: changed (sha256 {files[name][:16]}, pinned {pinned_files[name][:16]})"


def _file_problems(base: Path, files: Mapping[str, str]) -> Iterator[str]:
    for folder in sorted({name.split("/")[0] for name in files} & set(BOOKKEEPING)):
        yield f"{folder}/: notes of the download, not part of the model; delete them: rm -r {base / folder}"
    for name in (WEIGHTS, *TOKENIZER):
        if name not in files:
            yield f"{name}: missing"
    for name in files:
        if Path(name).suffix.lower() in PICKLES and name != VAE_PICKLE:
            is_weights = name == "pytorch_model.bin"
            remedy = f"use {WEIGHTS} of the same model" if is_weights else "move it out of the directory"
            yield f"{name}: a pickle can run code when it is opened; {remedy}"
    if VAE_SAFETENSORS in files:
        yield from _vae_problems(base / VAE_SAFETENSORS)
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


def _weight_problems(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> Iterator[str]:
    wanted = voxcpm_config.tensor_names(config)
    if odd := sorted({tensor.dtype for tensor in tensors.values()} - FLOATS):
        yield f"{WEIGHTS}: tensors of type {', '.join(odd)}; a quantised conversion cannot be trained"
    yield from _named("missing", wanted - set(tensors))
    yield from _named("not part of VoxCPM 2", set(tensors) - wanted)
    embedding = tensors.get("base_lm.embed_tokens.weight")
    shape = (config["lm_config"]["vocab_size"], config["lm_config"]["hidden_size"])
    if embedding is not None and embedding.shape != shape:
        yield f"{WEIGHTS}: base_lm.embed_tokens.weight has shape {embedding.shape}, {CONFIG} says {shape}"


def _named(what: str, names: set[str], shown: int = 3) -> Iterator[str]:
    if names:
        rest = f" and {len(names) - shown} more" if len(names) > shown else ""
        yield f"{WEIGHTS}: {what}: {', '.join(sorted(names)[:shown])}{rest}"
