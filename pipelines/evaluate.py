"""Stage `evaluate`: validation losses of the base and of every checkpoint, on the whole split, with frozen noise; and probes."""

import sys

from pipelines import run
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.evaluate import losses
from voicelathe.stages import evaluate

REVISION = 2
READS = [
    "pipelines/evaluate.py",
    "data/split/train.jsonl",
    "data/split/validation.jsonl",
    "data/latents/${item.base}/general",
    "data/latents/${item.base}/index.parquet",
    "runs/${key}/run.json",
    "runs/${key}/checkpoints.json",
]
WRITES = [
    "runs/${key}/evaluations.jsonl",
    "runs/${key}/clip_losses.parquet",
    "runs/${key}/probes.jsonl",
]
PARAMS = ["seed", "machine", "lexicon", "recipes.${key}.evaluate", "recipes.${key}.speak"]


def main() -> None:
    recipe = sys.argv[1]
    evaluations, per_clip, probes = evaluate.evaluate(params.load(), recipe)
    losses.write(layout.run(recipe, "clip_losses.parquet"), per_clip)
    records.write(layout.run(recipe, "evaluations.jsonl"), evaluations)
    records.write(layout.run(recipe, "probes.jsonl"), probes)


if __name__ == "__main__":
    run(main)
