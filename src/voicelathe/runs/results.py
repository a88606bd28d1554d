"""What did a recipe leave in runs/RECIPE, and which candidates follow from it?"""

from pathlib import Path

from voicelathe import layout, records
from voicelathe.process import jobs

FULL_SCALE = 1.0


def read(recipe: str) -> tuple[records.RunRecord, list[records.CheckpointRecord]]:
    """The finished run of a recipe, as its train stage left it."""
    run = records.read_one(layout.run(recipe, "run.json"), records.RunRecord)
    return run, index(recipe).checkpoints


def index(recipe: str, root: Path = Path()) -> records.CheckpointIndex:
    """The checkpoints that a recipe has. Raises RecordError where the file is missing or damaged, or names what lies outside the project."""
    return records.read_one(root / layout.run(recipe, "checkpoints.json"), records.CheckpointIndex)


def candidates(
    checkpoints: list[records.CheckpointRecord], lora_scales: list[float]
) -> list[jobs.WeightsRef]:
    """The base, and every checkpoint at every LoRA scale."""
    found = []
    for entry in checkpoints:
        scales = lora_scales if entry.kind == "lora" else [None]
        found += [
            jobs.WeightsRef(records.Candidate(entry.step, scale), entry.kind, entry.path, entry.sha256)
            for scale in scales
        ]
    return found
