"""Stage `audit`: judge every row; what is dropped goes to the quarantine with all its reasons."""

from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data import columns, tables
from voicelathe.data.audit import clean, players, report
from voicelathe.stages import audit

REVISION = 12
REJECTED, MEASURES = Path("data/raw/rejected.jsonl"), Path("data/measured/clips.parquet")
FILES = map(str, (layout.MANIFEST, REJECTED, MEASURES, layout.HEARD))
READS = ["pipelines/audit.py", *FILES, "${audit.phrases}"]
WRITES = [
    *("data/audit/findings.parquet", "data/audit/clean.jsonl", "data/audit/quarantine.jsonl"),
    *("data/audit/report.html", "data/audit/summary.json", "data/audit/links.parquet"),
]
PARAMS = ["audit", "ingest.audio_root"]


def main() -> None:
    settings = params.load()
    found = audit.audit(REJECTED, MEASURES, settings.audit)
    sounds = players.sounds(report.examples(found).values(), Path(settings.ingest.audio_root))
    findings, kept, quarantine, page, summary, links = map(Path, WRITES)
    tables.write(findings, found.findings, records.Finding)
    tables.write(links, found.links, records.Link)
    columns.write(kept, found.kept)
    records.write(quarantine, found.quarantine)
    digest.write_text(page, report.render(found, sounds))
    digest.write_json(summary, clean.summary(found))
    print(f"{len(found.kept)} clips kept, {len(found.quarantine)} in {quarantine}; see {page}")


if __name__ == "__main__":
    run(main)
