"""What the audit stage reads, and judges: rows, measures and what was heard, as columns."""

from pathlib import Path

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.data import columns, tables
from voicelathe.data.audit import clean
from voicelathe.data.text import phrases


def audit(rejected: Path, measures: Path, limits: schema.Audit) -> clean.AuditResult:
    """Every row, judged. Nobody else holds the columns meanwhile: the audit lets go of them, hundreds of bytes a row."""
    return clean.audit(
        columns.read(layout.MANIFEST, records.ManifestRow),
        records.read(rejected, records.RejectedLine),
        tables.columns(measures, records.ClipMeasure),
        limits,
        phrases.load(Path(limits.phrases)),
        tables.columns(layout.HEARD, records.Heard),
    )
