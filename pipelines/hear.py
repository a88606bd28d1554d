"""Stage `hear`: small models listen to every clip that could be measured."""

from pathlib import Path

from pipelines import run
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.stages import hear

REVISION = 4
READS = ["pipelines/hear.py", str(layout.MANIFEST), str(layout.MEASURES)]
WRITES = [str(layout.HEARD)]
PARAMS = ["hear", "ingest.audio_root", "machine", "speech"]


def main() -> None:
    settings = params.load()
    rows = records.read(layout.MANIFEST, records.ManifestRow)
    measures = tables.read(layout.MEASURES, records.ClipMeasure)
    heard = hear.hear(rows, measures, settings, layout.CACHE / "heard", REVISION)
    tables.write(Path(WRITES[0]), heard, records.Heard)
    print(f"{len(heard)} clips listened to")


if __name__ == "__main__":
    run(main)
