"""A look at a few training clips with frozen noise: does the text still matter, does the stop head still know the end?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from voicelathe import rng
from voicelathe.families.base import ClipItem, Family

NUM_CLIPS = 8


def clips(clip_ids: Sequence[str], seed: int) -> list[str]:
    """The same few clips for every probe of a run."""
    return sorted(rng.shuffled(list(clip_ids), seed, "probe", 0)[:NUM_CLIPS])


def look(family: Family, loaded: Any, items: Sequence[ClipItem], seed: int) -> dict[str, float]:
    """`text_gap`: by what share the loss rises when every clip gets its neighbour's text; `stop`: the loss of the end of speech.

    Noise is the same at every look, and the model is in evaluation mode meanwhile. One clip alone has no neighbour and no gap.
    """
    was_training = loaded.core.training
    loaded.core.eval()
    own = _losses(family, loaded, items, seed)
    found = {"stop": own[family.spec.stop_loss]}
    if len({item.text for item in items}) > 1:
        texts = [item.text for item in items]
        swapped = [replace(item, text=text) for item, text in zip(items, texts[1:] + texts[:1], strict=True)]
        main = max(own, key=lambda name: family.spec.loss_weights[name] * own[name])
        found["text_gap"] = _losses(family, loaded, swapped, seed)[main] / own[main] - 1.0
    loaded.core.train(was_training)
    return found


@torch.no_grad()
def _losses(family: Family, loaded: Any, items: Sequence[ClipItem], seed: int) -> Mapping[str, float]:
    batch = family.collate(loaded, items)
    noise = family.draw(loaded, batch, [rng.key(seed, "probe", item.clip_id) for item in items], (0, 1))
    return {
        name: float(values.double().mean()) for name, values in family.losses(loaded, batch, noise).items()
    }
