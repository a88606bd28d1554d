"""Which clips an optimizer step sees: a function of the seed and the step alone, so a resume has nothing to remember."""

from collections.abc import Iterator, Sequence

from voicelathe import rng


def clips_of_step(clip_ids: Sequence[str], step: int, clips_per_step: int, seed: int) -> list[str]:
    """The clips of a 1-based step: consecutive pieces of one shuffled pass over the data after the other.

    Every clip is seen once before any is seen twice; a step may straddle two passes.
    """
    first = (step - 1) * clips_per_step
    count = len(clip_ids)
    chosen: list[str] = []
    for epoch in range(first // count, (first + clips_per_step - 1) // count + 1):
        order = rng.shuffled(list(clip_ids), seed, "epoch", epoch)
        start, stop = max(first - epoch * count, 0), min(first + clips_per_step - epoch * count, count)
        chosen += order[start:stop]
    return chosen


def every_step(clip_ids: Sequence[str], steps: int, clips_per_step: int, seed: int) -> Iterator[list[str]]:
    """`clips_of_step` of the steps 1, 2, ... in one go, with one shuffle for each pass instead of one for each step."""
    epoch, waiting = 0, list[str]()
    for _ in range(steps):
        while len(waiting) < clips_per_step:
            waiting += rng.shuffled(list(clip_ids), seed, "epoch", epoch)
            epoch += 1
        yield waiting[:clips_per_step]
        waiting = waiting[clips_per_step:]
