"""A look at a few training clips with frozen noise: does the text still matter, does the stop head still know the end?

`worker.probes` asks the same of every checkpoint afterwards, on clips that training never saw.
"""

from collections.abc import Mapping, Sequence

import torch

from voicelathe import rng
from voicelathe.families.base import ClipItem, FamilySpec, Model

NUM_CLIPS = 8


def clips(clip_ids: Sequence[str], seed: int, number: int = NUM_CLIPS) -> list[str]:
    """The same few clips for every probe of a run."""
    return sorted(rng.shuffled(list(clip_ids), seed, "probe", 0)[:number])


def look(spec: FamilySpec, model: Model, items: Sequence[ClipItem], seed: int) -> dict[str, float]:
    """`text_gap`: by what share the loss rises when every clip gets its neighbour's text; `stop`: the loss of the end of speech.

    Noise is the same at every look, and the model is in evaluation mode meanwhile. One clip alone has no neighbour and no gap.
    """
    was_training = model.core.training
    model.core.eval()
    own = _losses(model, items, seed)
    found = {"stop": own[spec.stop_loss]}
    if len({item.words for item in items}) > 1:
        main = main_loss(spec)
        swapped = with_other_texts(items)
        found["text_gap"] = _losses(model, swapped, seed)[main] / own[main] - 1.0
    model.core.train(was_training)
    return found


def with_other_texts(items: Sequence[ClipItem]) -> list[ClipItem]:
    """Every clip with the text of the next one that says something else, under its own control; all stay as they are when there is only one text."""
    swapped = []
    for place, item in enumerate(items):
        following = [*items[place + 1 :], *items[:place]]
        swapped.append(
            item.saying(next((other.words for other in following if other.words != item.words), item.words))
        )
    return swapped


def main_loss(spec: FamilySpec) -> str:
    """The component that says how well speech is predicted: the one of the largest weight besides the end of speech."""
    return max(sorted(set(spec.loss_weights) - {spec.stop_loss}), key=lambda name: spec.loss_weights[name])


@torch.no_grad()
def _losses(model: Model, items: Sequence[ClipItem], seed: int) -> Mapping[str, float]:
    batch = model.collate(items)
    noise = model.draw(batch, [rng.key(seed, "probe", item.clip_id) for item in items], (0, 1))
    return {name: float(values.double().mean()) for name, values in model.losses(batch, noise).items()}
