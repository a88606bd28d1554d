"""An earlier split that must hold: what was tested on is never trained on, however much data is added.

A frozen split is three files, train.jsonl, validation.jsonl and test.jsonl, in splits/NAME, under version control
(`voicelathe freeze`). Not only recordings are recognised, but also files and samples, so that renaming a recording moves nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicelathe import digest, layout, records
from voicelathe.data import columns
from voicelathe.data.columns import Table
from voicelathe.data.manifest import splits_named
from voicelathe.errors import SplitError, listing
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, Link

KNOWN_BY = ("recording_id", "audio_sha256", "samples_sha256")


@dataclass(frozen=True)
class Frozen:
    """Where everything of the earlier split was: (how it is known, its value) -> split."""

    split_of: dict[tuple[str, str], str]
    open_parts = SPLITS  # where recordings that are not known may go

    def places(
        self, clips: Table, component_of: Mapping[str, str], links: Iterable[Link] = ()
    ) -> dict[str, str]:
        """The split of every component that holds something of the earlier one, or a copy of it that is kept in its place.

        Raises SplitError when that is two splits, and when nothing is left of what was tested on.
        """
        found: dict[str, dict[str, str]] = {}
        for clip in self._known(clips):
            for known_by in KNOWN_BY:
                if split := self.split_of.get((known_by, getattr(clip, known_by))):
                    found.setdefault(component_of[clip.recording_id], {}).setdefault(split, clip.recording_id)
        pairs = [(link.one, link.other) for link in links]
        for here, gone in [*pairs, *((other, one) for one, other in pairs)]:
            if here in component_of and (split := self.split_of.get(("recording_id", gone))):
                found.setdefault(component_of[here], {}).setdefault(split, gone)
        if not any("test" in held for held in found.values()):
            raise SplitError(
                "split.frozen: no tested recording, file or clip of the frozen split is among the clean clips, so it cannot "
                "keep anything out of training. Import the recordings under their former recording_id, or set split.frozen "
                "to null in params.yaml and freeze the new split."
            )
        torn = [
            f"{name}: "
            + ", ".join(f"{recording} was in {split}" for split, recording in sorted(held.items()))
            for name, held in sorted(found.items())
            if len(held) > 1
        ]
        if torn:
            raise SplitError(
                f"{len(torn)} groups of recordings hold parts of two frozen splits, so no place is right for them:\n"
                f"{listing(torn)}\nNew rows join what was apart: see data/audit/links.parquet and recording_id. Remove the rows "
                f"that join them, or give the frozen split up: set split.frozen to null in params.yaml."
            )
        return {name: next(iter(held)) for name, held in found.items()}

    def _known(self, clips: Table) -> list[CleanClip]:
        """The clips of which something was in the earlier split."""
        import pyarrow
        import pyarrow.compute as pc

        chosen = np.zeros(len(clips), bool)
        for known_by in KNOWN_BY:
            values = [value for kind, value in self.split_of if kind == known_by]
            chosen |= columns.mask(pc.is_in(clips[known_by], pyarrow.array(values, pyarrow.string())))
        return columns.rows_of(clips, CleanClip, np.flatnonzero(chosen))


@dataclass(frozen=True)
class Proposed:
    """The split that a corpus came with, by recording: kept where no component holds parts of two, and otherwise dealt out anew."""

    split_of: Mapping[str, str]

    @property
    def open_parts(self) -> tuple[str, ...]:
        """Where recordings that are not proposed may go: to train, and to parts that the corpus does not have."""
        named = set(self.split_of.values())
        return tuple(part for part in SPLITS if part == "train" or part not in named)

    def places(
        self, clips: Table, component_of: Mapping[str, str], links: Iterable[Link] = ()
    ) -> dict[str, str]:
        """The split of every component whose recordings are of one part; those of train stay free where a part is missing."""
        found: dict[str, set[str]] = {}
        for recording, component in component_of.items():
            if recording in self.split_of:
                found.setdefault(component, set()).add(self.split_of[recording])
        kept = {component: next(iter(parts)) for component, parts in found.items() if len(parts) == 1}
        if self.open_parts == ("train",):
            return kept
        return {component: part for component, part in kept.items() if part != "train"}


def of(splits: Mapping[str, Sequence[CleanClip]]) -> Frozen:
    """What a split would freeze."""
    return Frozen(
        {
            (known_by, getattr(clip, known_by)): name
            for name, clips in splits.items()
            for clip in clips
            for known_by in KNOWN_BY
        }
    )


def read(name: str) -> Frozen | Proposed:
    """Read the frozen split of that name, or the proposal that import left there. Raises SplitError when its folder holds neither."""
    folder = layout.FROZEN_SPLITS / name
    if (proposed := splits_named.path(name)).is_file() and not (folder / f"{SPLITS[0]}.jsonl").is_file():
        return Proposed(digest.read_json(proposed))
    files = {split: folder / f"{split}.jsonl" for split in SPLITS}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise SplitError(
            f"split.frozen = {name!r}: {', '.join(missing)} missing. Restore it from git, or set split.frozen to null."
        )
    return of({split: records.read(path, CleanClip) for split, path in files.items()})
