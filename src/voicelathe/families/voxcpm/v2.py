"""VoxCPM 2: 2.3 B parameters, 16 kHz in, 48 kHz out, the condition as two tokens; takes over a voice from a reference clip, by its prefix of its own, as a prompt, or both."""

from dataclasses import replace

from voicelathe.families.base import Family
from voicelathe.families.voxcpm.published import VOXCPM2
from voicelathe.families.voxcpm.spec import Format, VoxCPMFamily, describe_family

FAMILY: Family = VoxCPMFamily(
    replace(
        describe_family(
            "voxcpm2",
            "voxcpm2",
            "huggingface-cli download openbmb/VoxCPM2 --local-dir DIR",
            ("reference", "both", "continuation"),
        ),
        trains_with_references=True,
        trains_with_control=True,
        replays_others=True,
    ),
    Format(
        architecture="voxcpm2", module="voxcpm2", model="VoxCPM2Model", codec="AudioVAEV2", published=VOXCPM2
    ),
)
