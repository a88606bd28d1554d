"""VoxCPM 2: 2.3 B parameters, 16 kHz in, 48 kHz out, the condition as two tokens."""

from voicelathe.families.voxcpm import Format, VoxCPM, describe_family
from voicelathe.families.voxcpm_published import VOXCPM2

FAMILY = VoxCPM(
    describe_family("voxcpm2", "huggingface-cli download openbmb/VoxCPM2 --local-dir DIR"),
    Format(
        architecture="voxcpm2", module="voxcpm2", model="VoxCPM2Model", codec="AudioVAEV2", published=VOXCPM2
    ),
)
