"""A VoxCPM as it is trained: batches, losses and the files of its checkpoints. With torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from voicelathe.config import schema
from voicelathe.families.base import ClipItem
from voicelathe.families.shared.opened import TrainedBase
from voicelathe.families.voxcpm import loading, losses, sketch
from voicelathe.families.voxcpm.losses import Noise, Pack

PARTS = {  # for gradient norms
    "lm": ("base_lm.",),
    "residual": ("residual_lm.", "fusion_concat_proj.", "fsq_layer."),
    "encoder": ("feat_encoder.", "enc_to_lm_proj."),
    "dit": ("feat_decoder.", "lm_to_dit_proj.", "res_to_dit_proj."),
    "stop": ("stop_proj.", "stop_head."),
}


@dataclass
class VoxCPMModel(loading.VoxCPMCore, TrainedBase):
    """See `voicelathe.families.base.Model` for the contract of every method."""

    parts = PARTS

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(self.core.text_tokenizer(text.strip())) for text in texts]

    def example(self, text_tokens: Sequence[int], positions: Sequence[int]) -> tuple[Pack, Noise]:
        return sketch.example(self.core, text_tokens, positions)

    def prepare(self, items: Sequence[ClipItem]) -> None:
        """Nothing beyond the weights is remembered of a speaker."""

    def collate(self, items: Sequence[ClipItem]) -> Pack:
        texts = [
            torch.tensor(self.core.text_tokenizer(item.text.strip()), dtype=torch.long) for item in items
        ]
        packed = losses.pack(
            texts,
            [item.tensors["latents"] for item in items],
            [item.tensors.get("reference") for item in items],
            self.device,
            [item.tensors.get("prompt") for item in items],
        )
        if all("patches" in item.tensors for item in items):
            patches_FC = torch.cat([item.tensors["patches"] for item in items]).to(self.device)
            return replace(packed, patches_FC=patches_FC)
        return packed

    def frozen(self, item: ClipItem) -> dict[str, Tensor]:
        """The local encoder's output [F, C], 46 MB an hour of audio at the real size; on the host."""
        with torch.no_grad():
            return {"patches": losses.encoded(self.core, self.collate([item]).fed_FPD).cpu()}

    def draw(self, batch: Pack, keys: Sequence[int], frozen: tuple[int, int] | None) -> Noise:
        flow = self.core.feat_decoder
        return losses.draw(batch, keys, flow.training_cfg_rate, flow.t_scheduler, frozen)

    def losses(self, batch: Pack, noise: Noise) -> dict[str, Tensor]:
        return losses.losses(self.core, batch, noise, self.recompute)

    def settled(self, batch: Pack) -> Pack:
        return replace(batch, settled=losses.settle(self.core, batch, "none"))

    def endings(self, batch: Pack) -> list[Tensor]:
        return losses.endings(self.core, batch)

    def save_adapter(self, tensors: dict[str, Tensor], lora: schema.Lora) -> dict[str, Any]:
        """Upstream's own pair of files, so that every adapter checkpoint loads with `load_lora_weights`."""
        names = {
            name.replace(".lora_A.weight", ".lora_A").replace(".lora_B.weight", ".lora_B"): t
            for name, t in tensors.items()
        }
        enable = {f"enable_{scope}": scope in lora.scope for scope in self.scopes}
        config = {"r": lora.rank, "alpha": lora.alpha, "dropout": lora.dropout, **enable}
        return {
            "lora_weights.safetensors": names,
            "lora_config.json": {"base_model": self.base.name, "lora_config": config},
        }

    def full_files(self, dtype: torch.dtype) -> dict[str, Any]:
        """The weights of a full checkpoint; everything else in the directory is a link to the base's file."""
        return {
            "model.safetensors": {
                n: p.detach().to("cpu", dtype).contiguous() for n, p in loading.weights(self.core).items()
            }
        }


@dataclass
class VoxCPM2Model(VoxCPMModel):
    """VoxCPM with upstream's reference prefix: 103, the clip's latents, 104, in front of the text; trains with it, too."""

    def frozen_in_front(self, item: ClipItem) -> dict[str, Tensor]:
        """The last position [1, C]: a clip is never fed its own, so `frozen` leaves it out."""
        with torch.no_grad():
            last_1PD = item.tensors["latents"][-1:].to(self.device)
            return {"last_patch": losses.encoded(self.core, last_1PD).cpu()}

    def example(
        self, text_tokens: Sequence[int], positions: Sequence[int], references: Sequence[int] = ()
    ) -> tuple[Pack, Noise]:
        return sketch.example(self.core, text_tokens, positions, references)
