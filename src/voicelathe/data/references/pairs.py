"""Which reference does a clip have at a step? A function of the seed, the clip and the step alone, so a resume has nothing to remember."""

from bisect import bisect_left, bisect_right

from voicelathe import rng
from voicelathe.records import ReferencePlan

PLAN, ROWS = "plan.json", "references.jsonl"  # in the directory that the parent writes for the worker


class Pairs:
    """Draws for every clip and step whether it has a reference, and which.

    A clip whose row names a usable recording gets that one; any other clip gets one of its speaker's clips from another component
    of the split, each with the same chance. The order in which clips or steps are asked for does not matter.
    """

    def __init__(self, plan: ReferencePlan, share: float, seed: int) -> None:
        self._plan, self.share, self._seed = plan, share, seed
        self._clips: dict[str, list[str]] = {}  # speaker -> usable clips, those of a component side by side
        for clip_id in sorted(plan.usable, key=lambda one: (plan.components[one], one)):
            self._clips.setdefault(plan.speakers[clip_id], []).append(clip_id)
        self._components = {
            speaker: [plan.components[one] for one in clips] for speaker, clips in self._clips.items()
        }

    def of(self, clip_id: str, step: int) -> str | None:
        """The reference of a clip at a step; None where it has none there."""
        if rng.unit(self._seed, "reference", clip_id, step) >= self.share:
            return None
        if (own := self._plan.own.get(clip_id)) is not None:
            return own
        first, last, count = self._others(clip_id)
        if not count:
            return None
        at = int(rng.unit(self._seed, "partner", clip_id, step) * count)
        return self._clips[self._plan.speakers[clip_id]][at if at < first else at + last - first]

    def of_step(self, clip_ids: list[str], step: int) -> dict[str, str]:
        """The references of a step's clips, without the clips that have none."""
        found = {clip_id: self.of(clip_id, step) for clip_id in clip_ids}
        return {clip_id: one for clip_id, one in found.items() if one is not None}

    def has_any(self, clip_id: str) -> bool:
        """Whether there is a reference for this clip at all."""
        return clip_id in self._plan.own or self._others(clip_id)[2] > 0

    def _others(self, clip_id: str) -> tuple[int, int, int]:
        """Where the clip's own component lies among the clips of its speaker, and how many clips are in others."""
        components = self._components.get(self._plan.speakers[clip_id], [])
        own = self._plan.components[clip_id]
        first, last = bisect_left(components, own), bisect_right(components, own)
        return first, last, len(components) - (last - first)
