"""Opening a VoxCPM directory with upstream's own classes: as its `from_local` leaves it, to the byte, without what that throws away.

`from_local` (voxcpm 2.0.3) draws every weight at random before it reads them, keeps the file's copy beside the model's, opens the audio
codec for training, which has no use for it, and passes over names that are missing. Here nothing is drawn, and every name must be there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.errors import BaseModelError
from voicelathe.families.shared.opened import OpenedBase
from voicelathe.families.voxcpm import codec

if TYPE_CHECKING:
    import torch

CODEC = "audio_vae."  # in the model, not in its file
ATTENTION = r"self_attn\.(q_proj|k_proj|v_proj|o_proj)"
SCOPES = {  # upstream's enable_lm, enable_dit, enable_proj; a plain list of names would also hit the local encoder
    "lm": rf"(base_lm|residual_lm)\.layers\.\d+\.{ATTENTION}",
    "dit": rf"feat_decoder\.estimator\.decoder\.layers\.\d+\.{ATTENTION}",
    "proj": r"(enc_to_lm_proj|lm_to_dit_proj|res_to_dit_proj|fusion_concat_proj)",
}


@dataclass
class VoxCPMCore(OpenedBase):
    """What is trained and what speaks: `core` is upstream's model."""

    scopes = SCOPES

    def recall(self, directory: Path) -> None:
        """Nothing beyond the weights is remembered of a speaker."""

    def load_full(self, directory: Path) -> None:
        """Copy a directory's weights into the model, tensor by tensor from a memory map."""
        from voicelathe.families.shared.weights import copy_weights

        copy_weights(directory, weights(self.core))


def opened(
    upstream: Any, kind: Any, codec_kind: Any, base: Path, device: str, for_training: bool, keep_bf16: bool
) -> Any:
    """For training fp32 weights and neither codec nor caches of generation; for speech the type that the configuration says."""
    import torch
    from transformers import LlamaTokenizerFast

    from voicelathe.families.shared.weights import copy_weights, without_weights

    config = upstream.VoxCPMConfig.model_validate_json((base / "config.json").read_text(encoding="utf-8"))
    tokenizer = LlamaTokenizerFast.from_pretrained(str(base))
    with without_weights():
        model = kind(config, tokenizer, codec.built(codec_kind, config), None, device=device)
    _require_supported(model, base)
    if for_training:
        model.base_lm.kv_cache = model.residual_lm.kv_cache = None  # 302 MB at the real size
        model.audio_vae = None
    else:
        model.to(upstream.get_dtype(model.config.dtype)).audio_vae.to(torch.float32)
        codec.fill(model.audio_vae.eval(), base)
    copy_weights(base, weights(model), keep_bf16=keep_bf16)
    return model if for_training else model.to(model.device).eval()


def weights(model: Any) -> "dict[str, torch.Tensor]":
    """Upstream's names of what model.safetensors holds; rope tables and caches are rebuilt from the config."""
    state = model.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if not name.startswith(CODEC)}


def _require_supported(model: Any, base: Path) -> None:
    """Refuse what the packed forward does not implement; no published VoxCPM uses it."""
    flow = model.feat_decoder
    if flow.mean_mode or flow.noise_cond_scale:
        raise BaseModelError(
            f"{base}/config.json: dit_mean_mode = {flow.mean_mode}, noise_cond_scale = {flow.noise_cond_scale}. "
            "Mean-flow training and noised conditions are not supported; use a base without them."
        )
