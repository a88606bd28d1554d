"""Stage `split`: give every source recording, whole, to exactly one of train, validation and test."""

from pathlib import Path

from pipelines import run
from voicelathe import layout, params, records
from voicelathe.data import splits, tables

REVISION = 1
READS = ["pipelines/split.py", "data/audit/clean.jsonl"]
WRITES = [
    *("data/split/train.jsonl", "data/split/validation.jsonl", "data/split/test.jsonl"),
    "data/split/assignments.parquet",
]
PARAMS = ["seed", "split"]


def main() -> None:
    settings = params.load()
    clips = records.read(Path(READS[1]), records.CleanClip)
    found = splits.assign(clips, settings.split, settings.seed)
    for name, members in found.clips.items():
        records.write(layout.split(name), members)
    tables.write(Path(WRITES[-1]), found.assignments, records.SplitAssignment)
    print(", ".join(f"{len(members)} clips for {name}" for name, members in found.clips.items()))


if __name__ == "__main__":
    run(main)
