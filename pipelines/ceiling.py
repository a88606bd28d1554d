"""Stage `ceiling`: what the base's own codec leaves of real clips, heard before anybody trains."""

import sys

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.stages import ceiling

REVISION = 3
READS = [
    "pipelines/ceiling.py",
    "data/split/validation.jsonl",
    "data/latents/${key}/base.json",
]
WRITES = ["data/latents/${key}/ceiling.json"]
PARAMS = ["seed", "bases.${key}", "ingest.audio_root", "machine", "speech"]


def main() -> None:
    base = sys.argv[1]
    found = ceiling.measure(params.load(), base)
    digest.write_json(layout.ceiling(base), records.to_json(found))


if __name__ == "__main__":
    run(main)
