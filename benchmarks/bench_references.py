"""Does training with references change the loss of clips alone, or of clips behind a reference? The embedded base, three seeds.

Usage:  python -m benchmarks.bench_references OUT.jsonl [ROOT]
ROOT is a checkout after `make repro`; nothing in it is written. Trains the recipe mini-lora on its training split through the trainer's own
loop, with reference_share 0 and 0.5, and scores base and last checkpoint on the clips of validation and test with frozen noise: alone,
and behind clips of other recordings, which the product's own draw chooses for each clip. Each finished run is a line of OUT; started
again, it goes on with the next and prints the table. It says nothing of what is heard.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voicelathe import families, layout, records
from voicelathe.config import params, schema
from voicelathe.data import tables
from voicelathe.data.latents import cache
from voicelathe.data.references import pairs, planning
from voicelathe.families.base import ClipItem
from voicelathe.process import jobs
from voicelathe.runs import references
from voicelathe.train import adapters, loop
from voicelathe.worker import losses

RECIPE, SEEDS, SHARES, PASSES = "mini-lora", (1, 2, 3), (0.0, 0.5), 2
DRAWS = 2  # references that each clip is scored behind
HELD_OUT = ("validation", "test")
RESAMPLES = 10_000
MACHINE = schema.Machine("cpu", 1, 1)
Scores = dict[str, dict[str, float]]  # alone | behind -> clip -> loss
Found = dict[
    tuple[float | None, int], dict[str, Any]
]  # share (None: the base, untrained), seed -> line of OUT


def main(out: Path, root: Path) -> None:
    """Train what OUT lacks, in a project of its own that borrows the data of `root`, and print the table."""
    settings = params.load(root / "params.yaml")
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "data").symlink_to(root / "data")
        os.chdir(project)
        wanted = [(None, 0), *((share, seed) for seed in SEEDS for share in SHARES)]
        for share, seed in wanted:
            if (share, seed) not in read(out):
                made = one(settings, share, seed)
                with out.open("a") as file:
                    file.write(json.dumps({"share": share, "seed": seed, **made}) + "\n")
        print(table(read(out), components()))


def read(out: Path) -> Found:
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    return {(line["share"], line["seed"]): line for line in lines}


def one(settings: schema.Params, share: float | None, seed: int) -> dict[str, Any]:
    """Train, and score the last checkpoint; the base where there is no share."""
    if share is None:
        return {"scores": score(settings, None)}
    with tempfile.TemporaryDirectory() as folder:
        job = planned(settings, Path(folder), share, seed)
        began = time.process_time()
        loop.run(job, lambda *_: None)
        seconds = time.process_time() - began
        return {"seconds": seconds, "scores": score(settings, Path(folder) / f"step_{job.train.steps:07d}")}


def planned(settings: schema.Params, directory: Path, share: float, seed: int) -> jobs.TrainJob:
    """The job that the stage `train` would give the worker, with the share and the seed of this run."""
    recipe = params.recipe(settings, RECIPE)
    every = recipe.train.steps
    train = replace(recipe.train, checkpoint_every=every, probe_every=every, reference_share=share)
    paired = references.encoded(settings, recipe.base, train)
    return jobs.TrainJob(
        target=target(settings), train=train, seed=seed, clips=str(layout.split("train")), latents=str(layout.latents(recipe.base)),
        run_digest="0" * 64, audio_root=settings.ingest.audio_root, directory=str(directory),
        references=None if paired is None else str(paired),
    )  # fmt: skip


def target(settings: schema.Params) -> jobs.Target:
    base = settings.bases[params.recipe(settings, RECIPE).base]
    return jobs.Target(base.family, base.path, base.digest, MACHINE)


def score(settings: schema.Params, weights: Path | None) -> Scores:
    """Weighted loss of every held-out clip, alone and behind references (the mean over its draws)."""
    recipe, asked = params.recipe(settings, RECIPE), target(settings)
    family: Any = families.find(asked.family)
    model = family.open_model(Path(asked.base), family.describe(Path(asked.base), "", True), MACHINE)
    if weights is not None and (lora := recipe.train.lora) is not None:
        adapters.inject(model.core, lora, model.adapter_targets(lora.scope), seed=0)
        adapters.load(model.core, family.load_adapter(weights))
    model.core.eval()
    items: dict[str, ClipItem] = {}
    for split in HELD_OUT:
        items |= cache.items(layout.split(split), layout.latents(recipe.base), None)
    alone = _losses(family, model, list(items.values()))
    draws = []
    for heard in in_front(settings, items):
        behind = [
            family.prompted(items[clip_id], items[other], "reference") for clip_id, other in heard.items()
        ]
        draws.append(_losses(family, model, behind))
    return {"alone": alone, "behind": {one: statistics.mean(draw[one] for draw in draws) for one in alone}}


def in_front(settings: schema.Params, items: dict[str, ClipItem]) -> list[dict[str, str]]:
    """For each draw the clip that stands in front of each held-out clip: of the same speaker, from another component of the split."""
    held = [replace(one, ref_audio=None) for one in held_out()]
    assigned = tables.read(layout.ASSIGNMENTS, records.SplitAssignment)
    splits = {"train": held, "validation": [], "test": []}
    drawn = pairs.Pairs(planning.plan(Path(settings.ingest.audio_root), splits, assigned).plan, 1.0, 0)
    return [drawn.of_step(sorted(items), number) for number in range(DRAWS)]


def held_out() -> list[records.CleanClip]:
    return [one for split in HELD_OUT for one in records.read(layout.split(split), records.CleanClip)]


def components() -> dict[str, str]:
    """Of every held-out clip."""
    known = {
        one.recording_id: one.component for one in tables.read(layout.ASSIGNMENTS, records.SplitAssignment)
    }
    return {one.clip_id: known[one.recording_id] for one in held_out()}


def _losses(family: Any, model: Any, items: list[ClipItem]) -> dict[str, float]:
    return losses.totals(losses.of_clips(model, items, 0, PASSES, 8), family.spec.loss_weights)


def table(found: Found, component_of: dict[str, str]) -> str:
    """Markdown: means over clips of each seed, and the difference that references make, with 95 % over recordings."""
    lines = [
        "| scored | base | share 0, by seed | share 0.5, by seed | difference | 95 % | recordings with this sign |",
        "|---|--:|---|---|--:|---|---|",
    ]
    for how in ("alone", "behind"):
        shown = [
            ", ".join(f"{statistics.mean(found[share, seed]['scores'][how].values()):.4f}" for seed in SEEDS)
            for share in SHARES
        ]
        base = statistics.mean(found[None, 0]["scores"][how].values())
        mean, low, high, same, num = over_recordings(apart(found, how), component_of)
        lines.append(
            f"| {how} | {base:.4f} | {' | '.join(shown)} | {mean:+.4f} | {low:+.4f} to {high:+.4f} | {same} of {num} |"
        )
    seconds = {
        share: statistics.mean(found[share, seed]["seconds"] for seed in SEEDS if (share, seed) in found)
        for share in SHARES
    }
    cost = ", ".join(f"{value:.1f} s at share {share:g}" for share, value in seconds.items())
    return "\n".join([*lines, "", f"{len(component_of)} clips. CPU time of a training: {cost}"])


def apart(found: Found, how: str) -> dict[str, float]:
    """By how much a clip's loss is higher with references than without, the mean over the seeds."""
    with_ref, without = ([found[share, seed]["scores"][how] for seed in SEEDS] for share in SHARES[::-1])
    return {
        clip: statistics.mean(a[clip] - b[clip] for a, b in zip(with_ref, without, strict=True))
        for clip in without[0]
    }


def over_recordings(
    clips: dict[str, float], component_of: dict[str, str]
) -> tuple[float, float, float, int, int]:
    """Mean over clips, its 95 % when whole components are drawn again, and how many of them have its sign.

    Clips of a recording are alike, so they are no independent draws; of a handful of recordings the interval still is too narrow.
    """
    grouped: dict[str, list[float]] = defaultdict(list)
    for clip, value in clips.items():
        grouped[component_of[clip]].append(value)
    sums = np.array([[sum(values), len(values)] for _, values in sorted(grouped.items())])
    drawn = sums[np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    mean = float(sums[:, 0].sum() / sums[:, 1].sum())
    return mean, float(low), float(high), int((sums[:, 0] * mean > 0).sum()), len(sums)


if __name__ == "__main__":
    torch.set_num_threads(1)
    root = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    main(Path(sys.argv[1]).absolute(), root.absolute())
