"""The controls of a run from the parent's side: which there are, what people should know of them, and their identity."""

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data import control

COMPUTED = ("train", "validation")  # splits whose losses are computed with controls


def digest_of(train: schema.Train) -> str | None:
    """Identity of what stands in front of the training clips, which their ids do not know; None for a training without controls."""
    if not train.control:
        return None
    clips = records.read(layout.split("train"), records.CleanClip)
    return digest.of_value({clip.clip_id: one for clip in clips if (one := control.of(clip))})


def notices(params: schema.Params, recipe: str) -> list[str]:
    """What people should know of controls before a recipe trains. Raises ManifestError for those that it cannot train with."""
    one = find_recipe(params, recipe)
    splits = {name: records.read(layout.split(name), records.CleanClip) for name in COMPUTED}
    if one.train.control:
        return control.planned(splits)
    family = params.bases[one.base].family
    how = "train.control is false" if families.spec(family).trains_with_control else f"{family} knows none"
    return [f"{text}: {how}" for text in control.not_used(splits["train"])]
