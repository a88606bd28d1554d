"""Every recording, whole, in exactly one of train, validation and test.

Clips of one recording share its room, its noise and its mood; a model that trained on some of them has heard the others. So
recordings that share audio, or the same performance, are one component, and a component is never divided.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from voicelathe import digest, layout, rng
from voicelathe.config import schema
from voicelathe.data import columns
from voicelathe.data.columns import Rows, Table
from voicelathe.data.split import components
from voicelathe.data.split.frozen import Frozen, Proposed
from voicelathe.errors import SplitError, listing
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, Link, SplitAssignment

# With fewer, a draw by chance misses its shares by too much, so they are dealt out. A random share of 0.1 of 50
# components has a standard deviation of 2.1 components around 5.
NUM_FOR_CHANCE = 50


@dataclass(frozen=True)
class Splits:
    """Clips of each split, and the proof: where every recording went, with which others, and why."""

    tables: dict[str, Table]  # columns of CleanClip
    assignments: list[SplitAssignment]
    method: str  # dealt | by hash
    joined_by: dict[
        str, list[str]
    ]  # component -> what joined its recordings; nothing for one recording alone

    @property
    def clips(self) -> dict[str, list[CleanClip]]:
        """A record for each clip."""
        return {name: columns.rows_of(table, CleanClip) for name, table in self.tables.items()}


@dataclass(frozen=True)
class _Component:
    """Recordings that stay together, as one thing to place."""

    name: str
    num_clips: int
    stratum: tuple[
        str, bool
    ]  # its main speaker, and whether its clips are longer than is usual in the corpus


def assign(
    clips: Rows,
    split: schema.Split,
    seed: int,
    links: Sequence[Link] = (),
    frozen: Frozen | Proposed | None = None,
) -> Splits:
    """Assign whole components of clips, records or their columns; the order of the manifest does not matter.

    A component with anything of a frozen split stays where that was. Of the others, fewer than NUM_FOR_CHANCE are dealt out to
    meet the shares, for all and for each speaker and length of clips; from there on a seeded hash of a component's name decides,
    so that nothing moves when recordings are added that join none of the old ones. Raises SplitError when a split would stay
    empty, when one component holds parts of two frozen splits, and when nothing that was tested on is known again.
    """
    import pyarrow.compute as pc

    table = columns.of(clips, CleanClip)
    component_of, joined_by = components.joined(
        components.telling(table, split.same_text_together), links, split.same_text_together
    )
    named, at_component = _of_each(table, component_of)
    parts = _components(table, named, at_component)
    fixed = frozen.places(table, component_of, links) if frozen else {}
    free = [one for one in parts if one.name not in fixed]
    by_chance = len(parts) >= NUM_FOR_CHANCE
    split_of = dict(fixed)
    choices = frozen.open_parts if frozen else SPLITS
    split_of.update(
        _by_hash(free, split, seed, choices)
        if by_chance
        else _dealt(free, split, seed, parts, fixed, choices)
    )
    _require_three(split_of, component_of, joined_by)
    place = np.array([SPLITS.index(split_of[one]) for one in named], np.int8)[at_component]
    order = pc.sort_indices(
        table, [(name, "ascending") for name in ("audio", "start_s", "clip_id")]
    ).to_numpy()
    placed = {
        name: columns.gather(table, order[place[order] == number]) for number, name in enumerate(SPLITS)
    }
    method = "by hash" if by_chance else "dealt"
    return Splits(placed, _assignments(table, component_of, split_of), method, joined_by)


def _of_each(table: Table, component_of: Mapping[str, str]) -> tuple[list[str], Any]:
    """The names of the components in order, and for each clip its place among them."""
    names = sorted(set(component_of.values()))
    place = {name: at for at, name in enumerate(names)}
    recordings, code = _coded(table, "recording_id")
    return names, np.array([place[component_of[one]] for one in recordings], np.int64)[code]


def _coded(table: Table, name: str) -> tuple[list[str], Any]:
    """The values of a column in the order in which they appear, and for each row its place among them."""
    import pyarrow.compute as pc

    return pc.unique(table[name]).to_pylist(), columns.codes(table[name])


def _by_group(group: Any, values: Any) -> Iterator[tuple[int, list[float]]]:
    """Each group with its values in ascending order."""
    order = np.lexsort((values, group))
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    ranked = values[order].tolist()
    for start, end in pairwise(bounds.tolist()):
        yield int(group[order[start]]), ranked[start:end]


def _components(table: Table, named: Sequence[str], at_component: Any) -> list[_Component]:
    lengths_s = {
        at: median(held) for at, held in _by_group(at_component, columns.numbers(table["duration_s"]))
    }
    middle_s = median(lengths_s.values()) if lengths_s else 0.0
    speakers, speaker_at = _coded(table, "speaker_id")
    clips_of: dict[int, Counter[str]] = {}
    pairs, counts = np.unique(np.stack([at_component, speaker_at]), axis=1, return_counts=True)
    for at, speaker, num in zip(*pairs.tolist(), counts.tolist(), strict=True):
        clips_of.setdefault(at, Counter())[speakers[speaker]] = num
    made = []
    for at, name in enumerate(named):
        held = clips_of[at]
        main = min(held, key=lambda speaker: (-held[speaker], speaker))
        made.append(_Component(name, held.total(), (main, lengths_s[at] > middle_s)))
    return made


def _by_hash(
    free: Iterable[_Component], split: schema.Split, seed: int, choices: Sequence[str]
) -> dict[str, str]:
    found = {}
    for one in free:
        drawn = rng.unit(seed, "split", one.name)
        in_test = drawn < split.validation_share + split.test_share
        part = "validation" if drawn < split.validation_share else "test" if in_test else "train"
        found[one.name] = part if part in choices else "train"
    return found


def _dealt(
    free: Sequence[_Component],
    split: schema.Split,
    seed: int,
    everything: Iterable[_Component],
    fixed: Mapping[str, str],
    choices: Sequence[str],
) -> dict[str, str]:
    """Largest first, each to the split that is furthest below its share; the last ones fill splits that are still empty.

    How far below is counted over all clips, among those of the same speaker, and among those of the same speaker and length.
    Equal sizes come in a seeded order. Half of the size makes it round to the nearest (Sainte-Laguë, 1910).
    """
    shares = {
        "train": 1.0 - split.validation_share - split.test_share,
        "validation": split.validation_share,
        "test": split.test_share,
    }
    held: Counter[tuple[object, str]] = Counter()

    def groups(one: _Component) -> tuple[object, ...]:
        return ("all", one.stratum[0], one.stratum)

    def place(one: _Component, part: str) -> None:
        for group in groups(one):
            held[group, part] += one.num_clips

    for one in everything:
        if one.name in fixed:
            place(one, fixed[one.name])
    found: dict[str, str] = {}
    order = sorted(free, key=lambda one: (-one.num_clips, rng.key(seed, "split", one.name)))
    for number, one in enumerate(order):
        empty = [part for part in choices if not held["all", part]]
        choice = empty if len(order) - number <= len(empty) else choices
        fill = {
            part: sum((held[group, part] + one.num_clips / 2) / shares[part] for group in groups(one))
            for part in choice
        }
        found[one.name] = min(choice, key=fill.__getitem__)
        place(one, found[one.name])
    return found


def _require_three(
    split_of: Mapping[str, str], component_of: Mapping[str, str], joined_by: Mapping[str, Sequence[str]]
) -> None:
    empty = [name for name in SPLITS if name not in split_of.values()]
    if not empty:
        return
    if not component_of:
        raise SplitError(
            f"The audit dropped every row, so there is nothing to split{_counted()}. {layout.DATA_REPORT} says why, rule by rule, and "
            f"{layout.QUARANTINE} every row with its reasons."
        )
    members: dict[str, list[str]] = {}
    for recording, component in component_of.items():
        members.setdefault(component, []).append(recording)
    held = []
    for component, names in sorted(members.items()):
        why = f" ({'; '.join(joined_by[component][:2])})" if component in joined_by else ""
        held.append(f"{len(names)} recordings: {', '.join(names[:5])}{why}")
    if len(members) >= len(SPLITS):
        raise SplitError(
            f"No recording fell to {' and '.join(empty)} ({len(members)} components). Raise split.validation_share and "
            f"split.test_share in params.yaml, or change seed."
        )
    raise SplitError(
        f"{len(members)} independent recordings cannot make three splits (train, validation, test):\n{listing(held)}\n"
        f"Recordings that share an audio file or a performance are one. Add recordings, or correct recording_id in the manifest."
    )


def _counted() -> str:
    """How many rows each rule of the audit dropped, the worst first, where its summary is there."""
    if not layout.SUMMARY.is_file():
        return ""
    counts = Counter(
        {
            name.removeprefix("dropped_"): num
            for name, num in digest.read_json(layout.SUMMARY).items()
            if name.startswith("dropped_") and name != "dropped_share" and num
        }
    )
    return ": " + ", ".join(f"{name} {num}" for name, num in counts.most_common(5)) if counts else ""


def _assignments(
    table: Table, component_of: Mapping[str, str], split_of: Mapping[str, str]
) -> list[SplitAssignment]:
    recordings, code = _coded(table, "recording_id")
    seconds = _by_group(code, columns.numbers(table["duration_s"]))
    made = [
        SplitAssignment(
            recording_id=recordings[at],
            component=component_of[recordings[at]],
            split=split_of[component_of[recordings[at]]],
            num_clips=len(held),
            duration_s=round(math.fsum(held), 3),
        )
        for at, held in seconds
    ]
    return sorted(made, key=lambda one: one.recording_id)
