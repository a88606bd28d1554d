"""A small random Qwen3-TTS 12 Hz "Base" in the official on-disk layout, written with upstream's classes and opened by its loader.

Traps it steps around: config.json is a plain dict (the one the class writes does not reload); the tokenizer makes exactly three
tokens of the role and five of the tail; the text width differs from the model width, so that a forgotten text projection cannot
pass; codebook usage is not zero; the codec's output is loud enough to be heard.
"""

import json
from pathlib import Path
from typing import Any

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>"]
HIDDEN, TEXT_HIDDEN, PREDICTOR_HIDDEN = 64, 48, 32


def write(out: Path, seed: int = 0, **talker: Any) -> Path:
    """Write the whole directory; gives it back. `talker` overrides settings of the talker."""
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import torch
    from qwen_tts.core.models import Qwen3TTSConfig, Qwen3TTSForConditionalGeneration
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    described = config(*_tokenizer(out), **talker)
    torch.manual_seed(seed)
    model = Qwen3TTSForConditionalGeneration(Qwen3TTSConfig(**described))
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    _dump(out / "config.json", described)
    sampling = {"do_sample": True, "temperature": 0.9, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.05}
    below = {"dosample": True, "temperature": 0.9, "top_p": 1.0, "top_k": 50}
    _dump(
        out / "generation_config.json",
        {**sampling, "max_new_tokens": 8192, **{f"subtalker_{key}": value for key, value in below.items()}},
    )
    _codec(out / "speech_tokenizer")
    return out


def config(vocabulary: dict[str, int], ids: dict[str, int], **talker: Any) -> dict[str, Any]:
    """The real model's shape in small: 16 code groups, 3072 codes in the talker, 2048 in the predictor."""
    rope = {"rope_type": "default", "type": "default", "interleaved": True, "mrope_section": [4, 2, 2]}
    predictor = {
        "model_type": "qwen3_tts_talker_code_predictor", "hidden_size": PREDICTOR_HIDDEN, "intermediate_size": 64, "num_hidden_layers": 1,
        "head_dim": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "num_code_groups": 16, "vocab_size": 2048,
        "rope_theta": 1000000, "max_position_embeddings": 4096,
    }  # fmt: skip
    described = {
        "model_type": "qwen3_tts_talker", "hidden_size": HIDDEN, "text_hidden_size": TEXT_HIDDEN, "intermediate_size": 128,
        "num_hidden_layers": 2, "head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "num_code_groups": 16,
        "vocab_size": 3072, "text_vocab_size": len(vocabulary) + len(SPECIALS), "rope_theta": 1000000, "rope_scaling": rope,
        "max_position_embeddings": 4096, "position_id_per_seconds": 13, "code_predictor_config": predictor, "codec_pad_id": 2148,
        "codec_bos_id": 2149, "codec_eos_token_id": 2150, "codec_think_id": 2154, "codec_nothink_id": 2155, "codec_think_bos_id": 2156,
        "codec_think_eos_id": 2157, "codec_language_id": {"chinese": 2055, "english": 2050}, "spk_id": {}, "spk_is_dialect": {},
        **talker,
    }  # fmt: skip
    speaker = {
        "enc_dim": described["hidden_size"], "enc_channels": [16, 16, 16, 16, 48], "enc_res2net_scale": 4, "enc_se_channels": 8,
        "enc_attention_channels": 8, "sample_rate": 24000,
    }  # fmt: skip
    return {
        "model_type": "qwen3_tts", "architectures": ["Qwen3TTSForConditionalGeneration"], "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": "tiny", "tts_model_type": "base", "assistant_token_id": vocabulary["assistant"],
        "im_start_token_id": ids["<|im_start|>"], "im_end_token_id": ids["<|im_end|>"], "tts_pad_token_id": ids["<tts_pad>"],
        "tts_bos_token_id": ids["<tts_text_bos>"], "tts_eos_token_id": ids["<tts_text_eod>"], "speaker_encoder_config": speaker,
        "talker_config": described,
    }  # fmt: skip


def _tokenizer(out: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Byte-level BPE in Qwen2's file format; the vocabulary and the ids of the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges, head = [], "a"
    for letter in "ssistant":
        merges.append((head, letter))
        head += letter
        vocabulary.setdefault(head, len(vocabulary))
    _dump(out / "vocab.json", vocabulary)
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    (out / "merges.txt").write_text(f"#version: 0.2\n{lines}", encoding="utf-8")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.save(str(out / "tokenizer.json"))
    ids = {name: tokenizer.token_to_id(name) for name in SPECIALS}
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    _dump(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer", "model_max_length": 131072, "add_prefix_space": False, "pad_token": "<|endoftext|>",
            "eos_token": "<|im_end|>", "additional_special_tokens": SPECIALS[1:],
            "added_tokens_decoder": {str(number): {**flags, "content": name} for name, number in ids.items()},
        },
    )  # fmt: skip
    return vocabulary, ids


def _codec(out: Path) -> None:
    """The 12.5 Hz codec: 24 kHz in and out, 32 quantisers of which upstream keeps 16."""
    import torch
    from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Config
    from qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Model
    from transformers import EncodecFeatureExtractor

    width = {
        "num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 16, "codebook_size": 2048,
    }  # fmt: skip
    encoder = {
        **width, "sampling_rate": 24000, "audio_channels": 1, "num_filters": 4, "num_residual_layers": 1,
        "upsampling_ratios": [8, 6, 5, 4], "codebook_dim": 16, "vector_quantization_hidden_dimension": 16, "num_quantizers": 32,
        "num_semantic_quantizers": 1, "sliding_window": 250, "upsample_groups": 32, "frame_rate": 12.5, "_frame_rate": 12.5,
        "use_causal_conv": True,
    }  # fmt: skip
    decoder = {**width, "codebook_dim": 32, "latent_dim": 32, "decoder_dim": 64}
    model = Qwen3TTSTokenizerV2Model(
        Qwen3TTSTokenizerV2Config(encoder_config=encoder, decoder_config=decoder)
    )
    with torch.no_grad():
        for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
            if "embed_sum" in name or "embedding_sum" in name:
                tensor.normal_()
            if "cluster_usage" in name:
                tensor.fill_(1.0)
            if name.startswith("decoder.decoder.") and tensor.ndim == 3:
                tensor.normal_(std=(tensor[0].numel()) ** -0.5)
            if name.endswith(("layer_scale.scale", "gamma")):
                tensor.fill_(0.5)
    model.save_pretrained(out)
    EncodecFeatureExtractor(feature_size=1, sampling_rate=24000, padding_value=0.0).save_pretrained(out)


def _dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
