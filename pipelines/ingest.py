"""Stage `ingest`: check the pinned raw manifest and its audio, and give every row an id."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, records
from voicelathe.config import params
from voicelathe.data.manifest import ingest

REVISION = 5
READS = ["pipelines/ingest.py", "${ingest.manifest}", "${ingest.audio_root}"]
WRITES = ["data/raw/manifest.jsonl", "data/raw/rejected.jsonl", "data/raw/audio.sha256"]
PARAMS = ["ingest"]


def main() -> None:
    settings = params.load()
    found = ingest.read_pinned(settings.ingest, settings.engine)
    for note in found.notes:
        print(note, file=sys.stderr)
    manifest, rejected, audio = map(Path, WRITES)
    records.write(manifest, found.rows)
    records.write(rejected, found.rejected)
    digest.write_text(audio, ingest.audio_list(found.audio))
    print(f"{len(found.rows)} rows, {len(found.rejected)} rejected lines, {len(found.audio)} audio files")


if __name__ == "__main__":
    run(main)
