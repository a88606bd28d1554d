"""VoxCPM's audio codec alone: opened without the language model, clips into latents, latents into sound.

Shapes: B clips, A positions, P latent frames of a position, D latent width, F frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import Spoken
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass
class VoxCPMEncoder:
    """The codec of a base, on the device."""

    vae: Any
    facts: BaseFacts
    device: "torch.device"

    def encode(self, samples: "Sequence[np.ndarray[Any, Any]]") -> "Iterator[dict[str, torch.Tensor]]":
        """Latents [A, P, D] of each clip, its end padded with silence to a whole position, as upstream encodes prompts."""
        import torch

        stride = round(self.facts.encode_rate_hz / self.facts.positions_per_s)  # samples of one position
        patch = stride // self.vae.chunk_size
        lengths = [max(1, -(-len(one) // stride)) for one in samples]
        batch = torch.zeros(len(samples), 1, max(lengths) * stride)
        for row, one in enumerate(samples):
            batch[row, 0, : len(one)] = torch.from_numpy(one)
        with torch.inference_mode():
            latents_BDF = self.vae.encode(batch.to(self.device), self.facts.encode_rate_hz).cpu()
        for latents_DF, length in zip(latents_BDF, lengths, strict=True):
            patches = latents_DF[:, : length * patch].T.unflatten(0, (length, patch))
            yield {"latents": patches.contiguous().clone()}

    def copy(self, samples: "np.ndarray[Any, Any]") -> Spoken:
        """Through the codec and back, without the language model."""
        import torch

        (encoded,) = self.encode([samples])
        latents_DF = encoded["latents"].flatten(0, 1).T
        with torch.inference_mode():
            decoded = self.vae.decode(latents_DF[None].float().to(self.device))
        rate_hz = self.facts.speak_rate_hz
        length = round(
            len(samples) * rate_hz / self.facts.encode_rate_hz
        )  # without what filled the last position
        return Spoken(decoded.reshape(-1)[:length].float().cpu().numpy(), rate_hz, True)


def opened(upstream: Any, kind: Any, base: Path) -> Any:
    """The audio codec alone, by upstream's own class and file order, without the language model's memory."""
    from voicelathe.families.shared.weights import without_weights

    config = upstream.VoxCPMConfig.model_validate_json((base / "config.json").read_text(encoding="utf-8"))
    with without_weights():
        vae = built(kind, config)
    fill(vae, base)
    return vae.eval()


def built(kind: Any, config: Any) -> Any:
    """Upstream's class on the configuration of a model, fp32; its own default where that has none."""
    return kind(config=config.audio_vae_config) if config.audio_vae_config else kind()


def fill(vae: Any, base: Path) -> None:
    """The weights of a directory, as fp32 whatever the file has them in."""
    import torch
    from safetensors.torch import load_file

    from voicelathe.families.shared import weights

    if (path := base / "audiovae.safetensors").is_file():
        state = load_file(path)
    else:  # a base that was pinned before `base add` converted it
        path = base / "audiovae.pth"
        stored = torch.load(path, map_location="cpu", weights_only=True)
        state = stored.get("state_dict", stored)
    weights.fill(vae.state_dict(keep_vars=True), state, state.__getitem__, path)
