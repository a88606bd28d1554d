"""Stage `listen`: the base and every checkpoint speak the same lines with the same seeds; one page to hear them blind."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, params, records, runs
from voicelathe.evaluate import listening

REVISION = 1
READS = [
    "pipelines/listen.py",
    "data/latents/${item.base}/base.json",
    "runs/${key}/run.json",
    "runs/${key}/checkpoints.json",
]
WRITES = ["runs/${key}/samples.jsonl", "runs/${key}/listening.html"]
PARAMS = ["machine", "recipes.${key}.evaluate.lora_scales", "recipes.${key}.listen"]


def main() -> None:
    recipe, settings = sys.argv[1], params.load()
    samples = runs.listen(settings, recipe)
    records.write(layout.run(recipe, "samples.jsonl"), samples)
    executed, _ = runs.read(recipe)
    trained = runs.base_facts(settings, executed.identity.base).trained
    page = listening.render(recipe, executed, samples, Path.cwd(), base_trained=trained)
    digest.write_text(layout.run(recipe, "listening.html"), page)


if __name__ == "__main__":
    run(main)
