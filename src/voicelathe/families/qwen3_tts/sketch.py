"""A Qwen3-TTS without weights, for `voicelathe plan`: upstream's own class on tensors that have sizes and no data.

The published sizes are those of the 1.7B Base: from them upstream's class makes the 1,430.4 M parameters of the talker, 311.2 M of the
text embedding and 175.1 M of the code predictor that the published file has (QwenLM/Qwen3-TTS issues and ports; no config was downloaded).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from voicelathe.families.qwen3_tts import loading, losses
from voicelathe.families.qwen3_tts.losses import ROLE, Pack

PUBLISHED: dict[str, Any] = {
    "model_type": "qwen3_tts", "architecture": "qwen3_tts 1.7B", "tts_model_type": "base", "tokenizer_type": "qwen3_tts_tokenizer_12hz",
    "speaker_encoder_config": {},
    "talker_config": {
        "hidden_size": 2048, "text_hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "head_dim": 128,
        "num_attention_heads": 16, "num_key_value_heads": 8, "num_code_groups": 16, "vocab_size": 3072, "text_vocab_size": 151936,
        "rope_theta": 1000000, "rope_scaling": {"rope_type": "default", "type": "default", "interleaved": True, "mrope_section": [24, 20, 20]},
        "codec_pad_id": 2148, "codec_bos_id": 2149, "codec_eos_token_id": 2150, "codec_think_id": 2154, "codec_nothink_id": 2155,
        "codec_think_bos_id": 2156, "codec_think_eos_id": 2157, "codec_language_id": {}, "spk_id": {}, "spk_is_dialect": {},
        "code_predictor_config": {
            "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 5, "head_dim": 128, "num_attention_heads": 16,
            "num_key_value_heads": 8, "num_code_groups": 16, "vocab_size": 2048,
        },
    },
}  # fmt: skip


def build(config: Mapping[str, Any], base: Path | None) -> tuple[Any, Any]:
    """The model as a trainer opens it, and what stands for upstream's wrapper where there is a base: its tokenizer."""
    loading.upstream()
    from qwen_tts.core.models import Qwen3TTSConfig, Qwen3TTSForConditionalGeneration

    given = {name: value for name, value in config.items() if name != "architecture"}
    model = Qwen3TTSForConditionalGeneration._from_config(Qwen3TTSConfig(**given), attn_implementation="sdpa")
    model.speaker_encoder = None
    tts = None if base is None else SimpleNamespace(processor=SimpleNamespace(tokenizer=_tokenizer(base)))
    return model, tts


def example(model: Any, text_tokens: Sequence[int], positions: Sequence[int]) -> Pack:
    """A pack of clips of these sizes, each with a speaker and no language."""
    talker = model.config.talker_config
    ids = [torch.zeros(ROLE + count, dtype=torch.long) for count in text_tokens]
    codes = [torch.zeros((count, talker.num_code_groups), dtype=torch.int16) for count in positions]
    voices = [torch.zeros(talker.hidden_size)] * len(ids)
    return losses.pack(model.config, ids, codes, voices, [None] * len(ids), torch.device("cpu"))


def _tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(base))
