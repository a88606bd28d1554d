"""Which lines stand in the training text, and which validation texts? Both would be recited and not read.

A line that was trained on closes the gate. A validation text that was trained on is told of: its losses are half a memory, and
`split.same_text_together` keeps such recordings on one side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voicelathe.data import columns
from voicelathe.data.columns import Column, Rows
from voicelathe.data.text.overlap import Overlap, Sentence, find
from voicelathe.errors import LinesError, listing
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, PackLine

SHOWN_TEXT, SHOWN_ROWS = 80, 5
NAMED = 100  # validation clips that the report names; a corpus with one phrase in every row has thousands
Packs = Mapping[str, Sequence[PackLine]]  # path of a pack -> its lines


@dataclass(frozen=True)
class Leak:
    """A line, or a validation clip, whose text stands in the training text."""

    name: str
    text: str
    share: float  # of it that stands there
    rows: list[str]  # the first training clips that hold it, with how


@dataclass(frozen=True)
class Leaks:
    """For every row of a table how much it leaks, and the leaks by name."""

    line_overlap: Any  # of a training row: the largest share of a line that it holds some of
    training_overlap: Any  # of a validation row: the share of its text that stands in the training text
    lines: list[Leak]
    validation: list[Leak]  # the NAMED largest
    num_lines: int  # looked for
    num_validation: int
    num_validation_leaks: int


def of_splits(splits: Mapping[str, Rows], packs: Packs) -> Leaks:
    """Leaks between the splits, their rows in the order of the splits."""
    import pyarrow

    held = [columns.of(clips, CleanClip) for clips in splits.values()]
    split = np.repeat([SPLITS.index(name) for name in splits], [len(one) for one in held])
    rows = pyarrow.concat_tables(one.select(["clip_id", "text", "language"]) for one in held)
    return of(rows, split, packs)


def of(rows: columns.Table, split: Any, packs: Packs) -> Leaks:
    """`rows` has clip_id, text and language, `split` the place of each row's split in SPLITS."""
    trained, validated = (np.flatnonzero(split == SPLITS.index(name)) for name in ("train", "validation"))
    train, validation = columns.gather(rows, trained), columns.gather(rows, validated)
    lines = [
        Sentence(f"{line.id} of {path}", line.text, line.language)
        for path, pack in sorted(packs.items())
        for line in pack
    ]
    texts = _sentences(validation)
    of_lines, of_texts = find(lines, train), find(texts, train, shown=1, contained=False)
    line_overlap, training_overlap = np.zeros(len(rows)), np.zeros(len(rows))
    line_overlap[trained] = of_lines.of_rows
    training_overlap[validated] = [of_texts.shares.get(one.id, 0.0) for one in texts]
    leaking = [one for one in texts if one.id in of_texts.shares]
    leaking.sort(key=lambda one: -of_texts.shares[one.id])
    return Leaks(
        line_overlap=line_overlap,
        training_overlap=training_overlap,
        lines=_named(lines, of_lines),
        validation=_named(leaking[:NAMED], of_texts),
        num_lines=len(lines),
        num_validation=len(texts),
        num_validation_leaks=len(leaking),
    )


def _sentences(rows: columns.Table) -> list[Sentence]:
    held: list[Column] = [rows[name].to_pylist() for name in ("clip_id", "text", "language")]
    return [
        Sentence(str(name), text or "", language or "") for name, text, language in zip(*held, strict=True)
    ]


def _named(sentences: Sequence[Sentence], found: Overlap) -> list[Leak]:
    return [
        Leak(
            one.id,
            one.text[:SHOWN_TEXT],
            round(found.shares[one.id], 4),
            [f"{met.clip_id} ({met.kind})" for met in found.met[one.id]],
        )
        for one in sentences
        if one.id in found.shares
    ]


def require(pack: Sequence[PackLine], path: str, train: Rows, limit: float) -> None:
    """Raises LinesError when a line of one pack stands in the training text: packs may be named after the gate was passed."""
    rows = columns.of(train, CleanClip)
    sentences = [Sentence(f"{line.id} of {path}", line.text, line.language) for line in pack]
    if found := beyond(_named(sentences, find(sentences, rows)), limit):
        raise LinesError(f"{path}: {explained(found)}")


def explained(leaks: Sequence[Leak]) -> str:
    """The lines with their rows, and what to do."""
    found = [
        f"{one.name} ({one.text!r}): {one.share:.0%} of it in {', '.join(one.rows[:SHOWN_ROWS])}"
        for one in leaks
    ]
    return (
        f"lines that stand in the training text:\n{listing(found)}\nA voice can recite what it was trained on. Take these lines out of the pack, "
        "or propose one anew: voicelathe lines propose. Where a sentence was recorded more than once, split.same_text_together: true "
        "keeps its recordings on one side."
    )


def beyond(leaks: Sequence[Leak], limit: float) -> list[Leak]:
    return [one for one in leaks if one.share > limit]
