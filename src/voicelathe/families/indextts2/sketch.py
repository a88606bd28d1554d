"""IndexTTS2's GPT from its configuration alone, and clips of any size for it: for `voicelathe plan` and preflight."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from voicelathe.families.indextts2.editions import Edition

if TYPE_CHECKING:
    from voicelathe.families.indextts2.losses import Ids, Pack


PUBLISHED: Mapping[str, Any] = {  # config.yaml of IndexTeam/IndexTTS-2, its part `gpt`
    "layers": 24, "model_dim": 1280, "heads": 20, "max_text_tokens": 600, "max_mel_tokens": 1815, "number_text_tokens": 12000,
    "number_mel_codes": 8194, "start_mel_token": 8192, "stop_mel_token": 8193, "start_text_token": 0, "stop_text_token": 1,
}  # fmt: skip
PUBLISHED_25 = {
    **PUBLISHED,
    "number_text_tokens": 60509,
}  # IndexTeam/IndexTTS-2.5 has the same but for its vocabulary
LATENTS = 32  # of a voice


def built(shape: Mapping[str, Any], edition: Edition) -> Any:
    """The module with random weights, fp32."""
    from voicelathe.families.indextts2.losses import SpeechGPT

    return SpeechGPT(shape, edition.languages)


def example(
    width: int, text_tokens: Sequence[int], positions: Sequence[int], ids: "Ids", edition: Edition
) -> "Pack":
    """Clips of these sizes after a voice and an emotion of so many numbers."""
    import torch

    from voicelathe.families.indextts2 import losses

    clips = [
        losses.ClipTokens(
            torch.zeros(words, dtype=torch.long), torch.zeros(codes, dtype=torch.long), torch.zeros(width),
            condition_LC=None if edition.languages else torch.zeros(LATENTS, width),
            speaker_S=torch.zeros(losses.SPEAKER_WIDTH) if edition.languages else None,
        )
        for words, codes in zip(text_tokens, positions, strict=True)
    ]  # fmt: skip
    return losses.pack(clips, ids, torch.device("cpu"))
