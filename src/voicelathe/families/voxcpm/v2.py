"""VoxCPM 2: 2.3 B parameters, 16 kHz in, 48 kHz out, the condition as two tokens; takes over a voice from a reference clip."""

from dataclasses import replace
from pathlib import Path

from voicelathe.families.base import ClipItem, Spoken
from voicelathe.families.decoding import Decoding
from voicelathe.families.voxcpm import synthesis
from voicelathe.families.voxcpm.model import Format, Loaded, VoxCPM, describe_family
from voicelathe.families.voxcpm.published import VOXCPM2


class VoxCPM2(VoxCPM):
    """VoxCPM with upstream's reference prefix: 103, the clip's latents, 104, in front of the text."""

    def prompted(self, item: ClipItem, reference: ClipItem) -> ClipItem:
        return replace(item, tensors={**item.tensors, "reference": reference.tensors["latents"]})

    def synthesize_prompted(
        self,
        loaded: Loaded,
        text: str,
        language: str,
        seed: int,
        max_seconds: float,
        decoding: Decoding,
        reference: Path,
        said: str,
    ) -> Spoken:
        """By the sound alone: upstream's reference has no words."""
        return synthesis.speak(loaded, text, seed, max_seconds, decoding, reference)


FAMILY = VoxCPM2(
    describe_family("voxcpm2", "voxcpm2", "huggingface-cli download openbmb/VoxCPM2 --local-dir DIR"),
    Format(
        architecture="voxcpm2", module="voxcpm2", model="VoxCPM2Model", codec="AudioVAEV2", published=VOXCPM2
    ),
)
