"""Stage `gate`: Great Expectations judges what would be trained on; a failure stops everything below."""

from datetime import date
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, lines, params, records
from voicelathe.data import columns, gate_table, gatekeeper, tables

REVISION = 4
MEASURES = Path("data/measured/clips.parquet")
SPLITS = {name: layout.split(name) for name in layout.SPLITS}
READS = [
    "pipelines/gate.py",
    str(layout.MANIFEST),
    str(MEASURES),
    *map(str, SPLITS.values()),
    "lines",
    "consent",
]
WRITES = ["data/gate/passed.json", "data/gate/report.json", "data/gate/report.html"]
PARAMS = ["gate", "consent"]


def main() -> None:
    settings = params.load()
    data = gatekeeper.Data(
        splits={name: columns.read(path, records.CleanClip) for name, path in SPLITS.items()},
        rows=columns.read(layout.MANIFEST, records.ManifestRow).select(gate_table.OF_ROWS),
        measures=tables.columns(MEASURES, records.ClipMeasure).select(gate_table.LOOKED_AT),
        packs=lines.recorded(settings, records.read(SPLITS["validation"], records.CleanClip)),
        inputs=digest.of_files({str(path): path for path in (layout.MANIFEST, MEASURES, *SPLITS.values())}),
    )
    gatekeeper.decide(data, settings.gate, settings.consent.policy, date.today(), layout.GATE.parent)
    print(f"The gate is open; see {layout.GATE_REPORT}")


if __name__ == "__main__":
    run(main)
