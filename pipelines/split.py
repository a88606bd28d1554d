"""Stage `split`: give every source recording, whole, to exactly one of train, validation and test."""

from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data import columns, tables
from voicelathe.data.split import assign, frozen, proof

REVISION = 5
READS = ["pipelines/split.py", "data/audit/clean.jsonl", "data/audit/links.parquet", "splits"]
WRITES = [
    *("data/split/train.jsonl", "data/split/validation.jsonl", "data/split/test.jsonl"),
    *(str(layout.ASSIGNMENTS), "data/split/proof.json"),
]
PARAMS = ["seed", "split"]


def main() -> None:
    settings = params.load()
    clips = columns.read(Path(READS[1]), records.CleanClip)
    links = tables.read(Path(READS[2]), records.Link)
    held = frozen.read(settings.split.frozen) if settings.split.frozen else None
    found = assign.assign(clips, settings.split, settings.seed, links, held)
    for name, members in found.tables.items():
        columns.write(layout.split(name), members)
    tables.write(Path(WRITES[3]), found.assignments, records.SplitAssignment)
    digest.write_json(Path(WRITES[4]), proof.of(found, settings.split, settings.seed))
    print(", ".join(f"{len(members)} clips for {name}" for name, members in found.tables.items()))


if __name__ == "__main__":
    run(main)
