"""Train the encoder of the base: upstream's convolutions learn to compute `features.latents` from audio.

Upstream's encoder works at 16 kHz first, which costs most of the time. Here that part only hands the samples on, and the first strided
convolution is a bank of filters (10 ms, 200 times a second) that starts as cosines and sines even in mel. Training computes the bank
directly; `codec` writes it as upstream's two convolutions. The decoder is built by `vocoder`, so the two have only the meaning of a latent
in common, and each can be improved alone.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain import corpus, design, features, loop, vocoder
from pretrain.corpus import SEED
from pretrain.warm import encoder_of

FILE = "encoder.safetensors"
# The rate goes down three times. In the first round every number of a latent counts alike; later, by what it does to the envelope.
STEPS, ROUNDS = 40_000, (5_000, 9_000, 12_500)
WARM_STEPS, WARM_ROUNDS = 16_000, (0,)  # from a base: the last round alone
BATCH, CROP = 4, 36 * 640  # clips and samples of a step
PITCH = (
    0.75,
    1.4,
)  # half of the crops are resampled by a factor in this range: more voices than the corpus has
TILT, FLOOR_DBFS = (-0.5, 0.5), (-85.0, -55.0)  # of half of the crops
OPUS, OPUS_LEVEL = (
    0.2,
    (0.8, 0.98),
)  # share of the crops that were Opus, and libsndfile's scale of it: 40 to 16 kb/s
SKIP = 3  # latents at the start of a crop that have not seen enough
EVEN = 0.5  # share of the weight that does not go by the envelope
UNHEARD = 0.1  # weight of the pitch where nothing is voiced
PLAN = {"rate": 2e-3, "warmup": 50, "weight_decay": 0.0, "weights": {"error": 1.0}}


def train(
    state: Path, minutes: float, steps: int | None = None, device: str = "cpu", warm: Path | None = None
) -> bool:
    """Go on with STATE/encoder.safetensors; True when it is finished. `warm`: a base to start from, whose latents mean the same.

    `error` is the squared error as a share of the power of the latents.
    """
    torch.manual_seed(SEED)
    given = encoder_of(features.load(state / "basis.npz"), warm) if warm else None
    encoder = trainable(given if warm else built(state).encoder, goes_on=warm is not None).to(device)
    rounds, steps = (WARM_ROUNDS if warm else ROUNDS), steps or (WARM_STEPS if warm else STEPS)
    crops, first = Crops(state), rounds[0]
    heard = by_envelope(crops.basis)[:, None].to(device)

    def losses(step: int) -> dict[str, Tensor]:
        samples, latents, weights = (one.to(device) for one in crops.batch(step))
        scale = weights if step <= first else weights * heard
        wrong = (scale * (encoder(samples)["mu"] - latents))[:, :, SKIP:]
        return {"error": wrong.pow(2).mean() / (scale * latents)[:, :, SKIP:].pow(2).mean()}

    plan = loop.Plan(steps=steps, minutes=minutes, ends=rounds, **PLAN)  # type: ignore[arg-type]
    return loop.train(state / FILE, {"encoder": encoder}, plan, losses)


def by_envelope(basis: dict[str, Any]) -> Tensor:
    """[64]: weights of the numbers of a latent; the pitch's is one."""
    weights = torch.ones(design.LATENT)
    squares = torch.from_numpy(basis["gains"]).pow(-2)
    weights[: features.NUM_DIRECTIONS] = (EVEN + (1 - EVEN) * squares / squares.mean()).sqrt()
    return weights


def built(state: Path) -> Any:
    """Upstream's codec: the built decoder and a random encoder."""
    return vocoder.build(features.load(state / "basis.npz"))


def codec(state: Path) -> dict[str, Tensor]:
    """Every tensor of the codec as far as it is trained; what is never used is random, and the same each time."""
    torch.manual_seed(SEED)
    vae = built(state)
    if (state / FILE).is_file():
        trained = trainable(built(state).encoder)
        trained.load_state_dict(loop.weights(state / FILE, "encoder"))
        with torch.no_grad():
            exported(trained, vae.encoder)
    return dict(vae.state_dict())


