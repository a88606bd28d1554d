"""How many optimizer steps of a run would have met a bad row: the closed form, and exactly, for the sampler as it is configured."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


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
    recipe: str, clip_ids: Sequence[str], bad: Collection[str], clips_of_steps: Iterable[Sequence[str]]
) -> Exposure:
    """Look for bad rows in every step; `clips_of_steps` is what the recipe's sampler makes of all rows of the raw manifest.

    Accumulated passes and packing do not matter: a step holds the same clips however they are cut into passes.
    """
    share = len(set(bad) & set(clip_ids)) / len(clip_ids)
    steps = [list(clips) for clips in clips_of_steps]
    met = [number for number, clips in enumerate(steps, 1) if not set(clips).isdisjoint(bad)]
    size = len(steps[0])
    return Exposure(recipe, len(steps), size, closed_form(share, size), met)


def closed_form(bad_share: float, step_clips: int) -> float:
    """The share of training steps that meet at least one bad row when clips are drawn at random: 1 - (1 - p)^N."""
    return 1.0 - (1.0 - bad_share) ** step_clips
