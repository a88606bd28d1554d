"""A speaker as the mean of the vectors of their training clips, kept with every checkpoint.

Shapes: C width of a vector.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.families.base import ClipItem

if TYPE_CHECKING:
    import torch

VECTORS, ORDER = "speaker_embedding.safetensors", "speakers.json"


def averaged(items: Sequence[ClipItem], tensor: str = "speaker") -> "dict[str, torch.Tensor]":
    """fp32 mean [C] of a tensor [1, C] by speaker, the one with most clips first: bf16 would lose the average."""
    import torch

    clips = Counter(item.speaker_id for item in items)
    found = {}
    for name, _ in sorted(clips.items(), key=lambda pair: (-pair[1], pair[0])):
        found[name] = (
            torch.cat([item.tensors[tensor] for item in items if item.speaker_id == name]).float().mean(dim=0)
        )
    return found


def files(voices: "Mapping[str, torch.Tensor]") -> dict[str, Any]:
    """For a checkpoint: the vectors, and the speakers in order."""
    if not voices:
        return {}
    return {VECTORS: {name: voice.cpu().contiguous() for name, voice in voices.items()}, ORDER: list(voices)}


def read(directory: Path) -> "dict[str, torch.Tensor]":
    """What `files` gave; {} for a directory without speakers."""
    from safetensors.torch import load_file

    if not (directory / ORDER).is_file():
        return {}
    stored = load_file(directory / VECTORS)
    return {name: stored[name] for name in digest.read_json(directory / ORDER)}
