"""The language model of CosyVoice 3 from its configuration alone, and clips of any size for it: for `voicelathe plan` and preflight."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.families.cosyvoice3 import files
from voicelathe.families.cosyvoice3.files import WEIGHTS

if TYPE_CHECKING:
    from voicelathe.families.cosyvoice3.losses import Pack


PUBLISHED: Mapping[str, Any] = {  # Qwen2.5-0.5B, the text model of Fun-CosyVoice3-0.5B-2512
    "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True, "use_sliding_window": False,
}  # fmt: skip


PUBLISHED_TOKENS = 6561


INSTRUCTION_TOKENS = 7  # of the published tokenizer


def built(config: Mapping[str, Any], base: Path | None) -> Any:
    """The module with random weights, fp32, and as many speech tokens as the base has; `sdpa` without a mask is causal."""
    from transformers import Qwen2Config

    from voicelathe.families.cosyvoice3.losses import SpeechLM

    num_speech = PUBLISHED_TOKENS if base is None else _num_speech(base)
    return SpeechLM(Qwen2Config(**{**config, "attn_implementation": "sdpa"}), num_speech)


def example(core: Any, text_tokens: Sequence[int], positions: Sequence[int]) -> "Pack":
    """Laid out with the words first; interleaving adds a position for each group of five."""
    import torch

    from voicelathe.families.cosyvoice3 import losses

    nothing = torch.zeros(INSTRUCTION_TOKENS, dtype=torch.long)
    clips = [
        losses.ClipTokens(
            nothing, torch.zeros(words, dtype=torch.long), torch.zeros(sounds, dtype=torch.long)
        )
        for words, sounds in zip(text_tokens, positions, strict=True)
    ]
    return losses.pack(clips, [False] * len(clips), losses.Ids.of(core), torch.device("cpu"))


def _num_speech(base: Path) -> int:
    from voicelathe.families.shared.safetensors_header import read_header

    return read_header(base / WEIGHTS)["speech_embedding.weight"].shape[0] - files.SPECIALS