class Bank(nn.Module):
    """What upstream's first convolution and its first block come to when only their strided convolution does something."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv1d(1, channels, 2 * stride, stride)
        with torch.no_grad():
            self.conv.weight.copy_(waves(channels, 2 * stride)[:, None])
            self.conv.bias.zero_()  # type: ignore[union-attr]

    def forward(self, samples: Tensor) -> Tensor:
        made: Tensor = self.conv(F.pad(samples, (self.stride, 0)))
        return made


def waves(channels: int, length: int) -> Tensor:
    """[channels, length]: windowed cosines and sines, even in mel from 60 to 7600 Hz."""
    mel = torch.linspace(86.0, 2790.0, channels // 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    angle = 2 * torch.pi * hertz[:, None] * torch.arange(length) / features.RATE_HZ
    return torch.cat([angle.cos(), angle.sin()]) * torch.hann_window(length)


def trainable(encoder: Any, goes_on: bool = False) -> Any:
    """Upstream's encoder with the bank in front, in place; where it goes on, with the bank that `exported` wrote into the strided convolution."""
    import voxcpm.modules.audiovae.audio_vae_v2 as upstream

    upstream.snake = Snake.apply
    shape, strided = design.codec(), encoder.block[1].block[-1]
    bank = Bank(2 * shape["encoder_dim"], shape["encoder_rates"][0])
    if goes_on:
        with torch.no_grad():
            bank.conv.weight.copy_(torch._weight_norm(strided.weight_v, strided.weight_g)[:, :1])
            bank.conv.bias.copy_(strided.bias)
    encoder.block[0] = nn.Identity()
    encoder.block[1] = bank
    encoder.fc_logvar.requires_grad_(False)
    return encoder


def exported(trained: Any, encoder: Any) -> None:
    """Write the trained encoder into upstream's own modules."""
    encoder.load_state_dict(
        {name: one for name, one in trained.state_dict().items() if not name.startswith("block.1.")},
        strict=False,
    )
    first, (*units, snake, strided), bank = encoder.block[0], encoder.block[1].block, trained.block[1].conv
    passing = torch.zeros_like(first.weight_v)
    passing[0, 0, -1] = 1.0
    vocoder.put(first, passing, 0.0)
    for unit in units:
        vocoder.silence(unit.block[3])
    snake.alpha.fill_(vocoder.LINEAR)
    weight = torch.zeros_like(strided.weight_v)
    weight[:, 0] = bank.weight[:, 0]
    vocoder.put(strided, weight, bank.bias)


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
        self.basis = features.load(state / "basis.npz")
        self.samples = corpus.read(state)[1]

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Samples [BATCH, 1, CROP], latents and their weights [BATCH, 64, CROP / 640]."""
        rng = np.random.default_rng([SEED, step])
        crops = [self._one(rng) for _ in range(BATCH)]
        latents = [features.latents(crop, self.basis) for crop in crops]
        weights = [np.ones_like(one) for one in latents]
        for weight, one in zip(weights, latents, strict=True):
            weight[~features.voiced(one, self.basis), features.PITCH_AT :] = UNHEARD
        made = (np.stack(crops)[:, None], *(np.stack(one).swapaxes(1, 2) for one in (latents, weights)))
        return tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in made)  # type: ignore[return-value]

    def _one(self, rng: np.random.Generator) -> features.Array:
        clip = self.samples[rng.integers(len(self.samples))]
        factor = rng.uniform(*PITCH) if rng.random() < 0.5 else 1.0
        wanted = int(CROP * factor) + 2
        first = int(rng.integers(0, max(1, len(clip) - wanted)))
        piece = np.asarray(clip[first : first + wanted], np.float32) / 32768
        if factor != 1.0:
            piece = np.interp(np.arange(int(len(piece) / factor)) * factor, np.arange(len(piece)), piece)
        out = np.zeros(CROP, np.float32)
        out[: len(piece[:CROP])] = piece[:CROP]
        out *= np.float32(10 ** rng.uniform(-0.3, 0.1))
        out = room(out, rng) if rng.random() < 0.5 else out
        return opus(out, rng.uniform(*OPUS_LEVEL)) if rng.random() < OPUS else out


def opus(samples: features.Array, level: float) -> features.Array:
    """What an Opus file gives back."""
    file = io.BytesIO()
    soundfile.write(
        file, samples.clip(-1, 1), features.RATE_HZ, format="OGG", subtype="OPUS", compression_level=level
    )
    file.seek(0)
    heard: features.Array = soundfile.read(file, dtype="float32")[0]
    return np.pad(heard[: len(samples)], (0, max(0, len(samples) - len(heard))))


def room(samples: features.Array, rng: np.random.Generator) -> features.Array:
    """Another spectral tilt and a noise floor: fine-tuning brings recordings that differ in both."""
    tilted = samples.copy()
    tilted[1:] += np.float32(rng.uniform(*TILT)) * samples[:-1]
    floor = 10 ** (rng.uniform(*FLOOR_DBFS) / 20) * rng.standard_normal(len(samples))
    return tilted + floor.astype(np.float32)
