"""Stage `gate`: Great Expectations judges what would be trained on; a failure stops everything below."""

from datetime import date
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data import columns, tables
from voicelathe.data.gate import table
from voicelathe.stages import gate

REVISION = 5
MEASURES = Path("data/measured/clips.parquet")
SPLITS = {name: layout.split(name) for name in layout.SPLITS}
READ = (layout.MANIFEST, MEASURES, *SPLITS.values())
READS = ["pipelines/gate.py", *map(str, READ), "lines", "consent"]
WRITES = ["data/gate/passed.json", "data/gate/report.json", "data/gate/report.html"]
PARAMS = ["gate", "consent.policy"]


def main() -> None:
    settings = params.load()
    splits = {name: columns.read(path, records.CleanClip) for name, path in SPLITS.items()}
    data = gate.Data(
        splits=splits,
        rows=columns.read(layout.MANIFEST, records.ManifestRow).select(table.OF_ROWS),
        measures=tables.columns(MEASURES, records.ClipMeasure, table.LOOKED_AT),
        packs=gate.packs(settings, splits["validation"]),
        inputs=digest.of_files({str(path): path for path in READ}),
    )
    gate.decide(data, settings.gate, settings.consent.policy, date.today(), layout.GATE.parent)
    print(f"The gate is open; see {layout.GATE_REPORT}")


if __name__ == "__main__":
    run(main)
