"""Stage `measure`: decode every clip once and measure it."""

from pathlib import Path

from pipelines import run
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.data.measures import measure
from voicelathe.data.measures.cache import MeasureCache
from voicelathe.parallel.needs import WorkWatch
from voicelathe.process import progress

REVISION = 5
READS = ["pipelines/measure.py", "data/raw/manifest.jsonl"]
WRITES = ["data/measured/clips.parquet"]
PARAMS = ["measure", "ingest.audio_root"]


def main() -> None:
    settings = params.load()
    rows = records.read(layout.MANIFEST, records.ManifestRow)
    cache = MeasureCache(layout.CACHE / "measures", REVISION, settings.measure)
    root = Path(settings.ingest.audio_root)
    with progress.Display("measure") as display:
        watch = WorkWatch(display.notice, lambda done: display.advance(done, len(rows), "clips"))
        measures = measure.measure(rows, root, settings.measure, settings.engine, cache, watch)
    tables.write(Path(WRITES[0]), measures, records.ClipMeasure)
    print(f"{len(measures)} clips measured, {sum(one.problem is not None for one in measures)} could not be")


if __name__ == "__main__":
    run(main)
