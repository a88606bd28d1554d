"""What did a recipe leave in runs/RECIPE, and which candidates follow from it?"""

from voicelathe import digest, layout, records
from voicelathe.process import jobs

FULL_STRENGTH = 1.0


def read(recipe: str) -> tuple[records.RunRecord, list[records.CheckpointRecord]]:
    """The finished run of a recipe, as its train stage left it."""
    run = records.read_one(layout.run(recipe, "run.json"), records.RunRecord)
    path = layout.run(recipe, "checkpoints.json")
    listed = digest.read_json(path)["checkpoints"]
    return run, [records.from_json(records.CheckpointRecord, entry, str(path)) for entry in listed]


def candidates(index_: list[records.CheckpointRecord], lora_scales: list[float]) -> list[jobs.WeightsRef]:
    """The base, and every checkpoint at every strength."""
    found = []
    for entry in index_:
        scales = lora_scales if entry.kind == "lora" else [None]
        found += [
            jobs.WeightsRef(records.Candidate(entry.step, scale), entry.kind, entry.path, entry.sha256)
            for scale in scales
        ]
    return found
