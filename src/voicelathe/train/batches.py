"""Which clips does an optimizer step see, and what of them? A function of the seed and the step alone, so a resume has nothing to remember.

Of a clip it sees its encoding, with what is frozen of it, and, with train.reference_share, another recording in front.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voicelathe import records, rng
from voicelathe.data.latents import cache, general_set, replay
from voicelathe.data.references import pairs
from voicelathe.errors import ManifestError, listing
from voicelathe.families.base import ClipItem, Family, Model
from voicelathe.families.optional import Measurable, Promptable, TrainedWithReferences
from voicelathe.process import jobs


class Order:
    """The clips of any step, with the shuffled passes that were last asked for kept: at 50,000 clips each costs 16 ms."""

    def __init__(
        self,
        clip_ids: Sequence[str],
        clips_per_step: int,
        seed: int,
        others: Sequence[str] = (),
        share: float = 0.0,
    ) -> None:
        """`others`: clips of other speakers, of which so large a share of all visits is (train.replay_share)."""
        self._clips_per_step, self._seed, self._share = clips_per_step, seed, share if others else 0.0
        self._own, self._others = _Passes(clip_ids, seed, "epoch"), _Passes(others, seed, "replay")

    def of_step(self, step: int) -> list[str]:
        """The clips of a 1-based step: consecutive pieces of one shuffled pass over the data after the other.

        Every clip is seen once before any is seen twice, of others, too; a step may straddle two passes. Where others are mixed in, every
        step has its share of them, as near as whole clips allow, in places that are drawn anew.
        """
        size = self._clips_per_step
        if not self._share:
            return self._own.between((step - 1) * size, step * size)
        before, after = (replay.num_replayed(steps, size, self._share) for steps in (step - 1, step))
        chosen = self._own.between((step - 1) * size - before, step * size - after)
        return rng.shuffled(chosen + self._others.between(before, after), self._seed, "places", step)


class _Passes:
    """Shuffled passes over some clips, one after the other, as one endless list."""

    def __init__(self, clip_ids: Sequence[str], seed: int, purpose: str) -> None:
        self._clip_ids, self._seed, self._purpose = list(clip_ids), seed, purpose
        self._kept: dict[int, list[str]] = {}

    def between(self, first: int, end: int) -> list[str]:
        if first == end:
            return []
        count = len(self._clip_ids)
        passes = range(first // count, (end - 1) // count + 1)
        self._kept = {number: self._kept.get(number) or self._shuffled(number) for number in passes}
        chosen: list[str] = []
        for number, order in self._kept.items():
            chosen += order[max(first - number * count, 0) : min(end - number * count, count)]
        return chosen

    def _shuffled(self, number: int) -> list[str]:
        return rng.shuffled(self._clip_ids, self._seed, self._purpose, number)


def every_step(
    clip_ids: Sequence[str],
    steps: int,
    clips_per_step: int,
    seed: int,
    others: Sequence[str] = (),
    share: float = 0.0,
) -> Iterator[list[str]]:
    """The clips of the steps 1, 2, ..."""
    order = Order(clip_ids, clips_per_step, seed, others, share)
    yield from map(order.of_step, range(1, steps + 1))


@dataclass
class TrainingClips:
    """All clips of the train split, by id, the recordings that can only stand in front of them, and clips of other speakers."""

    family: Family
    model: Model
    cache_encoder: bool
    items: dict[str, ClipItem]
    references: dict[str, ClipItem] = field(default_factory=dict)
    replayed: dict[str, ClipItem] = field(default_factory=dict)  # of the general set (train.replay_share)
    paired: pairs.Pairs | None = None
    encoded: set[str] = field(default_factory=set)  # clips that carry what is frozen of them
    heard: dict[str, dict[str, Any]] = field(default_factory=dict)  # and what is frozen of references besides

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def in_front(self, clip_ids: list[str], step: int) -> dict[str, str] | None:
        """Clip -> the one that stands in front of it at a step; None in a training without references. Clips of others have none."""
        own = [clip_id for clip_id in clip_ids if clip_id in self.items]
        return None if self.paired is None else self.paired.of_step(own, step)

    def replayed_of(self, clip_ids: Sequence[str]) -> list[str] | None:
        """Those of a step that are of other speakers; None in a training without them."""
        return [clip_id for clip_id in clip_ids if clip_id in self.replayed] if self.replayed else None

    def of_step(self, clip_ids: list[str], step: int) -> list[ClipItem]:
        """The clips as a step is trained on them."""
        bare = self.bare(clip_ids)
        before = self.in_front(clip_ids, step)
        if not before:
            return bare
        family, model = self.family, self.model
        assert isinstance(family, Promptable) and isinstance(model, TrainedWithReferences), (
            "params refuse references of any other"
        )
        heard = {one.clip_id: self._in_front(model, one) for one in self.bare(sorted(set(before.values())))}
        return [
            family.prompted(item, heard[before[item.clip_id]], "reference")
            if item.clip_id in before
            else item
            for item in bare
        ]

    def _in_front(self, model: TrainedWithReferences, item: ClipItem) -> ClipItem:
        """A clip with what is frozen of it as a reference; computed when it is first one."""
        if not self.cache_encoder:
            return item
        if item.clip_id not in self.heard:
            self.heard[item.clip_id] = model.frozen_in_front(item)
        return replace(item, tensors={**item.tensors, **self.heard[item.clip_id]})

    def bare(self, clip_ids: Sequence[str]) -> list[ClipItem]:
        """Clips alone; with cache_encoder each gets what is frozen of it when it is first used, on its own: packing changes last digits."""
        found = []
        for clip_id in clip_ids:
            place = next(some for some in (self.items, self.replayed, self.references) if clip_id in some)
            if self.cache_encoder and clip_id not in self.encoded:
                known = self.model.frozen(place[clip_id])
                place[clip_id] = replace(place[clip_id], tensors={**place[clip_id].tensors, **known})
                self.encoded.add(clip_id)
            found.append(place[clip_id])
        return found


def opened(job: jobs.TrainJob, family: Family, model: Model) -> TrainingClips:
    """Read the encodings of the train split, and of what its rows name as references."""
    controlled = job.train.control
    items = cache.items(Path(job.clips), Path(job.latents), job.target.lexicon, with_control=controlled)
    replayed = _replayed(job, family)
    _require_short(model, items | replayed)
    made = TrainingClips(family, model, job.train.cache_encoder, items, replayed=replayed)
    if job.references is None:
        return made
    folder = Path(job.references)
    plan = records.read_one(folder / pairs.PLAN, records.ReferencePlan)
    named = cache.items(folder / pairs.ROWS, folder, job.target.lexicon) if plan.named else {}
    _require_room(model, items, [*(items[one] for one in plan.usable), *named.values()])
    return replace(made, references=named, paired=pairs.Pairs(plan, job.train.reference_share, job.seed))


def _replayed(job: jobs.TrainJob, family: Family) -> dict[str, ClipItem]:
    """The clips of the general set that a run mixes in, with their control where the family knows some, whatever the voice's rows are trained with."""
    if job.general is None:
        return {}
    clips = Path(job.general) / general_set.CLIPS
    wanted = {one.clip_id for one in replay.of_directory(Path(job.general)).replayed}
    return cache.items(
        clips, Path(job.general), job.target.lexicon, lambda _: wanted, family.spec.trains_with_control
    )


