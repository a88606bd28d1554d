"""Stage `encode`: every clip once through the base's own audio encoder."""

import sys

from pipelines import run
from voicelathe.config import params
from voicelathe.stages import encode

REVISION = 1
READS = [
    "pipelines/encode.py",
    "data/gate/passed.json",
    "data/split/train.jsonl",
    "data/split/validation.jsonl",
    "data/split/test.jsonl",
    "${item.path}",
]
WRITES = ["data/latents/${key}/shards", "data/latents/${key}/index.parquet", "data/latents/${key}/base.json"]
PARAMS = ["bases.${key}", "ingest.audio_root", "machine"]


def main() -> None:
    encode.encode(params.load(), sys.argv[1])


if __name__ == "__main__":
    run(main)
