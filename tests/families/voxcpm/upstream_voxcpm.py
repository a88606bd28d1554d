"""VoxCPM 2's own training forward for one clip, with its random draws made visible, as the reference for parity tests.

Upstream draws over every position in the order written in `compute_loss` (unified_cfm.py); the same seed replayed here gives the
numbers that the audio positions received, which are then handed to the packed forward.
"""

from typing import Any

import torch
from torch import Tensor

from voicelathe.families.voxcpm.losses import Noise


def sequence(text: Tensor, latents: Tensor, reference: Tensor | None) -> dict[str, Tensor]:
    """The padded, masked inputs of upstream's packers.py for one clip."""
    head = 0 if reference is None else reference.shape[0] + 2
    length = head + len(text) + 1 + len(latents) + 1
    first = head + len(text) + 1
    ids, features = torch.zeros(length, dtype=torch.long), torch.zeros(length, *latents.shape[1:])
    audio, wanted = torch.zeros(length), torch.zeros(length)
    if reference is not None:
        ids[0], ids[head - 1] = 103, 104
        features[1 : head - 1], audio[1 : head - 1] = reference, 1.0
    ids[head : first - 1], ids[first - 1], ids[-1] = text, 101, 102
    features[first:-1], audio[first:-1], wanted[first:-1] = latents, 1.0, 1.0
    labels = torch.zeros(length, dtype=torch.long)
    labels[-2] = 1
    tensors = {
        "text_tokens": ids, "text_mask": 1.0 - audio, "audio_feats": features, "audio_mask": audio, "loss_mask": wanted,
        "position_ids": torch.arange(length), "labels": labels,
    }  # fmt: skip
    return {name: tensor[None] for name, tensor in tensors.items()}


def losses(model: Any, inputs: dict[str, Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """Upstream's (diffusion loss, stop loss) of one clip."""
    torch.manual_seed(seed)
    out = model(**inputs)
    return out["loss/diff"], out["loss/stop"]


def noise(model: Any, inputs: dict[str, Tensor], seed: int) -> Noise:
    """What upstream drew with that seed, at the predicted positions."""
    torch.manual_seed(seed)
    positions, frames, width = inputs["audio_feats"].shape[1:]
    flow = model.feat_decoder
    keep = torch.rand(positions) > flow.training_cfg_rate
    torch.rand(positions)  # which conditions get noise
    torch.randn(positions, width, frames)  # that noise; its scale is 0
    torch.randn(positions)  # r, unused outside mean mode
    time = torch.sigmoid(torch.randn(positions) - 0.4)
    torch.rand(positions)
    added = torch.randn(positions, width, frames)
    at = inputs["loss_mask"][0].bool()
    return Noise(keep[at], time[at], added[at].transpose(1, 2))


def joined(parts: list[Noise]) -> Noise:
    return Noise(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("keep_A", "time_A", "noise_APD"))
    )
