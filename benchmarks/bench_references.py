"""Does training with references change the loss of clips alone, or of clips behind a reference? The embedded base, three seeds.

Usage:  python -m benchmarks.bench_references OUT.jsonl [ROOT]
Trains the recipe mini-lora through the trainer's own loop, with reference_share 0 and 0.5, and scores base and last checkpoint on the
validation clips with frozen noise, alone and behind a clip of another recording. ROOT is a checkout after `make repro`. Each finished
run is a line of OUT; started again, it goes on with the next and prints the table. It says nothing of what is heard.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import math
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from voicelathe import digest, families, records
from voicelathe.config import params, schema
from voicelathe.data import tables
from voicelathe.data.latents import cache
from voicelathe.data.references import pairs, planning
from voicelathe.families.base import ClipItem
from voicelathe.process import jobs
from voicelathe.train import adapters, loop
from voicelathe.worker import losses

RECIPE, SEEDS, SHARES, PASSES = "mini-lora", (1, 2, 3), (0.0, 0.5), 2
MACHINE = schema.Machine("cpu", 1, 1)
Scores = dict[str, dict[str, float]]  # alone | behind -> clip -> loss


def main(out: Path, root: Path) -> None:
    done = read(out)
    for seed in SEEDS:
        for share in SHARES:
            if (share, seed) not in done:
                with out.open("a") as file:
                    file.write(json.dumps({"share": share, "seed": seed, **one(root, share, seed)}) + "\n")
    print(table(read(out)))


def read(out: Path) -> dict[tuple[float, int], dict[str, Any]]:
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    return {(line["share"], line["seed"]): line for line in lines}


def one(root: Path, share: float, seed: int) -> dict[str, Any]:
    """Train, and score the base and the last checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        job = planned(root, Path(folder), share, seed)
        before = score(root, job, None)
        began = time.process_time()
        loop.run(job, lambda *_: None)
        seconds = time.process_time() - began
        after = score(root, job, Path(folder) / f"step_{job.train.steps:07d}")
        return {"seconds": seconds, "base": before, "final": after}


def planned(root: Path, directory: Path, share: float, seed: int) -> jobs.TrainJob:
    settings = params.load()
    recipe = params.recipe(settings, RECIPE)
    every = recipe.train.steps
    train = replace(recipe.train, checkpoint_every=every, probe_every=every, reference_share=share)
    references = None
    if share:
        splits = {
            name: records.read(root / f"data/split/{name}.jsonl", records.CleanClip)
            for name in ("train", "validation", "test")
        }
        assigned = tables.read(root / "data/split/assignments.parquet", records.SplitAssignment)
        plan = planning.plan(root / settings.ingest.audio_root, splits, assigned).plan
        digest.write_json(directory / "references" / pairs.PLAN, records.to_json(plan))
        references = str(directory / "references")
    return jobs.TrainJob(
        target=jobs.Target("voxcpm2", str(root / settings.bases[recipe.base].path), "0" * 64, MACHINE), train=train, seed=seed,
        clips=str(root / "data/split/train.jsonl"), latents=str(root / "data/latents" / recipe.base), run_digest="0" * 64,
        audio_root=str(root), directory=str(directory), references=references,
    )  # fmt: skip


def score(root: Path, job: jobs.TrainJob, weights: Path | None) -> Scores:
    """Weighted loss of every validation clip, alone and behind a reference."""
    family: Any = families.find(job.target.family)
    base, lora = Path(job.target.base), job.train.lora
    loaded = family.load(base, family.describe(base, "", True), MACHINE, "core")
    if weights is not None and lora is not None:
        adapters.inject(loaded.core, lora, family.adapter_targets(loaded, lora.scope), seed=0)
        adapters.load(loaded.core, family.load_adapter(weights))
    loaded.core.eval()
    rows = records.read(root / "data/split/validation.jsonl", records.CleanClip)
    items = cache.items(root / "data/split/validation.jsonl", Path(job.latents))
    behind = [family.prompted(items[row.clip_id], items[other(row, rows)]) for row in rows]
    return {name: _losses(family, loaded, some) for name, some in (("alone", list(items.values())), ("behind", behind))}  # fmt: skip


def _losses(family: Any, loaded: Any, items: list[ClipItem]) -> dict[str, float]:
    return losses.totals(losses.of_clips(family, loaded, items, 0, PASSES, 8), family.spec.loss_weights)


def other(row: records.CleanClip, rows: list[records.CleanClip]) -> str:
    """The clip of another recording that is nearest to five seconds."""
    others = [one for one in rows if one.recording_id != row.recording_id]
    return min(others, key=lambda one: (abs(one.duration_s - 5.0), one.clip_id)).clip_id


def table(found: dict[tuple[float, int], dict[str, Any]]) -> str:
    """Markdown: means over clips of each seed, and the difference that references make, paired by clip, with 95 % over clips."""
    first = next(iter(found.values()))
    lines = [
        "| scored | base | share 0, by seed | share 0.5, by seed | difference | 95 % |",
        "|---|--:|---|---|--:|---|",
    ]
    for how in ("alone", "behind"):
        shown = [
            ", ".join(f"{statistics.mean(found[share, seed]['final'][how].values()):.4f}" for seed in SEEDS)
            for share in SHARES
        ]
        apart = [
            statistics.mean(
                found[SHARES[1], seed]["final"][how][clip] - found[SHARES[0], seed]["final"][how][clip]
                for seed in SEEDS
            )
            for clip in first["final"][how]
        ]
        mean, wide = statistics.mean(apart), 1.96 * statistics.stdev(apart) / math.sqrt(len(apart))
        base = statistics.mean(first["base"][how].values())
        lines.append(
            f"| {how} | {base:.4f} | {' | '.join(shown)} | {mean:+.4f} | {mean - wide:+.4f} to {mean + wide:+.4f} |"
        )
    seconds = {
        share: statistics.mean(one["seconds"] for (of, _), one in found.items() if of == share)
        for share in SHARES
    }
    cost = ", ".join(f"{value:.1f} s at share {share:g}" for share, value in seconds.items())
    return "\n".join([*lines, "", f"CPU time of a training: {cost}"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "."))
