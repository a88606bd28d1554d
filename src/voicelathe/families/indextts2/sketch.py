"""IndexTTS2's GPT from its configuration alone, and clips of any size for it: for `voicelathe plan` and preflight."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voicelathe.families.indextts2.losses import Ids, Pack


PUBLISHED: Mapping[str, Any] = {  # config.yaml of IndexTeam/IndexTTS-2, its part `gpt`
    "layers": 24, "model_dim": 1280, "heads": 20, "max_text_tokens": 600, "max_mel_tokens": 1815, "number_text_tokens": 12000,
    "number_mel_codes": 8194, "start_mel_token": 8192, "stop_mel_token": 8193, "start_text_token": 0, "stop_text_token": 1,
}  # fmt: skip


LATENTS = 32  # of a voice


def built(shape: Mapping[str, Any]) -> Any:
    """The module with random weights, fp32."""
    from voicelathe.families.indextts2.losses import SpeechGPT

    return SpeechGPT(shape)


def example(width: int, text_tokens: Sequence[int], positions: Sequence[int], ids: "Ids") -> "Pack":
    """Clips of these sizes after a voice and an emotion of so many numbers."""
    import torch

    from voicelathe.families.indextts2 import losses

    clips = [
        losses.ClipTokens(
            torch.zeros(words, dtype=torch.long), torch.zeros(codes, dtype=torch.long), torch.zeros(LATENTS, width), torch.zeros(width)
        )
        for words, codes in zip(text_tokens, positions, strict=True)
    ]  # fmt: skip
    return losses.pack(clips, ids, torch.device("cpu"))
