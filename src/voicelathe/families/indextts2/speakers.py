"""Who is heard before a clip of IndexTTS2: another clip of the speaker in training, the speaker's reference elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.families.base import ClipItem

if TYPE_CHECKING:
    import torch

REFERENCES, ORDER = "speaker_reference.safetensors", "speakers.json"
REFERENCE_S = 5.0


def choose(items: Sequence[ClipItem], codes_per_s: float) -> tuple[dict[str, ClipItem], dict[str, str]]:
    """Clip -> the clip of the same speaker before it by id (the last one for the first), and speaker -> clip nearest five seconds.

    The speaker with most clips comes first. A speaker with one clip is heard after that clip.
    """
    by_speaker: dict[str, list[ClipItem]] = {}
    for item in sorted(items, key=lambda one: one.clip_id):
        by_speaker.setdefault(item.speaker_id, []).append(item)
    partners: dict[str, ClipItem] = {}
    chosen: dict[str, str] = {}
    for speaker, own in sorted(by_speaker.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        partners |= {item.clip_id: own[place - 1] for place, item in enumerate(own)}
        chosen[speaker] = min(own, key=lambda one: _far(one, codes_per_s)).clip_id
    return partners, chosen


def _far(item: ClipItem, codes_per_s: float) -> tuple[float, str]:
    return abs(len(item.tensors["codes"]) - REFERENCE_S * codes_per_s), item.clip_id


def files(voices: "Mapping[str, Mapping[str, torch.Tensor]]") -> dict[str, Any]:
    """For a checkpoint: of each speaker the latents, the emotion, and the sound that upstream's later stages hear."""
    if not voices:
        return {}
    tensors = {
        f"{place}/{name}": tensor.cpu().clone().contiguous()
        for place, voice in enumerate(voices.values())
        for name, tensor in voice.items()
    }
    return {REFERENCES: tensors, ORDER: list(voices)}


def read(directory: Path) -> "dict[str, dict[str, torch.Tensor]]":
    """What `files` gave; {} for a directory without speakers."""
    from safetensors.torch import load_file

    if not (directory / ORDER).is_file():
        return {}
    found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in digest.read_json(directory / ORDER)}
    for whole, tensor in load_file(directory / REFERENCES).items():
        place, _, name = whole.partition("/")
        list(found.values())[int(place)][name] = tensor
    return found
