"""Stage `select`: choose the checkpoint to ship, or say which guard each one fails; one page says why."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.evaluate.report import experiment
from voicelathe.stages import selection

REVISION = 18
READS = [
    "pipelines/selection.py",
    "verdicts",
    "data/split/validation.jsonl",
    "data/latents/${item.base}/base.json",
    "data/latents/${item.base}/ceiling.json",
    "runs/${key}/run.json",
    "runs/${key}/steps.jsonl",
    "runs/${key}/checkpoints.json",
    "runs/${key}/evaluations.jsonl",
    "runs/${key}/clip_losses.parquet",
    "runs/${key}/probes.jsonl",
    "runs/${key}/samples.jsonl",
    "runs/${key}/metrics.json",
    "runs/${key}/race.json",
]
WRITES = [f"runs/${{key}}/{name}" for name in ("selection.json", "report.html", *experiment.FILES)]
PARAMS = ["ingest.audio_root", "recipes.${key}.select"]


def main() -> None:
    recipe, settings = sys.argv[1], params.load()
    how = params.recipe(settings, recipe).select
    chosen, page = selection.select(recipe, how, Path(), settings.ingest.audio_root)
    digest.write_json(layout.run(recipe, "selection.json"), records.to_json(chosen))
    digest.write_text(layout.run(recipe, "report.html"), page)
    experiment.write(recipe, chosen, Path())


if __name__ == "__main__":
    run(main)
