"""Stage `preflight`: does it fit; then a few real steps, two checkpoints heard beside the base; go or no-go."""

import sys
from dataclasses import replace

from pipelines import run
from pipelines.train import REVISION as TRAIN_REVISION
from pipelines.train import SPLIT
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.errors import PreflightError, listing
from voicelathe.stages import lora_first, preflight

REVISION = 10
PARTS = ("index.parquet", "base.json", "general", "ceiling.json")
LATENTS = [f"data/latents/${{item.base}}/{name}" for name in PARTS]
READS = ["pipelines/preflight.py", *SPLIT, *LATENTS, "${item.preflight.evidence}"]
WRITES = ["runs/${key}/preflight.json"]
_RECIPE = ("preflight", "train", "speak", "select.guards")
PARAMS = [
    "seed",
    "machine",
    "lexicon",
    "bases.${item.base}",
    *(f"recipes.${{key}}.{part}" for part in _RECIPE),
]


def main() -> None:
    recipe = sys.argv[1]
    settings = params.load()
    refused, waived = lora_first.check(settings, recipe)
    for text in (notices := preflight.notices(settings, recipe)):
        print(f"{recipe}: {text}", file=sys.stderr)
    found = replace(preflight.preflight(settings, recipe, TRAIN_REVISION, refused, waived), notices=notices)
    digest.write_json(layout.run(recipe, "preflight.json"), records.to_json(found))
    if found.decision != "go":
        raise PreflightError(f"{recipe} must not be trained yet:\n{listing(found.reasons)}")


if __name__ == "__main__":
    run(main)
