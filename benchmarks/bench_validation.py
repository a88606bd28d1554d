"""Validation of 11 checkpoints against reload-and-batch-1; and frozen against fresh noise between neighbouring checkpoints.

Usage:  python -m benchmarks.bench_validation speed [BASE]    a VoxCPM 2 directory; by default random, of about 20 M parameters
        python -m benchmarks.bench_validation noise RECIPE        of a finished recipe, its own checkpoints and validation split

speed: 16 clips, upstream's noise replayed, so both must give the same losses (1e-5).
Baseline: what a user would run otherwise, upstream's loader for every checkpoint and its training forward clip by clip, latents given.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks import bench_step, table
from tests.factories import voxcpm2_base
from tests.families.voxcpm import upstream_voxcpm as upstream
from voicelathe import families, layout
from voicelathe.config import schema
from voicelathe.data.latents import cache
from voicelathe.families.voxcpm import losses as voxcpm_losses
from voicelathe.runs import results
from voicelathe.worker import losses
from voicelathe.worker.weights import Swapper

NUM_CHECKPOINTS, CLIPS_PER_PASS, DRAWS = 11, 8, 24
PASSES = (1, 2, 4)  # draws of the noise for each clip: the demo takes 2, the recipes of VoxCPM 4
MACHINE = schema.Machine("cpu", 1, 1)


def speed(given: Path | None, passes: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if given is None:
            voxcpm2_base.write(root / "base", bench_step.overrides())
        else:
            shutil.copytree(given, root / "base")
        directories = [_checkpoint(root, number) for number in range(NUM_CHECKPOINTS)]
        family = families.find("voxcpm2")
        facts = family.describe(root / "base", "", False)
        described = json.loads((root / "base" / "config.json").read_text())
        texts, audio = _clips(described["feat_dim"], described["lm_config"]["vocab_size"])
        inputs = [upstream.sequence(text, latent, None) for text, latent in zip(texts, audio, strict=True)]
        found: dict[str, list[list[float]]] = {}

        def theirs() -> None:
            model_class = family._upstream().VoxCPM2Model  # type: ignore[attr-defined]
            found["theirs"] = []
            for directory in directories:
                model = model_class.from_local(
                    str(directory), optimize=False, training=True, device="cpu"
                ).eval()
                with torch.inference_mode():
                    drawn = [
                        [
                            float(sum(upstream.losses(model, one, at + len(inputs) * number)))
                            for at, one in enumerate(inputs)
                        ]
                        for number in range(passes)
                    ]
                found["theirs"].append(np.mean(drawn, axis=0).tolist())

        def ours() -> None:
            loaded = family.open_model(root / "base", facts, MACHINE)
            loaded.core.eval()
            found["ours"] = []
            for directory in directories:
                loaded.load_full(directory)
                found["ours"].append(_packed(loaded.core, texts, audio, inputs, passes))

        measured = table.interleaved({"ours": ours, "reload and batch 1": theirs}, repeats=5)
        worst = float(np.abs(np.array(found["ours"]) - np.array(found["theirs"])).max())
        return table.rows(
            f"{NUM_CHECKPOINTS} checkpoints x {len(texts)} clips x {passes} draws",
            measured,
            "reload and batch 1",
        ) + (f"\n\nLargest difference of a clip's loss: {worst:.1e}.")


def _checkpoint(root: Path, number: int) -> Path:
    """The base with its weights shifted a little; two different weight files are enough to read eleven times."""
    directory = root / f"step_{number:07d}"
    shutil.copytree(root / "base", directory, copy_function=os.link)
    shifted = root / f"shifted-{number % 2}.safetensors"
    if not shifted.is_file():
        weights = load_file(root / "base" / "model.safetensors")
        save_file({name: tensor * (1.0 + 0.001 * number) for name, tensor in weights.items()}, shifted)
    (directory / "model.safetensors").unlink()
    os.link(shifted, directory / "model.safetensors")
    return directory


def _clips(width: int, vocabulary: int) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = [*bench_step.CLIPS, *((text + 3, audio + 4) for text, audio in bench_step.CLIPS)]
    texts = [torch.randint(105, vocabulary, (text,), generator=generator) for text, _ in shapes]
    return texts, [torch.randn((a, bench_step.FRAMES, width), generator=generator) for _, a in shapes]


def _packed(
    model: Any, texts: list[Tensor], audio: list[Tensor], inputs: list[dict[str, Tensor]], passes: int
) -> list[float]:
    """Clips of similar length beside each other and the language models once for all draws, as the worker does it."""
    order = sorted(range(len(texts)), key=lambda at: len(audio[at]))
    totals = np.zeros(len(order))
    for start in range(0, len(order), CLIPS_PER_PASS):
        members = order[start : start + CLIPS_PER_PASS]
        chosen = ([texts[at] for at in members], [audio[at] for at in members], [None] * len(members))
        pack = voxcpm_losses.pack(*chosen, torch.device("cpu"))
        with torch.inference_mode():
            pack = replace(pack, settled=voxcpm_losses.settle(model, pack, "none"))
            for number in range(passes):
                drawn = [upstream.noise(model, inputs[at], at + len(inputs) * number) for at in members]
                rows = voxcpm_losses.losses(model, pack, upstream.joined(drawn), "none")
                totals[members] += (rows["diff"] + rows["stop"]).numpy() / passes
    return [float(one) for one in totals]


def noise(recipe: str) -> str:
    """Variance, over draws of the noise, of the difference between neighbouring checkpoints' validation totals."""
    run, index = results.read(recipe)
    identity = run.identity
    family, base = families.find(identity.family), Path(index[0].path)
    model = family.open_model(base, family.describe(base, "", True), MACHINE)
    refs = [ref for ref in results.candidates(index, [1.0]) if ref.candidate.step]
    swapper = Swapper(family, model, identity.train.lora, refs)
    model.core.eval()
    items = list(cache.items(layout.split("validation"), layout.latents(identity.base), None).values())
    weights = family.spec.loss_weights
    totals_CD = []
    for ref in refs:
        swapper.put(ref)
        drawn = [losses.totals(losses.of_clips(model, items, seed, 1, 8), weights) for seed in range(DRAWS)]
        totals_CD.append([float(np.mean(list(one.values()))) for one in drawn])
    lines = [
        f"| {recipe}, {len(items)} clips, {DRAWS} draws | difference | deviation, fresh | deviation, frozen | times less variance |",
        "|---|--:|--:|--:|--:|",
    ]
    for one, other, first, second in zip(totals_CD, totals_CD[1:], refs, refs[1:], strict=False):
        frozen = np.array(one) - np.array(other)
        fresh = np.array(one) - np.roll(np.array(other), 1)  # each checkpoint with a draw of its own
        ratio = float(np.var(fresh) / np.var(frozen))
        lines.append(
            f"| step {first.candidate.step} - step {second.candidate.step} | {frozen.mean():.5f} | {fresh.std():.5f} | {frozen.std():.6f} | {ratio:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1] == "noise":
        print(noise(sys.argv[2]))
    else:
        for count in PASSES:
            print(speed(Path(sys.argv[2]) if sys.argv[2:] else None, count), end="\n\n", flush=True)
