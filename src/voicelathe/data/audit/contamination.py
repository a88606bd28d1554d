"""How many optimizer steps of a run would have met a bad row: the closed form, and exactly, for the sampler as it is configured."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from voicelathe.data.references.pairs import Pairs


@dataclass(frozen=True)
class Exposure:
    """What the raw manifest, unaudited, would have done to a run of one recipe."""

    recipe: str
    steps: int
    clips_per_step: int
    closed_form: float  # 1 - (1 - p)^N: clips drawn at random, each draw on its own
    bad_steps: list[int]  # exactly, for the recipe's sampler and the seed of params.yaml

    @property
    def exact(self) -> float:
        """The share of steps that hold at least one bad row."""
        return len(self.bad_steps) / self.steps


def of(
    recipe: str,
    clip_ids: Sequence[str],
    bad: Collection[str],
    clips_of_steps: Iterable[Sequence[str]],
    paired: Pairs | None = None,
    own_share: float = 1.0,
) -> Exposure:
    """Look for bad rows in every step; `clips_of_steps` is what the recipe's sampler makes of all rows of the raw manifest.

    Accumulated passes and packing do not matter: a step holds the same clips however they are cut into passes. What stands in front of
    a clip (`paired`) is in the step as well. `own_share`: of the clips of a step, how many are rows of the manifest and not of the general set.
    """
    share = len(set(bad) & set(clip_ids)) / len(clip_ids)
    steps = [list(clips) for clips in clips_of_steps]
    own = set(clip_ids)
    held = [
        {*clips, *_in_front(paired, [one for one in clips if one in own], number)}
        for number, clips in enumerate(steps, 1)
    ]
    met = [number for number, clips in enumerate(held, 1) if not clips.isdisjoint(bad)]
    size, seen = len(steps[0]), 1.0 + (paired.share if paired else 0.0)
    return Exposure(recipe, len(steps), size, closed_form(share, size * own_share * seen), met)


def _in_front(paired: Pairs | None, clips: list[str], step: int) -> Iterable[str]:
    return paired.of_step(clips, step).values() if paired else ()


def closed_form(bad_share: float, step_clips: float) -> float:
    """The share of training steps that meet at least one bad row when clips are drawn at random: 1 - (1 - p)^N."""
    return float(1.0 - (1.0 - bad_share) ** step_clips)
