"""What a VoxCPM hears before it speaks: upstream's reference prefix, the clip continued as a prompt, or both ("ultimate cloning")."""

import unicodedata
from dataclasses import replace

from voicelathe.config import schema
from voicelathe.families.base import ClipItem
from voicelathe.records import ReadText


def behind(item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
    """The clip as `collate` takes it. Every position of the reference is fed, its last one, too, which no clip of its own feeds.

    Where a prompt is continued there is no control, as upstream refuses the two together (voxcpm 2.0.3, cli.py).
    """
    heard = reference.tensors["latents"]
    if way == "reference":
        tensors = {**item.tensors, "reference": heard}
        if "patches" in item.tensors:
            import torch

            patches = [reference.tensors[name] for name in ("patches", "last_patch")]
            tensors["patches"] = torch.cat([*patches, item.tensors["patches"]])
        return replace(item, tensors=tensors)
    own = {name: tensor for name, tensor in item.tensors.items() if name != "patches"}  # computed anew
    own |= {"prompt": heard} | ({"reference": heard} if way == "both" else {})
    return replace(item, text=continued(reference.words, item.words), tensors=own, control="")


def continued(said: str, text: str) -> ReadText:
    """Both texts as one, as upstream tokenises them."""
    return ReadText(f"{lead(said)}{text.strip()}")


def lead(said: str) -> str:
    """The words of a prompt, with the space before the next sentence where the script has one; upstream puts none."""
    said = said.strip()
    last = next(
        (one for one in reversed(said) if one.isalnum()), ""
    )  # closing marks and quotes have no width of their own
    is_wide = bool(last) and unicodedata.east_asian_width(last) in ("W", "F")
    return said if not said or (is_wide and not _is_hangul(last)) else f"{said} "


def _is_hangul(letter: str) -> bool:
    """Korean is as wide as Chinese, and written with spaces."""
    return unicodedata.name(letter, "").startswith("HANGUL")
