"""What the gate looks at: one row per clip with raw columns, from the manifest, the measures and the split files.

The audit's findings are not among them: a gate that believed the audit could not notice that the audit was wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from voicelathe import rng
from voicelathe.data import shared, text
from voicelathe.data.shared import Placed, Sharing
from voicelathe.errors import RecordError
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, ClipMeasure, ManifestRow

Table = Any  # pandas.DataFrame with the columns of GateRow
CUT_S = 0.001  # an end that is measured in samples may lie that far behind the one in the manifest
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
    matches_manifest: bool | None  # text, recording, speaker, audio and bounds are those of the raw manifest


def of_splits(
    splits: Mapping[str, Sequence[CleanClip]],
    rows: Iterable[ManifestRow],
    measures: Iterable[ClipMeasure],
    same: Mapping[str, Sequence[str]],
) -> Table:
    """The clips that would be trained on; `same` are the clips of one performance (`shared.performances`).

    Raises RecordError for a clip that the raw manifest does not know.
    """
    known = {row.clip_id: row for row in rows}
    measured = {measure.clip_id: measure for measure in measures}
    listed = [(split, clip) for split, clips in splits.items() for clip in clips]
    if strangers := [
        clip.clip_id for _, clip in listed if clip.clip_id not in known or clip.clip_id not in measured
    ]:
        raise RecordError(
            f"data/split names {len(strangers)} clips that data/raw does not, first {strangers[0]}. Run: dvc repro"
        )
    split_rows = [(split, known[clip.clip_id], measured[clip.clip_id], clip) for split, clip in listed]
    return _table(split_rows, same)


def of_manifest(
    rows: Iterable[ManifestRow], measures: Iterable[ClipMeasure], same: Mapping[str, Sequence[str]]
) -> Table:
    """Every row of the raw manifest, split row by row as training scripts do: what would have been trained on."""
    measured = {measure.clip_id: measure for measure in measures}
    return _table([(_row_split(row.clip_id), row, measured[row.clip_id], None) for row in rows], same)


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


Listed = tuple[
    str, ManifestRow, ClipMeasure, CleanClip | None
]  # split, raw row, measure, the row of the split file


def _table(listed: Sequence[Listed], same: Mapping[str, Sequence[str]]) -> Table:
    sharing = shared.count([_placed(*one) for one in listed], same)
    return frame([_row(*one, found) for one, found in zip(listed, sharing, strict=True)])


def _row(
    split: str, row: ManifestRow, measure: ClipMeasure, clip: CleanClip | None, found: Sharing
) -> GateRow:
    trained = row.text if clip is None else clip.text
    plain = None if trained is None else text.plain(trained)
    duration_s = measure.duration_s
    if clip is not None and duration_s is not None:
        duration_s = min(duration_s, round(clip.end_s - clip.start_s, 6))
    return GateRow(
        clip_id=row.clip_id,
        split=split,
        text=trained,
        plain_text=plain,
        num_spoken_chars=float(text.num_spoken_chars(trained)),
        duration_s=duration_s,
        num_nonfinite=measure.num_nonfinite,
        file_rate_hz=measure.file_rate_hz,
        chars_per_s=len(plain) / duration_s if plain is not None and duration_s else None,
        recording_id=row.recording_id,
        speaker_id=row.speaker_id,
        num_splits_of_recording=float(found.recording),
        num_splits_of_audio=float(found.audio),
        num_splits_of_seconds=float(found.seconds),
        num_splits_of_samples=float(found.samples),
        num_splits_of_performance=float(found.performance),
        matches_manifest=clip is None or _matches(clip, row),
    )


def _placed(split: str, row: ManifestRow, measure: ClipMeasure, clip: CleanClip | None) -> Placed:
    start_s = row.start_s or 0.0
    end_s = None if measure.duration_s is None else start_s + measure.duration_s
    return Placed(
        clip_id=row.clip_id,
        split=split,
        recording_id=row.recording_id,
        audio_sha256=row.audio_sha256,
        samples_sha256=measure.samples_sha256,
        start_s=start_s if clip is None else clip.start_s,
        end_s=end_s if clip is None else clip.end_s,
    )


def _matches(clip: CleanClip, row: ManifestRow) -> bool:
    """The words are the same, and the bounds lie inside of those of the raw row: a trim may narrow them."""
    names = ("audio", "text", "recording_id", "speaker_id", "language", "audio_sha256")
    is_inside = clip.start_s >= (row.start_s or 0.0) and (
        row.end_s is None or clip.end_s <= row.end_s + CUT_S
    )
    return is_inside and all(getattr(clip, name) == getattr(row, name) for name in names)
