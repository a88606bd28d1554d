"""What small models hear in the clips: a worker listens to what no earlier run has heard, by content.

Parent side: the models live in the worker, so that a stage never imports torch.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.data import tables
from voicelathe.data.measures.cache import content
from voicelathe.process import jobs, runner
from voicelathe.records import ClipMeasure, Heard, ManifestRow, RecogniserRef
from voicelathe.speech import recogniser_files

MIN_S = 0.1  # less holds no speech that a model could know


def hear(
    rows: Sequence[ManifestRow],
    measures: Sequence[ClipMeasure],
    chosen: schema.Params,
    cache: Path,
    revision: int,
) -> list[Heard]:
    """What was heard in each clip that could be decoded and is long enough, by clip id. Nothing when no model is asked for.

    Words and voice depend on the text or the model alone, so a changed text is heard again. Raises WorkerError,
    MetricUnavailable or RecogniserError.
    """
    how = chosen.hear
    if not (how.speech or how.words or how.voice):
        return []
    usable = {one.clip_id for one in measures if one.problem is None and (one.duration_s or 0.0) >= MIN_S}
    wanted = {row.clip_id: _key(row, how) for row in rows if row.clip_id in usable}
    recogniser = recogniser_files.reference(chosen.speech, chosen.machine) if how.words else None
    ears = [recogniser.digest, recogniser.device, recogniser.languages] if recogniser else None
    store = cache / f"{digest.of_value([revision, vars(how), ears])[:16]}.parquet"
    known = {one.clip_id: one for one in tables.read(store, Heard)} if store.is_file() else {}
    new = {key: row for row in rows if (key := wanted.get(row.clip_id)) and key not in known}
    if new:
        todo = [replace(row, clip_id=key) for key, row in sorted(new.items())]
        known |= {one.clip_id: one for one in _in_worker(todo, chosen, recogniser, cache)}
        tables.write(store, [known[key] for key in sorted(known)], Heard)
    return [replace(known[key], clip_id=clip_id) for clip_id, key in sorted(wanted.items()) if key in known]


def _in_worker(
    rows: list[ManifestRow], chosen: schema.Params, recogniser: RecogniserRef | None, cache: Path
) -> list[Heard]:
    clips, out = cache / "todo.jsonl", cache / "new.parquet"
    records.write(clips, rows)
    machine = replace(chosen.machine, device="cpu")
    job = jobs.MeasureJob(
        machine, chosen.engine, chosen.hear, recogniser, str(clips), chosen.ingest.audio_root, str(out)
    )
    runner.run(job, "hear")
    return tables.read(out, Heard)


def _key(row: ManifestRow, how: schema.Hear) -> str:
    return digest.of_value([content(row), (row.language, row.text) if how.words else None])
