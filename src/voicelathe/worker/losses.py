"""Losses of clips with noise frozen per clip and pass: the same clip meets the same noise under every candidate."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from voicelathe import rng
from voicelathe.families.base import ClipItem, Model
from voicelathe.families.optional import Settling

ClipLosses = dict[str, dict[str, float]]  # clip -> component -> mean over the passes


def of_clips(
    model: Model, items: Sequence[ClipItem], seed: int, passes: int, clips_per_pass: int
) -> ClipLosses:
    """Mean losses of each clip over the passes. Last digits depend on which clips are asked for together."""
    sums: ClipLosses = {item.clip_id: {} for item in items}
    with torch.inference_mode():
        for members in batches(items, clips_per_pass):
            batch = model.collate(members)
            if passes > 1 and isinstance(model, Settling):
                batch = model.settled(batch)
            for number in range(passes):
                keys = [rng.key(seed, "validation", item.clip_id, number) for item in members]
                losses = model.losses(batch, model.draw(batch, keys, (number, passes)))
                for name, values in losses.items():
                    for item, value in zip(members, values.double().tolist(), strict=True):
                        own = sums[item.clip_id]
                        own[name] = own.get(name, 0.0) + value / passes
    return sums


def batches(items: Sequence[ClipItem], size: int) -> Iterator[list[ClipItem]]:
    """Clips of similar length beside each other."""
    ordered = sorted(items, key=lambda item: (_length(item), item.clip_id))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def totals(losses: ClipLosses, weights: Mapping[str, float]) -> dict[str, float]:
    """Weighted sum of each clip's losses."""
    return {
        clip_id: sum(weights[name] * value for name, value in sorted(own.items()))
        for clip_id, own in losses.items()
    }


def _length(item: ClipItem) -> int:
    return max(tensor.shape[0] for tensor in item.tensors.values())
