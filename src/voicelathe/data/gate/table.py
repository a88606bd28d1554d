"""What the gate looks at: one row per clip with raw columns, from the manifest, the measures and the split files.

The audit's findings are not among them: a gate that believed the audit could not notice that the audit was wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from voicelathe import rng
from voicelathe.data import columns
from voicelathe.data.columns import Column, Rows
from voicelathe.data.gate import line_leaks
from voicelathe.data.gate.line_leaks import Leaks
from voicelathe.data.near_duplicates import leakage
from voicelathe.data.near_duplicates.leakage import Sharing
from voicelathe.data.text import columns as text_columns
from voicelathe.errors import RecordError
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, ClipMeasure, ManifestRow

Table = Any  # pandas.DataFrame with the columns of GateRow
CUT_S = 0.001  # an end that is measured in samples may lie that far behind the one in the manifest
OF_ROWS = [
    *("clip_id", "audio", "start_s", "end_s", "text", "recording_id", "speaker_id", "language"),
    "audio_sha256",
]
OF_MEASURES = ["clip_id", "file_rate_hz", "duration_s", "num_nonfinite", "samples_sha256"]
LOOKED_AT = [
    *OF_MEASURES,
    "fingerprint",
]  # the rest is 110 MiB of a million rows
ROW_BY_ROW = (0.8, 0.9)  # where the usual random split of rows divides train, validation and test


@dataclass(frozen=True)
class GateRow:
    """The columns. What could not be measured is None, and every column has a check that refuses None."""

    clip_id: str | None
    split: str | None
    text: str | None
    plain_text: str | None  # as it looks: no invisible characters, one spelling
    num_spoken_chars: float | None
    duration_s: float | None
    num_nonfinite: float | None
    file_rate_hz: float | None
    chars_per_s: float | None  # of the whole duration
    recording_id: str | None
    speaker_id: str | None
    num_splits_of_recording: float | None
    num_splits_of_audio: float | None  # of the file's bytes
    num_splits_of_seconds: float | None  # that have some of the same seconds of a file
    num_splits_of_samples: float | None  # of the decoded clip
    num_splits_of_performance: float | None  # of what sounds the same, by fingerprint
    line_overlap: (
        float | None
    )  # of a training row: share of a spoken line that stands in the training text, some of it here
    training_overlap: float | None  # of a validation row: share of its text that stands in the training text
    matches_manifest: bool | None  # text, recording, speaker, audio and bounds are those of the raw manifest


def of_splits(
    splits: Mapping[str, Rows], rows: Rows, measures: Rows, same: Mapping[str, Sequence[str]], leaks: Leaks
) -> Table:
    """The clips that would be trained on; `same` are the clips of one performance (`shared.performances`), `leaks` of the same rows.

    Raises RecordError for a clip that the raw manifest does not know.
    """
    import pyarrow
    import pyarrow.compute as pc

    held = {name: columns.of(clips, CleanClip) for name, clips in splits.items()}
    clips = pyarrow.concat_tables(held.values())
    split = pyarrow.chunked_array(
        [pyarrow.array([name] * len(some), pyarrow.string()) for name, some in held.items()]
    )
    known, measured = columns.of(rows, ManifestRow), columns.of(measures, ClipMeasure)
    known, measured = known.select(OF_ROWS), measured.select(OF_MEASURES)
    row_at = pc.index_in(clips["clip_id"], known["clip_id"])
    measure_at = pc.index_in(clips["clip_id"], measured["clip_id"])
    strangers = clips["clip_id"].filter(pc.or_(pc.is_null(row_at), pc.is_null(measure_at)))
    if len(strangers):
        raise RecordError(
            f"data/split names {len(strangers)} clips that data/raw does not, first {strangers[0]}. Run: dvc repro"
        )
    raw, measured = known.take(row_at), measured.take(measure_at)
    length_s = np.round(columns.numbers(clips["end_s"]) - columns.numbers(clips["start_s"]), 6)
    bounds = (clips["start_s"], clips["end_s"], np.minimum(columns.numbers(measured["duration_s"]), length_s))
    return _table(split, raw, measured, clips["text"], bounds, _matches(clips, raw), same, leaks)


def of_manifest(
    rows: Rows, measures: Rows, same: Mapping[str, Sequence[str]], packs: line_leaks.Packs
) -> Table:
    """Every row of the raw manifest, split row by row as training scripts do: what would have been trained on.

    Written lines are looked for in it; the held-out ones are in the manifest, of course.
    """
    import pyarrow
    import pyarrow.compute as pc

    raw, measured = columns.of(rows, ManifestRow), columns.of(measures, ClipMeasure).select(OF_MEASURES)
    measured = measured.take(pc.index_in(raw["clip_id"], measured["clip_id"]))
    names = [_row_split(one) for one in raw["clip_id"].to_pylist()]
    split = pyarrow.chunked_array([pyarrow.array(names, pyarrow.string())])
    written = {path: [line for line in pack if not line.is_held_out] for path, pack in packs.items()}
    leaks = line_leaks.of(raw.select(["clip_id", "text", "language"]), np.array(names, object), written)
    start_s = pc.fill_null(raw["start_s"], 0.0)
    bounds = (start_s, pc.add(start_s, measured["duration_s"]), columns.numbers(measured["duration_s"]))
    return _table(split, raw, measured, raw["text"], bounds, np.ones(len(raw), bool), same, leaks)


def _row_split(clip_id: str) -> str:
    drawn = rng.unit(0, "split by rows", clip_id)
    return SPLITS[sum(drawn >= limit for limit in ROW_BY_ROW)]


def frame(rows: Sequence[GateRow]) -> Table:
    """The rows as a data frame with fixed types, also when there are none or a column is empty."""
    import pandas

    columns = {}
    for field in fields(GateRow):
        values = [getattr(row, field.name) for row in rows]
        columns[field.name] = pandas.Series(
            values, dtype="float64" if "float" in str(field.type) else "object"
        )
    return pandas.DataFrame(columns)


def _table(
    split: Column,
    raw: columns.Table,
    measured: columns.Table,
    trained: Column,
    bounds: tuple[Column, Column, Any],
    matches: Any,
    same: Mapping[str, Sequence[str]],
    leaks: Leaks,
) -> Table:
    """`bounds` are start, end and the seconds between them of what would be trained on."""
    import pandas
    import pyarrow
    import pyarrow.compute as pc

    plain = text_columns.plain(trained)
    duration_s = bounds[2]
    named = {"clip_id": raw["clip_id"], "split": split, "recording_id": raw["recording_id"]}
    where = {"audio_sha256": raw["audio_sha256"], "samples_sha256": measured["samples_sha256"]}
    sharing = leakage.count(pyarrow.table({**named, **where, "start_s": bounds[0], "end_s": bounds[1]}), same)
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = columns.numbers(pc.utf8_length(plain)) / np.where(duration_s == 0.0, np.nan, duration_s)
    text = trained.to_pandas().astype("object")
    texts = {"text": text, "plain_text": _with_changes(text, trained, plain)}
    figures = {
        "num_spoken_chars": columns.numbers(text_columns.num_spoken_chars(trained)),
        "duration_s": duration_s,
        "num_nonfinite": columns.numbers(measured["num_nonfinite"]),
        "file_rate_hz": columns.numbers(measured["file_rate_hz"]),
        "chars_per_s": pace,
        "line_overlap": leaks.line_overlap,
        "training_overlap": leaks.training_overlap,
        **{f"num_splits_of_{one.name}": getattr(sharing, one.name).astype(float) for one in fields(Sharing)},
    }
    names = {name: one.to_pandas() for name, one in {**named, "speaker_id": raw["speaker_id"]}.items()}
    made = {**texts, **figures, **names, "matches_manifest": pandas.Series(matches, dtype="object")}
    return pandas.DataFrame({field.name: made[field.name] for field in fields(GateRow)})


def _with_changes(text: Any, trained: Column, plain: Column) -> Any:
    """The plain texts; where one is the text itself, the same object, which is most of the memory of a million rows."""
    import pyarrow.compute as pc

    found = text.copy()
    is_other = pc.fill_null(pc.not_equal(trained, plain), False)
    found[is_other.to_numpy()] = plain.filter(is_other).to_pylist()
    return found


def _matches(clips: columns.Table, raw: columns.Table) -> Any:
    """The words are the same, and the bounds lie inside of those of the raw row: a trim may narrow them."""
    import pyarrow.compute as pc

    start_s, end_s = columns.numbers(pc.fill_null(raw["start_s"], 0.0)), columns.numbers(raw["end_s"])
    found = (columns.numbers(clips["start_s"]) >= start_s) & ~(
        columns.numbers(clips["end_s"]) > end_s + CUT_S
    )
    as_written = pc.equal(clips["text"], raw["text"])
    found &= columns.mask(
        pc.or_kleene(as_written, pc.equal(clips["text"], text_columns.normalised(raw["text"])))
    )
    for name in ("audio", "recording_id", "speaker_id", "language", "audio_sha256"):
        found &= columns.mask(pc.equal(clips[name], raw[name]))
    return found
