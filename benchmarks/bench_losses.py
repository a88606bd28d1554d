"""Validation loss after training with each memory stack, three seeds: are the lean ones within the seed noise of fp32 AdamW?

Usage:  python -m benchmarks.bench_losses OUT.jsonl [ROOT]
Trains the embedded base on the demo's clips by the shipped recipe mini-full (60 steps, here of 4 clips) through the trainer's own loop, and
scores the last checkpoint on the demo's validation clips with frozen noise, in fp32. ROOT is a checkout after `make repro`. A seed
decides order and training noise. Each finished run is a line of OUT; started again, it goes on with the next and prints the table.
The control is what the project refuses, bf16 weights rounded to nearest, so it shows whether these runs could notice a lost update.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voicelathe import families
from voicelathe.config import params, schema
from voicelathe.data.latents import cache
from voicelathe.process import jobs
from voicelathe.train import loop, precision
from voicelathe.worker import losses

RECIPE, CLIPS, SEEDS, PASSES, MACHINE = "mini-full", 4, (1, 2, 3), 2, schema.Machine("cpu", 1, 1)
UPSTREAM, CONTROL = "fp32, AdamW (upstream)", "bf16 to nearest, 8-bit AdamW (refused; control)"
STACKS: dict[str, dict[str, Any]] = {
    UPSTREAM: {"optimizer": "adamw", "weights": "fp32"},
    "bf16 + 16 bits, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_split16"},
    "bf16 + 8 bits, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_split8"},
    "bf16 stochastic, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_stochastic"},
    CONTROL: {"optimizer": "adamw8bit", "weights": "bf16_stochastic"},
}
RUNS = [(stack, seed) for seed in SEEDS for stack in STACKS if stack != CONTROL or seed == SEEDS[0]]


def main(out: Path, root: Path) -> None:
    for stack, seed in RUNS:
        if (stack, seed) not in read(out):
            found = one(root, stack, seed)
            with out.open("a") as file:
                file.write(json.dumps({"stack": stack, "seed": seed, **found}) + "\n")
    print(table(read(out)))


def read(out: Path) -> dict[tuple[str, int], dict[str, float]]:
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    return {(line["stack"], line["seed"]): line for line in lines}


def one(root: Path, stack: str, seed: int) -> dict[str, float]:
    """Train, and score the base and the last checkpoint."""
    rounded = precision.round_stochastically
    if stack == CONTROL:
        precision.round_stochastically = to_nearest
    try:
        with tempfile.TemporaryDirectory() as folder:
            job = planned(root, Path(folder), STACKS[stack], seed)
            before = score(root, job, None)
            loop.run(job, lambda *_: None)
            return {
                "base": before,
                "final": score(root, job, Path(folder) / f"step_{job.train.steps:07d}"),
            }
    finally:
        precision.round_stochastically = rounded


def to_nearest(master: Tensor, _coins: torch.Generator) -> Tensor:
    return master.to(torch.bfloat16)


def planned(root: Path, directory: Path, stack: dict[str, Any], seed: int) -> jobs.TrainJob:
    recipe = params.recipe(params.load(), RECIPE)
    base = root / params.load().bases[recipe.base].path
    train = replace(
        recipe.train, **stack, checkpoint_every=recipe.train.steps, probe_every=recipe.train.steps
    )
    return jobs.TrainJob(
        target=jobs.Target("voxcpm2", str(base), "0" * 64, MACHINE), train=train, seed=seed, run_digest="0" * 64,
        clips=str(root / "data/split/train.jsonl"), latents=str(root / "data/latents" / recipe.base),
        audio_root=str(root), directory=str(directory),
    )  # fmt: skip


def score(root: Path, job: jobs.TrainJob, weights: Path | None) -> float:
    """Mean weighted loss over the validation clips."""
    family, base = families.find(job.target.family), Path(job.target.base)
    model = family.open_model(base, family.describe(base, "", True), MACHINE)
    if weights is not None:
        model.load_full(weights)
    model.core.eval()
    items = list(cache.items(root / "data/split/validation.jsonl", Path(job.latents), None).values())
    found = losses.of_clips(model, items, 0, PASSES, 8)
    return statistics.mean(losses.totals(found, family.spec.loss_weights).values())


def table(found: dict[tuple[str, int], dict[str, float]]) -> str:
    """Markdown: the loss of each seed, their mean and deviation, and how far the stack is from fp32 AdamW with the same seed."""
    lines = [
        "| stack | "
        + " | ".join(f"seed {seed}" for seed in SEEDS)
        + " | mean | standard deviation | from fp32 AdamW, same seed |",
        "|---|" + "--:|" * (len(SEEDS) + 2) + "---|",
    ]
    for stack in STACKS:
        finals = {seed: found[stack, seed]["final"] for seed in SEEDS if (stack, seed) in RUNS}
        apart = [f"{value - found[UPSTREAM, seed]['final']:+.5f}" for seed, value in finals.items()]
        shown = [f"{finals[seed]:.5f}" if seed in finals else "" for seed in SEEDS]
        shown += [f"{statistics.mean(finals.values()):.5f}"]
        shown += [f"{statistics.stdev(finals.values()):.5f}" if len(finals) > 1 else ""]
        lines.append(f"| {stack} | {' | '.join(shown)} | {', '.join(apart)} |")
    bases = {line["base"] for line in found.values()}
    return "\n".join([*lines, "", f"Before training: {', '.join(f'{one:.5f}' for one in sorted(bases))}"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "."))
