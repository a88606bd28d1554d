"""Stage `evaluate`: validation losses of the base and of every checkpoint, on the whole split, with frozen noise."""

import sys

from pipelines import run
from voicelathe import layout, params, records, sweep
from voicelathe.evaluate import losses

REVISION = 1
READS = [
    "pipelines/evaluate.py",
    "data/split/validation.jsonl",
    "data/latents/${item.base}/index.parquet",
    "runs/${key}/run.json",
    "runs/${key}/checkpoints.json",
]
WRITES = ["runs/${key}/evaluations.jsonl", "runs/${key}/clip_losses.parquet"]
PARAMS = ["seed", "machine", "recipes.${key}.evaluate"]


def main() -> None:
    recipe = sys.argv[1]
    evaluations, per_clip = sweep.evaluate(params.load(), recipe)
    losses.write(layout.run(recipe, "clip_losses.parquet"), per_clip)
    records.write(layout.run(recipe, "evaluations.jsonl"), evaluations)


if __name__ == "__main__":
    run(main)
