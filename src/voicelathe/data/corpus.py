"""All rows with their measures, as columns in the order of the manifest, and a `Clip` only of the rows that a rule has to see."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.data import columns, mapped
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.columns import Column, Rows, Table
from voicelathe.data.text import columns as text_columns
from voicelathe.data.text import languages
from voicelathe.errors import RecordError
from voicelathe.records import ClipMeasure, Heard, ManifestRow

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Corpus:
    """Three tables of the same length. What is None in a record is NaN in the arrays below."""

    rows: Table  # ManifestRow, with the text that `normaliser` makes of the written one
    measures: Table  # ClipMeasure
    heard: Table  # Heard; null throughout where nothing was heard
    written: Column  # the text as the manifest has it

    def __len__(self) -> int:
        return len(self.rows)

    def clips(self, at: Any = None) -> list[MeasuredRow]:
        """The clips at some places, or all of them."""
        import pyarrow

        chosen = np.arange(len(self)) if at is None else at
        rows = columns.rows_of(self.rows, ManifestRow, chosen)
        measures = columns.rows_of(self.measures, ClipMeasure, chosen)
        heard: Iterable[Heard | None] = [
            one if one.clip_id is not None else None for one in columns.rows_of(self.heard, Heard, chosen)
        ]
        written = columns.take(pyarrow.table({"text": self.written}), chosen)["text"].to_pylist()
        return [MeasuredRow(*one) for one in zip(rows, measures, heard, written, strict=True)]

    def measured(self, name: str) -> Floats:
        """One measure of every row."""
        found = np.asarray(columns.numbers(self.measures[name]))
        mapped.let_go()
        return found

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        """Start and end of every row in its file, as it was measured; the end is NaN where there is no audio."""
        start_s = np.nan_to_num(columns.numbers(self.rows["start_s"]))
        duration_s = self.measured("duration_s")
        return start_s, start_s + np.where(duration_s > 0, duration_s, np.nan)

    @cached_property
    def speech_s(self) -> Floats:
        """`Clip.speech_s` of every row."""
        edges = [self.measured(name) for name in ("duration_s", "leading_silence_s", "trailing_silence_s")]
        found = edges[0] - edges[1] - edges[2]
        return np.where(found > 0, found, np.nan)

    @cached_property
    def inner_silence_share(self) -> Floats:
        """`Clip.inner_silence_share` of every row, to the last digits."""
        names = ("silence_share", "duration_s", "leading_silence_s", "trailing_silence_s")
        share, duration_s, before_s, after_s = map(self.measured, names)
        inner = np.maximum(0.0, share * duration_s - before_s - after_s) / self.speech_s
        return np.where(np.isnan(share) | np.isnan(duration_s), np.nan, np.where(np.isnan(inner), 1.0, inner))

    @cached_property
    def is_simple(self) -> Mask:
        """`text.columns.is_simple` of every text."""
        return np.asarray(text_columns.is_simple(self.rows["text"]).to_numpy())

    @cached_property
    def num_spoken_chars(self) -> NDArray[np.int64]:
        """`Clip.num_spoken_chars` of every row."""
        return np.asarray(text_columns.num_spoken_chars(self.rows["text"]).to_numpy())

    @cached_property
    def num_letters(self) -> tuple[Floats, Floats]:
        """`Clip.num_letters` of every row; NaN where there is nothing to say."""
        fewest, most = text_columns.num_letters(self.rows["text"])
        is_said = self.num_spoken_chars > 0
        return np.where(is_said, fewest, np.nan), np.where(is_said, most, np.nan)

    @cached_property
    def chars_per_s(self) -> Floats:
        """`Clip.chars_per_s` of every row."""
        return np.asarray((self.num_letters[0] + self.num_letters[1]) / 2 / self.speech_s)

    @cached_property
    def speakers(self) -> NDArray[np.int64]:
        """Equal numbers for equal speakers."""
        return np.asarray(columns.codes(self.rows["speaker_id"]))

    @cached_property
    def languages(self) -> NDArray[np.int64]:
        """Equal numbers for equal languages, whatever their region."""
        encoded = self.rows["language"].combine_chunks().dictionary_encode()
        names = [languages.primary(name) for name in encoded.dictionary.to_pylist()]
        known = {name: at for at, name in enumerate(dict.fromkeys(names))}
        codes = np.array([known[name] for name in names], np.int64)
        return np.asarray(codes[encoded.indices.to_numpy()])

    @property
    def speech_share(self) -> Floats:
        """Speech that the voice activity detector heard, of the duration; NaN where nothing was heard."""
        duration_s = self.measured("duration_s")
        return np.asarray(
            columns.numbers(self.heard["speech_s"]) / np.where(duration_s > 0, duration_s, np.nan)
        )

    @cached_property
    def words(self) -> Column:
        """`text.words` of every text."""
        return text_columns.words(self.rows["text"])


def of(rows: Rows, measures: Rows, heard: Rows = ()) -> Corpus:
    """Join by clip id. Raises RecordError when the measures are of other rows."""
    import pyarrow.compute as pc

    table = _by_line(columns.of(rows, ManifestRow))
    measured, known = columns.of(measures, ClipMeasure), columns.of(heard, Heard)
    at = pc.index_in(table["clip_id"], measured["clip_id"])
    if len(measured) != len(table) or at.null_count:
        raise RecordError("data/measured/clips.parquet is not of these rows. Run: dvc repro measure")
    written = table["text"]
    table = table.set_column(table.schema.get_field_index("text"), "text", text_columns.normalised(written))
    heard_of = columns.gather(known, pc.index_in(table["clip_id"], known["clip_id"]))
    return Corpus(table, columns.gather(measured, at), heard_of, written)


def _by_line(table: Table) -> Table:
    """In the order of the manifest; what is in order is not copied, and a million rows are half a gigabyte."""
    return table if (np.diff(table["line"].to_numpy()) > 0).all() else table.sort_by("line")
