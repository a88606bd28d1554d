"""Stage `measure`: decode every clip once and measure it."""

from pathlib import Path

from pipelines import run
from voicelathe import layout, params, records
from voicelathe.data import measure, tables

REVISION = 1
READS = ["pipelines/measure.py", "data/raw/manifest.jsonl"]
WRITES = ["data/measured/clips.parquet"]
PARAMS = ["measure", "ingest.audio_root"]


def main() -> None:
    settings = params.load()
    rows = records.read(layout.MANIFEST, records.ManifestRow)
    measures = measure.measure(rows, Path(settings.ingest.audio_root), settings.measure, settings.engine)
    tables.write(Path(WRITES[0]), measures, records.ClipMeasure)
    print(f"{len(measures)} clips measured, {sum(one.problem is not None for one in measures)} could not be")


if __name__ == "__main__":
    run(main)
