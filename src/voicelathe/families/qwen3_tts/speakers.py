"""Who speaks: what can be trained on, the mean vector of each speaker, and how a checkpoint of Qwen3-TTS carries it.

Shapes: F frames, G groups of codes, C width of a speaker vector.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.errors import ManifestError, RecordError, listing
from voicelathe.families.base import ClipItem
from voicelathe.families.qwen3_tts import names
from voicelathe.families.shared.base_directory import CONFIG, WEIGHTS

if TYPE_CHECKING:
    import torch

VOICES, SPEAKERS = "speaker_embedding.safetensors", "speakers.json"


def require_codes(items: Sequence[ClipItem], groups: int, codes: int) -> None:
    """Raises RecordError for codes that the model has no row for."""
    if broken := [item.clip_id for item in items if not _fits(item.tensors["codes"], groups, codes)]:
        raise RecordError(
            f"The codes of {len(broken)} clips are not {groups} a frame from 0 to {codes - 1}, first {broken[0]}: "
            "they are of another codec. Run: dvc repro -f -s encode"
        )


def require_names(items: Sequence[ClipItem], talker: Any, base: Path) -> None:
    """Raises ManifestError for languages that the base does not speak and speakers that it cannot take."""
    problems = [
        f"clip {item.clip_id}: {said}" for item in items if (said := names.refused(talker, item.language))
    ]
    problems += names.name_problems({item.speaker_id for item in items}, talker)
    if problems:
        raise ManifestError(
            f"These clips cannot be trained on with {base}:\n{listing(problems)}\n"
            "Correct the manifest and import it again."
        )


def averaged(items: Sequence[ClipItem]) -> "dict[str, torch.Tensor]":
    """Lower-case speaker -> fp32 mean [C] of their clips' vectors, the one with most clips first."""
    import torch

    clips = Counter(item.speaker_id.lower() for item in items)
    vectors = {
        name: torch.cat([i.tensors["speaker"] for i in items if i.speaker_id.lower() == name]).float()
        for name, _ in sorted(clips.items(), key=lambda pair: (-pair[1], pair[0]))
    }
    return {name: found.mean(dim=0) for name, found in vectors.items()}


def files(voices: "Mapping[str, torch.Tensor]", talker: Any) -> dict[str, Any]:
    """For an adapter: the vectors, with the slots that they would have in a custom voice."""
    return {
        VOICES: {name: voice.cpu().contiguous() for name, voice in voices.items()},
        SPEAKERS: names.slots(voices, talker),
    }


def read(directory: Path) -> "dict[str, torch.Tensor]":
    """What `files` gave, or the rows that a custom-voice directory keeps its speakers in."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    if (directory / SPEAKERS).is_file():
        stored = load_file(directory / VOICES)
        return {name: stored[name] for name in names.in_order(digest.read_json(directory / SPEAKERS))}
    slots = digest.read_json(directory / CONFIG)["talker_config"]["spk_id"]
    with safe_open(directory / WEIGHTS, framework="pt") as file:
        rows = file.get_slice("talker.model.codec_embedding.weight")
        return {name: rows[slots[name]].float() for name in names.in_order(slots)}


def _fits(codes_FG: "torch.Tensor", groups: int, codes: int) -> bool:
    shape = codes_FG.ndim == 2 and codes_FG.shape[1] == groups and len(codes_FG) > 0
    return shape and int(codes_FG.min()) >= 0 and int(codes_FG.max()) < codes
