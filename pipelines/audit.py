"""Stage `audit`: judge every row; what is dropped goes to the quarantine with all its reasons."""

from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, params, records
from voicelathe.data import clean, columns, phrases, report, tables

REVISION = 3
REJECTED, MEASURES = Path("data/raw/rejected.jsonl"), Path("data/measured/clips.parquet")
READS = [
    *("pipelines/audit.py", str(layout.MANIFEST), str(REJECTED), str(MEASURES), str(layout.HEARD)),
    "${audit.phrases}",
]
WRITES = [
    *("data/audit/findings.parquet", "data/audit/clean.jsonl", "data/audit/quarantine.jsonl"),
    *("data/audit/report.html", "data/audit/summary.json", "data/audit/links.parquet"),
]
PARAMS = ["audit"]


def main() -> None:
    limits = params.load().audit
    rows = columns.read(layout.MANIFEST, records.ManifestRow)
    rejected = records.read(REJECTED, records.RejectedLine)
    measures = tables.columns(MEASURES, records.ClipMeasure)
    heard = tables.columns(layout.HEARD, records.Heard)
    found = clean.audit(rows, rejected, measures, limits, phrases.load(Path(limits.phrases)), heard)
    findings, kept, quarantine, page, summary, links = map(Path, WRITES)
    tables.write(findings, found.findings, records.Finding)
    tables.write(links, found.links, records.Link)
    columns.write(kept, found.kept)
    records.write(quarantine, found.quarantine)
    digest.write_text(page, report.render(found))
    digest.write_json(summary, clean.summary(found))
    print(f"{len(found.kept)} clips kept, {len(found.quarantine)} lines in {quarantine}; see {page}")


if __name__ == "__main__":
    run(main)