def _require_short(model: Model, items: dict[str, ClipItem]) -> None:
    """A control has fewer tokens than its clip has positions, and both fit. Raises ManifestError with clips and values."""
    told = [item for item in items.values() if item.control]
    if not told:
        return
    assert isinstance(model, Measurable), "params refuse these clips of any other"
    most = round(model.facts.max_clip_s * model.facts.positions_per_s)
    whole = model.text_lengths([item.text for item in told])
    words = model.text_lengths([item.words for item in told])
    long = []
    for item, tokens, of_words in zip(told, whole, words, strict=True):
        control, positions = tokens - of_words, _positions(item)
        if control > positions or tokens + positions + 1 > most:
            long.append(
                f"clip {item.clip_id}: {item.control[:60]!r} takes {control} tokens, its words {of_words}, its audio {positions} positions"
            )
    if long:
        raise ManifestError(
            f"{len(long)} controls are longer than their clip, or leave no room for it among the {most} positions of {model.base}:\n"
            f"{listing(long)}\nSay it in fewer words in the column control of the manifest, or leave it out of these rows (those of replayed clips: of general.manifest)."
        )


def _require_room(model: Model, items: dict[str, ClipItem], references: Sequence[ClipItem]) -> None:
    """Every clip must fit behind the longest reference. Raises ManifestError: upstream would cut its end off without a word."""
    assert isinstance(model, Measurable), "params refuse these clips of any other"
    most = round(model.facts.max_clip_s * model.facts.positions_per_s)
    longest = max(references, key=_positions)
    taken = _positions(longest) + records.REFERENCE_MARKS + 1  # and the mark before the speech
    texts = model.text_lengths([item.text for item in items.values()])
    long = [
        f"clip {item.clip_id}: {text + _positions(item)} positions"
        for item, text in zip(items.values(), texts, strict=True)
        if taken + text + _positions(item) > most
    ]
    if long:
        raise ManifestError(
            f"{model.base} has {most} positions, and the longest reference, {longest.clip_id}, takes {taken} of them. Too long behind it:\n"
            f"{listing(long)}\nLower audit.max_duration_s, or set train.reference_share to 0.0."
        )


def _positions(item: ClipItem) -> int:
    return max(tensor.shape[0] for tensor in item.tensors.values())
