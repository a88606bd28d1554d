"""What the gate looks at: one row per clip with raw columns, from the manifest, the measures and the split files.

The audit's findings are not among them: a gate that believed the audit could not notice that the audit was wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from voicelathe import rng
from voicelathe.data import columns, mapped, tables
from voicelathe.data.columns import Rows
from voicelathe.data.gate import line_leaks
from voicelathe.data.gate.line_leaks import Leaks
from voicelathe.data.near_duplicates import leakage
from voicelathe.data.near_duplicates.leakage import Sharing
from voicelathe.data.text import columns as text_columns
from voicelathe.errors import RecordError
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, ClipMeasure, ManifestRow

Table = Any  # pyarrow.Table with the columns of GateRow
Frame = Any  # pandas.DataFrame
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


@dataclass(frozen=True)
class _Sources:
    """Where the rows of a table come from: the raw manifest, the measures, the clips that would be trained on, and what was counted over all."""

    split: Any  # place in SPLITS of every row
    raw: columns.Table
    row_at: Any  # place of every row in `raw`, and in `measured`; null where it was not measured
    measured: columns.Table
    measure_at: Any
    start_s: Any
    end_s: Any
    duration_s: Any  # of what would be trained on
    clips: columns.Table | None  # CleanClip; None: the rows of the manifest, as they are


def of_splits(
    splits: Mapping[str, Rows], rows: Rows, measures: Rows, same: Mapping[str, Sequence[str]], leaks: Leaks
) -> Table:
    """The clips that would be trained on; `same` are the clips of one performance (`shared.performances`), `leaks` of the same rows.

    Raises RecordError for a clip that the raw manifest does not know.
    """
    import pyarrow
    import pyarrow.compute as pc

    held = [columns.of(splits[name], CleanClip) for name in splits]
    clips = pyarrow.concat_tables(held)
    known, measured = columns.of(rows, ManifestRow), columns.of(measures, ClipMeasure)
    known, measured = known.select(OF_ROWS), measured.select(OF_MEASURES)
    row_at = pc.index_in(clips["clip_id"], known["clip_id"])
    measure_at = pc.index_in(clips["clip_id"], measured["clip_id"])
    strangers = clips["clip_id"].filter(pc.or_(pc.is_null(row_at), pc.is_null(measure_at)))
    if len(strangers):
        raise RecordError(
            f"data/split names {len(strangers)} clips that data/raw does not, first {strangers[0]}. Run: dvc repro"
        )
    start_s, end_s = columns.numbers(clips["start_s"]), columns.numbers(clips["end_s"])
    measured_s = columns.numbers(measured["duration_s"])[measure_at.to_numpy()]
    duration_s = np.minimum(measured_s, np.round(end_s - start_s, 6))
    split = np.repeat([SPLITS.index(name) for name in splits], [len(one) for one in held])
    return _table(
        _Sources(split, known, row_at, measured, measure_at, start_s, end_s, duration_s, clips), same, leaks
    )


def of_manifest(
    rows: Rows, measures: Rows, same: Mapping[str, Sequence[str]], packs: line_leaks.Packs
) -> Table:
    """Every row of the raw manifest, split row by row as training scripts do: what would have been trained on.

    Written lines are looked for in it; the held-out ones are in the manifest, of course.
    """
    import pyarrow
    import pyarrow.compute as pc

    raw, measured = columns.of(rows, ManifestRow), columns.of(measures, ClipMeasure).select(OF_MEASURES)
    measure_at = pc.index_in(raw["clip_id"], measured["clip_id"])
    split = np.array(
        [_row_split(one) for _, some in columns.pieces(raw["clip_id"]) for one in some.to_pylist()]
    )
    written = {path: [line for line in pack if not line.is_held_out] for path, pack in packs.items()}
    leaks = line_leaks.of(raw.select(["clip_id", "text", "language"]), split, written)
    start_s = np.nan_to_num(columns.numbers(raw["start_s"]))
    duration_s = columns.numbers(measured["duration_s"].take(measure_at))
    row_at = pyarrow.chunked_array([np.arange(len(raw))])
    return _table(
        _Sources(
            split, raw, row_at, measured, measure_at, start_s, start_s + duration_s, duration_s, clips=None
        ),
        same,
        leaks,
    )


def _row_split(clip_id: str) -> int:
    drawn = rng.unit(0, "split by rows", clip_id)
    return sum(drawn >= limit for limit in ROW_BY_ROW)


def frame(table: Table) -> Frame:
    """Rows as a data frame with fixed types, also when there are none or a column is empty."""
    import pandas
    import pyarrow

    made = {}
    for name in table.column_names:
        kind = "float64" if pyarrow.types.is_floating(table[name].type) else "object"
        made[name] = table[name].to_pandas().astype(kind)
    return pandas.DataFrame(made)


def _table(sources: _Sources, same: Mapping[str, Sequence[str]], leaks: Leaks) -> Table:
    schema = tables.schema(GateRow)
    shared = _sharing(sources, same)
    parts = (
        _piece(sources, start, shared, leaks) for start in range(0, len(sources.split), columns.ROWS_AT_ONCE)
    )
    return mapped.table(
        (batch for part in parts for batch in part.select(schema.names).cast(schema).to_batches()), schema
    )


def _sharing(sources: _Sources, same: Mapping[str, Sequence[str]]) -> Sharing:
    """What splits share; recordings, files and samples are compared as numbers."""
    import pyarrow

    at, measure_at = sources.row_at.to_numpy(), sources.measure_at
    recording, audio = (columns.codes(sources.raw[name])[at] for name in ("recording_id", "audio_sha256"))
    samples = np.append(columns.codes(sources.measured["samples_sha256"]), -1)
    samples = samples[measure_at.fill_null(len(samples) - 1).to_numpy()]
    numbered = {"recording_id": recording, "audio_sha256": audio, "samples_sha256": samples}
    ids = sources.raw["clip_id"] if sources.clips is None else sources.clips["clip_id"]
    return leakage.count(
        pyarrow.table(
            {
                "clip_id": ids,
                "split": pyarrow.array(SPLITS).take(pyarrow.array(sources.split)),
                **{name: pyarrow.array(code, mask=code < 0) for name, code in numbered.items()},
                "start_s": sources.start_s,
                "end_s": sources.end_s,
            }
        ),
        same,
    )


def _piece(sources: _Sources, start: int, sharing: Sharing, leaks: Leaks) -> Table:
    """Some of the rows, whole."""
    import pyarrow
    import pyarrow.compute as pc

    here = slice(start, start + columns.ROWS_AT_ONCE)
    raw = columns.take(sources.raw, sources.row_at.slice(start, columns.ROWS_AT_ONCE))
    measured = columns.take(sources.measured, sources.measure_at.slice(start, columns.ROWS_AT_ONCE))
    clips = raw if sources.clips is None else sources.clips.slice(start, columns.ROWS_AT_ONCE)
    plain, duration_s = text_columns.plain(clips["text"]), sources.duration_s[here]
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = columns.numbers(pc.utf8_length(plain)) / np.where(duration_s == 0.0, np.nan, duration_s)
    counts = {one.name: getattr(sharing, one.name)[here] for one in fields(Sharing)}
    return pyarrow.table(
        {
            **{name: raw[name] for name in ("clip_id", "recording_id", "speaker_id")},
            "split": pyarrow.array(SPLITS).take(pyarrow.array(sources.split[here])),
            "text": clips["text"],
            "plain_text": plain,
            "num_spoken_chars": columns.numbers(text_columns.num_spoken_chars(clips["text"])),
            "duration_s": duration_s,
            "num_nonfinite": columns.numbers(measured["num_nonfinite"]),
            "file_rate_hz": columns.numbers(measured["file_rate_hz"]),
            "chars_per_s": pace,
            "line_overlap": leaks.line_overlap[here],
            "training_overlap": leaks.training_overlap[here],
            **{f"num_splits_of_{name}": some.astype(float) for name, some in counts.items()},
            "matches_manifest": np.ones(len(raw), bool) if sources.clips is None else _matches(clips, raw),
        }
    )


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
