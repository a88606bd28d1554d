"""Stage `track`: mirror everything of this run into MLflow; safe to repeat, because local files are the truth."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout
from voicelathe.config import params
from voicelathe.tracking import replay

REVISION = 5
READS = [
    "pipelines/track.py",
    "data/audit/report.html",
    "data/split/validation.jsonl",
    "data/gate/passed.json",
    "data/gate/report.html",
    "runs/${key}/run.json",
    "runs/${key}/steps.jsonl",
    "runs/${key}/checkpoints.json",
    "runs/${key}/evaluations.jsonl",
    "runs/${key}/probes.jsonl",
    "runs/${key}/samples.jsonl",
    "runs/${key}/listening.html",
    "runs/${key}/metrics.json",
    "runs/${key}/selection.json",
    "runs/${key}/report.html",
]
WRITES = ["runs/${key}/tracked.json"]
PARAMS = ["tracking"]


def main() -> None:
    recipe = sys.argv[1]
    mirrored = replay.mirror_all(recipe, params.load().tracking, Path.cwd())
    digest.write_json(layout.run(recipe, "tracked.json"), mirrored)


if __name__ == "__main__":
    run(main)
