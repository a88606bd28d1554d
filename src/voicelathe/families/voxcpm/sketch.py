"""A VoxCPM 2 without weights, for `voicelathe plan`: upstream's own class on tensors that have sizes and no data.

The caller has entered a fake-tensor mode before `build`; `example` makes real, small tensors.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voicelathe.families.voxcpm import losses

CACHE_DTYPE = torch.bfloat16  # of upstream's key and value caches, at the real model's dtype


class NoTokenizer:
    """Stands where the base's tokenizer would: a model that is only measured reads no text."""

    vocab: Mapping[str, int] = {}


def build(
    read: Any, model_class: Any, codec_class: Any, config: Mapping[str, Any], base: Path | None
) -> tuple[Any, int, int]:
    """Upstream's three classes put together: the model as a trainer opens it, and the bytes of what that drops: the codec and the caches of generation."""
    parsed = read.model_validate({**config, "device": "cpu", "dtype": "float32"})
    codec = codec_class(config=parsed.audio_vae_config)
    model = model_class(parsed, _tokenizer(base), codec, None, device="cpu")
    caches = sum(one.kv_cache.kv_cache.numel() for one in (model.base_lm, model.residual_lm))
    model.base_lm.kv_cache = model.residual_lm.kv_cache = model.audio_vae = None
    return model, _bytes(codec), caches * CACHE_DTYPE.itemsize


def example(
    model: Any, text_tokens: Sequence[int], positions: Sequence[int], references: Sequence[int] = ()
) -> tuple[losses.Pack, losses.Noise]:
    """A pack of clips of these sizes and its noise; `references` are positions in front of each clip, 0 for none."""
    shape = (model.config.patch_size, model.config.feat_dim)
    texts = [torch.zeros(count, dtype=torch.long) for count in text_tokens]
    latents = [torch.zeros((count, *shape)) for count in positions]
    heard = [torch.zeros((count, *shape)) if count else None for count in references or [0] * len(texts)]
    pack = losses.pack(texts, latents, heard, torch.device("cpu"))
    flow = model.feat_decoder
    noise = losses.draw(pack, list(range(len(texts))), flow.training_cfg_rate, flow.t_scheduler, None)
    return pack, noise


def _tokenizer(base: Path | None) -> Any:
    if base is None:
        return NoTokenizer()
    from transformers import LlamaTokenizerFast

    return LlamaTokenizerFast.from_pretrained(str(base))


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
