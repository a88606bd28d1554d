"""Verb `export`: an adapter at its LoRA scale as files that need none, alone or worked into its base."""

import shutil
from pathlib import Path
from typing import Any

from voicelathe import digest, families
from voicelathe.process import jobs
from voicelathe.train import adapters, saving
from voicelathe.worker.weights import Swapper


def run(job: jobs.ExportJob, emit: Any) -> dict[str, Any]:
    """Upstream's files in `out`: an adapter, or a whole directory whose other files are copies of the base's."""
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    family, target, base = families.find(job.target.family), job.target, Path(job.target.base)
    model = family.open_model(base, family.describe(base, "", True), target.machine)
    Swapper(family, model, job.lora, [job.weights]).put(job.weights)
    emit(jobs.PHASE, {"name": "export", "step": job.weights.candidate.step, "micro": 0})
    scale = job.weights.candidate.lora_scale
    assert scale is not None, "only adapters come here"
    if job.merged:
        adapters.merge(model.core)
        contents = saving.whole(model)
    else:
        tensors = adapters.tensors(model.core)
        contents = model.save_adapter(adapters.scaled(tensors, scale), job.lora)
    for name, value in contents.items():
        _write(Path(job.out) / name, value)
    return {"files": sorted(contents)}


def _write(path: Path, value: Any) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, Path):
        shutil.copyfile(value, path)  # no link: what is exported may be edited
    elif path.suffix == ".safetensors":
        save_file(value, path, metadata={"format": "pt"})
    else:
        digest.write_json(path, value)
