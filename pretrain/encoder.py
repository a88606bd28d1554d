"""Train the encoder of the base: upstream's convolutions learn to compute `features.latents` from audio.

Its residual units at 16 kHz are silenced and left out in training: they cost most of the time. The decoder is built by `vocoder`, so
the two have only the meaning of a latent in common, and each can be improved alone.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain import features, loop, vocoder
from pretrain.corpus import NUM_CLIPS, SEED

FILE = "encoder.safetensors"
# The rate goes down twice: one volume of the corpus in the first round, all of it and rooms in the second.
STEPS, FIRST_ROUND = 13_000, 8_000
BATCH, CROP = 4, 36 * 640  # clips and samples of a step
PITCH = (0.8, 1.3)  # half of the crops are resampled by a factor in this range: more voices than three
TILT, FLOOR_DBFS = (-0.5, 0.5), (-85.0, -55.0)
SKIP = 3  # latents at the start of a crop that have not seen enough
PLAN = {"rate": 2e-3, "warmup": 50, "weight_decay": 0.0, "weights": {"error": 1.0}}


def train(state: Path, minutes: float, steps: int = STEPS, device: str = "cpu") -> bool:
    """Go on with STATE/encoder.safetensors; True when it is finished. `error` is the squared error as a share of the power of the latents."""
    torch.manual_seed(SEED)
    encoder = built(state).encoder.to(device)
    shortcut(encoder)
    encoder.fc_logvar.requires_grad_(False)
    crops, first = Crops(state), min(FIRST_ROUND, steps)

    def losses(step: int) -> dict[str, Tensor]:
        samples, latents = (one.to(device) for one in crops.batch(step, step <= first))
        wrong = (encoder(samples)["mu"] - latents)[:, :, SKIP:]
        return {"error": wrong.pow(2).mean() / latents[:, :, SKIP:].pow(2).mean()}

    return loop.train(
        state / FILE,
        {"encoder": encoder},
        loop.Plan(steps=steps, minutes=minutes, again=first, **PLAN),
        losses,
    )


def built(state: Path) -> Any:
    """Upstream's codec: the built decoder, and a random encoder whose units at 16 kHz add nothing."""
    vae: Any = vocoder.build(features.load(state / "basis.npz"))
    with torch.no_grad():
        for unit in vae.encoder.block[1].block[:3]:
            vocoder.silence(unit.block[3])
    return vae


def codec(state: Path) -> dict[str, Tensor]:
    """Every tensor of the codec as far as it is trained."""
    vae = built(state)
    if (state / FILE).is_file():
        vae.encoder.load_state_dict(
            loop.weights(state / FILE, "encoder"), strict=False
        )  # without the silenced units
    return dict(vae.state_dict())


def shortcut(encoder: Any) -> None:
    """Leave the silenced units out of the computation, and use the faster backward."""
    import voxcpm.modules.audiovae.audio_vae_v2 as upstream

    upstream.snake = Snake.apply
    for unit in range(3):
        encoder.block[1].block[unit] = nn.Identity()


class Snake(torch.autograd.Function):
    """x + sin(ax)^2 / a with a shorter backward than autograd's: the same function as upstream's, 1.4 times faster here."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(x, alpha)
        return (x * (2 * alpha)).cos_().mul_(-0.5 / alpha).add_(0.5 / alpha).add_(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, alpha = ctx.saved_tensors
        angle = x * (2 * alpha)
        by_cosine = angle.cos().mul_(grad)
        by_sine = angle.sin_().mul_(grad)
        of_alpha = (by_sine * x).sum((0, 2), keepdim=True) / alpha
        rest = grad.sum((0, 2), keepdim=True) - by_cosine.sum((0, 2), keepdim=True)
        return by_sine.add_(grad), of_alpha - rest / (2 * alpha * alpha)


class Crops:
    """Random pieces of the corpus and their latents, a function of the seed and the step."""

    def __init__(self, state: Path) -> None:
        self.samples = np.load(state / "corpus/samples.npy", mmap_mode="r")
        self.basis = features.load(state / "basis.npz")
        rows = [json.loads(line) for line in (state / "corpus/clips.jsonl").open(encoding="utf-8")]
        self.spans = [(row["start"], row["length"]) for row in rows]

    def batch(self, step: int, plain: bool) -> tuple[Tensor, Tensor]:
        """Samples [BATCH, 1, CROP] and latents [BATCH, 64, CROP / 640]; `plain`: of the first volume, without rooms."""
        rng = np.random.default_rng([SEED, step])
        crops = [self._one(rng, plain) for _ in range(BATCH)]
        latents = [features.latents(crop, self.basis).T for crop in crops]
        return torch.from_numpy(np.stack(crops))[:, None], torch.from_numpy(np.stack(latents))

    def _one(self, rng: np.random.Generator, plain: bool) -> features.Array:
        spans = self.spans[:NUM_CLIPS] if plain else self.spans
        start, length = spans[rng.integers(len(spans))]
        factor = rng.uniform(*PITCH) if rng.random() < 0.5 else 1.0
        wanted = int(CROP * factor) + 2
        first = start + int(rng.integers(0, max(1, length - wanted)))
        piece = np.asarray(self.samples[first : min(first + wanted, start + length)], np.float32) / 32768
        if factor != 1.0:
            piece = np.interp(np.arange(int(len(piece) / factor)) * factor, np.arange(len(piece)), piece)
        out = np.zeros(CROP, np.float32)
        out[: len(piece[:CROP])] = piece[:CROP]
        out *= np.float32(10 ** rng.uniform(-0.3, 0.1))
        return out if plain else room(out, rng)


def room(samples: features.Array, rng: np.random.Generator) -> features.Array:
    """Another spectral tilt and a noise floor: fine-tuning brings recordings that differ in both."""
    tilted = samples.copy()
    tilted[1:] += np.float32(rng.uniform(*TILT)) * samples[:-1]
    floor = 10 ** (rng.uniform(*FLOOR_DBFS) / 20) * rng.standard_normal(len(samples))
    return tilted + floor.astype(np.float32)
