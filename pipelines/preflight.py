"""Stage `preflight`: does it fit; then a few real steps, two checkpoints heard beside the base; go or no-go."""

import sys

from pipelines import run
from pipelines.train import REVISION as TRAIN_REVISION
from voicelathe import digest, layout, params, records, runs
from voicelathe.errors import PreflightError, listing
from voicelathe.evaluate import ceilings, escalation

REVISION = 5
READS = [
    "pipelines/preflight.py",
    "data/split/train.jsonl",
    "data/latents/${item.base}/index.parquet",
    "data/latents/${item.base}/base.json",
    "data/latents/${item.base}/ceiling.json",
    "${item.preflight.evidence}",
]
WRITES = ["runs/${key}/preflight.json"]
PARAMS = [
    "seed",
    "machine",
    "bases.${item.base}",
    "recipes.${key}.preflight",
    "recipes.${key}.train",
    "recipes.${key}.select.guards",
]


def main() -> None:
    recipe = sys.argv[1]
    settings = params.load()
    refused, waived = escalation.judge(settings, recipe)
    notices = ceilings.notices(settings, recipe)
    for text in notices:
        print(f"{recipe}: {text}", file=sys.stderr)
    found = runs.preflight(settings, recipe, TRAIN_REVISION, refused, waived, notices)
    digest.write_json(layout.run(recipe, "preflight.json"), records.to_json(found))
    if found.decision != "go":
        raise PreflightError(f"{recipe} must not be trained yet:\n{listing(found.reasons)}")


if __name__ == "__main__":
    run(main)
