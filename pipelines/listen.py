"""Stage `listen`: the base and every checkpoint speak the same lines with the same seeds; a page to hear them blind, and metrics."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, params, records, runs, sweep
from voicelathe.evaluate import judging, listening

REVISION = 7
READS = [
    "pipelines/listen.py",
    "data/latents/${item.base}/base.json",
    "data/split/validation.jsonl",
    "runs/${key}/run.json",
    "runs/${key}/checkpoints.json",
    "runs/${key}/evaluations.jsonl",
]
WRITES = ["runs/${key}/" + name for name in ("samples.jsonl", "listening.html", "metrics.json", "race.json")]
PARAMS = ["machine", "ingest.audio_root", "recipes.${key}.listen", "recipes.${key}.select.guards"]


def main() -> None:
    recipe, settings = sys.argv[1], params.load()
    executed, _ = runs.read(recipe)
    how = sweep.with_held_out(settings, params.recipe(settings, recipe).listen, executed.identity.seed)
    samples = sweep.listen(settings, recipe, how)
    records.write(layout.run(recipe, "samples.jsonl"), samples)
    trained = runs.base_facts(settings, executed.identity.base).trained
    root = settings.ingest.audio_root
    real = listening.recordings(samples, root)
    page = listening.render(recipe, executed, samples, Path.cwd(), base_trained=trained, real=real)
    digest.write_text(layout.run(recipe, "listening.html"), page)
    measured = judging.of(recipe, executed, samples, how, root, settings.engine.workers)
    digest.write_json(layout.run(recipe, "metrics.json"), records.to_json(measured))


if __name__ == "__main__":
    run(main)
