"""Stage `train`: finish the run, keep every checkpoint, index them; streamed live into MLflow."""

import shutil
import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.registry.weights import forgotten
from voicelathe.runs import identity
from voicelathe.stages import train
from voicelathe.tracking.live.mirror import Mirror

REVISION = 5
SPLIT = [*map(str, map(layout.split, layout.SPLITS)), str(layout.ASSIGNMENTS)]
READS = [
    "pipelines/train.py",
    *SPLIT,
    *(f"data/latents/${{item.base}}/{name}" for name in ("index.parquet", "base.json", "general")),
    "runs/${key}/preflight.json",
]
WRITES = ["runs/${key}/run.json", "runs/${key}/steps.jsonl", "runs/${key}/checkpoints.json"]
OWN = [f"recipes.${{key}}.{part}" for part in ("train", "speak")]
PARAMS = ["seed", "machine", "speech", "lexicon", "bases.${item.base}", *OWN]


def main() -> None:
    recipe, settings = sys.argv[1], params.load()
    planned = identity.identify(settings, recipe, REVISION)
    with Mirror(settings.tracking, planned, Path.cwd()):
        finished, checkpoints = train.train(settings, planned)
    listed = [records.to_json(entry) for entry in checkpoints]
    index = {"run_digest": finished.run_digest, "checkpoints": listed}
    digest.write_json(layout.run(recipe, "checkpoints.json"), index)
    shutil.copyfile(Path(finished.directory) / "steps.jsonl", layout.run(recipe, "steps.jsonl"))
    digest.write_json(layout.run(recipe, "run.json"), records.to_json(finished))
    forgotten.note(finished, Path())


if __name__ == "__main__":
    run(main)
