"""Stage `general`: other speakers' clips through the base's own audio encoder; forgetting is measured on them."""

import sys

from pipelines import run
from voicelathe.config import params
from voicelathe.stages import general

REVISION = 3
READS = ["pipelines/general.py", "${general.manifest}", "${general.audio_root}", "${item.path}"]
WRITES = ["data/latents/${key}/general"]
PARAMS = ["general", "bases.${key}", "machine"]


def main() -> None:
    general.encode_general(params.load(), sys.argv[1])


if __name__ == "__main__":
    run(main)
