"""Which clips are in more than one split at once, by what they share: the recording, the file, seconds of it, samples, a performance.

This is the gate's own look at leaks: it reads raw rows and measures, whatever the audit and the split thought of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.data import columns
from voicelathe.data.measures import fingerprint
from voicelathe.data.near_duplicates.performances import find as find_performances
from voicelathe.layout import SPLITS

Counts = NDArray[np.int64]

ROUNDING_S = 1e-3  # more than adding up what lies before a group can lose
LEAST_S = 0.05  # of the same file, in two splits; less is how cuts are rounded


@dataclass(frozen=True)
class Placed:
    """A clip in its split, and where its audio comes from. None where there is no audio: such a clip shares it with nobody."""

    clip_id: str
    split: str
    recording_id: str
    audio_sha256: str | None
    samples_sha256: str | None
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Sharing:
    """In how many splits each clip's recording, file, seconds, samples and performance are; 1 is as it should be."""

    recording: Counts
    audio: Counts
    seconds: Counts
    samples: Counts
    performance: Counts


def placed(clips: Sequence[Placed]) -> columns.Table:
    """The columns of clips in their splits."""
    import pyarrow

    names = [field.name for field in fields(Placed)]
    kinds = [pyarrow.float64() if name.endswith("_s") else pyarrow.string() for name in names]
    return pyarrow.table(
        [
            pyarrow.array([getattr(one, name) for one in clips], kind)
            for name, kind in zip(names, kinds, strict=True)
        ],
        names=names,
    )


def count(clips: columns.Table, same: Mapping[str, Sequence[str]]) -> Sharing:
    """For each clip, in order: a table with the columns of Placed. `same` gives the clips of the same performance (`performances`)."""
    import pyarrow
    import pyarrow.compute as pc

    split = pc.index_in(clips["split"], pyarrow.array(SPLITS)).to_numpy()
    return Sharing(
        recording=_splits_of(columns.codes(clips["recording_id"]), split),
        audio=_splits_of(columns.codes(clips["audio_sha256"]), split),
        seconds=_of_seconds(clips),
        samples=_splits_of(columns.codes(clips["samples_sha256"]), split),
        performance=_of_performances(clips, same),
    )


def _splits_of(group: Counts, split: Counts) -> Counts:
    """The number of splits of each row's group; 1 where there is no group."""
    seen = np.zeros((group.max(initial=-1) + 2, len(SPLITS)), bool)
    seen[group, split] = True  # -1, no group, is the last row
    return np.where(group < 0, 1, seen.sum(axis=1)[group])


def _of_performances(clips: columns.Table, same: Mapping[str, Sequence[str]]) -> Counts:
    import pyarrow
    import pyarrow.compute as pc

    found = np.ones(len(clips), np.int64)
    known = pyarrow.array(
        sorted({*same, *(one for others in same.values() for one in others)}), pyarrow.string()
    )
    at = np.flatnonzero(columns.mask(pc.is_in(clips["clip_id"], known)))
    chosen = clips.select(["clip_id", "split"]).take(at)
    ids, splits = chosen["clip_id"].to_pylist(), chosen["split"].to_pylist()
    split_of = dict(zip(ids, splits, strict=True))
    for place, clip_id, split in zip(at, ids, splits, strict=True):
        others = {split_of[one] for one in same.get(clip_id, ()) if one in split_of}
        found[place] = len({split, *others})
    return found


def _of_seconds(clips: columns.Table) -> Counts:
    """Only clips that some other clip of their file reaches into are compared one by one."""
    found = np.ones(len(clips), np.int64)
    start_s, end_s = columns.numbers(clips["start_s"]), columns.numbers(clips["end_s"])
    at = touching(columns.codes(clips["audio_sha256"]), start_s, end_s)
    chosen = clips.take(at)
    members: dict[str, list[tuple[int, Placed]]] = {}
    for place, values in zip(
        at.tolist(), zip(*(chosen[one.name].to_pylist() for one in fields(Placed)), strict=True), strict=True
    ):
        one = Placed(*values)
        members.setdefault(one.audio_sha256 or "", []).append((place, one))
    for held in members.values():
        others: dict[int, set[str]] = {}
        _overlapping_in(sorted(held, key=lambda pair: (pair[1].start_s, pair[1].clip_id)), others)
        for place, one in held:
            found[place] = len({one.split, *others.get(place, ())})
    return found


def touching(group: Counts, start_s: Any, end_s: Any) -> Counts:
    """Places of the rows whose interval some other of their group (-1: none) reaches into."""
    known = np.flatnonzero((group >= 0) & ~np.isnan(end_s))
    order = known[np.lexsort((start_s[known], group[known]))]
    if len(order) == 0:
        return order
    ranked, begin, end = group[order], start_s[order], end_s[order]
    # The furthest end so far within the group: groups are lifted above each other, so that one running maximum serves all.
    lift = (end.max() - min(begin.min(), end.min()) + 1.0) * ranked
    reached = np.maximum.accumulate(end + lift) - lift
    joined = np.zeros(len(order), bool)
    joined[1:] = (ranked[1:] == ranked[:-1]) & (begin[1:] < reached[:-1] + ROUNDING_S)
    return np.sort(order[joined | np.append(joined[1:], False)])


def performances(measures: columns.Table, max_error: float, min_share: float) -> dict[str, list[str]]:
    """The clips that each clip is the same performance as, by fingerprint."""
    import pyarrow.compute as pc

    known = measures.select(["clip_id", "fingerprint"]).filter(pc.is_valid(measures["fingerprint"]))
    known = known.sort_by("clip_id")
    ids = known["clip_id"].to_pylist()
    prints = [fingerprint.words(one) for one in known["fingerprint"].to_pylist()]
    found: dict[str, list[str]] = {}
    for pair in find_performances(prints, max_error, min_share):
        one, other = ids[pair.first], ids[pair.second]
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found


def _overlapping_in(members: Sequence[tuple[int, Placed]], found: dict[int, set[str]]) -> None:
    """The other splits of every place: a sweep over the starts, in which whoever has not ended yet overlaps."""
    still: list[tuple[int, Placed]] = []
    for place, clip in members:
        still = [pair for pair in still if (pair[1].end_s or 0.0) > clip.start_s]
        for there, one in still:
            shared_s = min(one.end_s or 0.0, clip.end_s or 0.0) - clip.start_s
            if one.split != clip.split and shared_s >= LEAST_S:
                found.setdefault(there, set()).add(clip.split)
                found.setdefault(place, set()).add(one.split)
        still.append((place, clip))
