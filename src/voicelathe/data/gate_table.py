"""What the gate looks at: one row per clip with raw columns, from the manifest, the measures and the split files.

The audit's findings are not among them: a gate that believed the audit could not notice that the audit was wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from voicelathe import rng
from voicelathe.data import text
from voicelathe.errors import RecordError
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, ClipMeasure, ManifestRow

Table = Any  # pandas.DataFrame with the columns of GateRow
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
    num_splits_of_samples: float | None  # of the decoded clip
    matches_manifest: bool | None  # text, recording, speaker and audio are those of the raw manifest


def of_splits(
    splits: Mapping[str, Sequence[CleanClip]], rows: Iterable[ManifestRow], measures: Iterable[ClipMeasure]
) -> Table:
    """The clips that would be trained on. Raises RecordError for a clip that the raw manifest does not know."""
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
    return _table(split_rows)


def of_manifest(rows: Iterable[ManifestRow], measures: Iterable[ClipMeasure]) -> Table:
    """Every row of the raw manifest, split row by row as training scripts do: what would have been trained on."""
    measured = {measure.clip_id: measure for measure in measures}
    return _table([(_row_split(row.clip_id), row, measured[row.clip_id], None) for row in rows])


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


def _table(listed: Sequence[tuple[str, ManifestRow, ClipMeasure, CleanClip | None]]) -> Table:
    places: dict[tuple[str, object], set[str]] = {}
    for split, row, measure, _ in listed:
        for link in _links(row, measure):
            places.setdefault(link, set()).add(split)
    rows = []
    for split, row, measure, clip in listed:
        trained = row.text if clip is None else clip.text
        length = len(text.plain(trained)) if trained is not None else None
        recording, audio, samples = (float(len(places[link])) for link in _links(row, measure))
        rows.append(
            GateRow(
                clip_id=row.clip_id,
                split=split,
                text=trained,
                plain_text=None if trained is None else text.plain(trained),
                num_spoken_chars=float(text.num_spoken_chars(trained)),
                duration_s=measure.duration_s,
                num_nonfinite=measure.num_nonfinite,
                file_rate_hz=measure.file_rate_hz,
                chars_per_s=length / measure.duration_s
                if length is not None and measure.duration_s
                else None,
                recording_id=row.recording_id,
                speaker_id=row.speaker_id,
                num_splits_of_recording=recording,
                num_splits_of_audio=audio,
                num_splits_of_samples=samples,
                matches_manifest=clip is None or _matches(clip, row),
            )
        )
    return frame(rows)


def _links(row: ManifestRow, measure: ClipMeasure) -> list[tuple[str, object]]:
    """What must not be in two splits; a clip without audio shares it with nobody."""
    alone = f"without audio: {row.clip_id}"
    return [
        ("recording", row.recording_id),
        ("audio", row.audio_sha256 or alone),
        ("samples", measure.samples_sha256 or alone),
    ]


def _matches(clip: CleanClip, row: ManifestRow) -> bool:
    names = ("audio", "text", "recording_id", "speaker_id", "language", "audio_sha256")
    return all(getattr(clip, name) == getattr(row, name) for name in names)
