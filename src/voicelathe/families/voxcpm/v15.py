"""VoxCPM 1.5: 0.8 B parameters, 44.1 kHz in and out, the condition as one token that the clock is added to;
takes over a voice by continuing a clip.

VoxCPM 0.5B has the same format at 16 kHz and is accepted; nothing was tried with it.
"""

from dataclasses import replace

from voicelathe.families.base import Family
from voicelathe.families.voxcpm.published import VOXCPM15
from voicelathe.families.voxcpm.spec import Format, VoxCPMFamily, describe_family

FAMILY: Family = VoxCPMFamily(
    replace(
        describe_family(
            "voxcpm15",
            "voxcpm",
            "huggingface-cli download openbmb/VoxCPM1.5 --local-dir DIR",
            ("continuation",),
        ),
        replays_others=True,
    ),
    Format(architecture="voxcpm", module="voxcpm", model="VoxCPMModel", codec="AudioVAE", published=VOXCPM15),
)
