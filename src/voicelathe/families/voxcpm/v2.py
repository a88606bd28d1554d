"""VoxCPM 2: 2.3 B parameters, 16 kHz in, 48 kHz out, the condition as two tokens; takes over a voice from a reference clip, by its prefix of its own, as a prompt, or both."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import ClipItem
from voicelathe.families.voxcpm.model import Format, Loaded, VoxCPM, describe_family
from voicelathe.families.voxcpm.published import VOXCPM2

if TYPE_CHECKING:
    import torch

    from voicelathe.families.voxcpm.losses import Noise, Pack


class VoxCPM2(VoxCPM):
    """VoxCPM with upstream's reference prefix: 103, the clip's latents, 104, in front of the text; trains with it, too."""

    def frozen_in_front(self, loaded: Loaded, item: ClipItem) -> "dict[str, torch.Tensor]":
        """The last position [1, C]: a clip is never fed its own, so `frozen` leaves it out."""
        import torch

        from voicelathe.families.voxcpm import losses

        with torch.no_grad():
            last_1PD = item.tensors["latents"][-1:].to(loaded.device)
            return {"last_patch": losses.encoded(loaded.core, last_1PD).cpu()}

    def example(
        self,
        loaded: Any,
        text_tokens: Sequence[int],
        positions: Sequence[int],
        references: Sequence[int] = (),
    ) -> "tuple[Pack, Noise]":
        from voicelathe.families.voxcpm import sketch

        return sketch.example(loaded.core, text_tokens, positions, references)


FAMILY = VoxCPM2(
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
