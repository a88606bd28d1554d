"""The decoder of the base, built and not trained: upstream's AudioVAE V2 with weights that make it a channel vocoder.

A latent becomes the 4 x 48 numbers of `features` (a linear map), both signs of each; snake(x) + snake(-x) is a square, so the first
block turns them into energies every 10 ms; the two blocks of rate one only narrow the channels; the last block of rate 160 writes one
pulse of each voiced band per period (100 Hz in the low voice, 200 Hz in the high one) and lets the energies of the noise bands swell
upstream's own noise block. A last filter of seven taps shapes the noise. Pitch is therefore flat: a robot.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain import design, features

SQUARE, LINEAR = 0.02, 1e-4  # snake's alpha where it squares, and where it should do nothing
VOICED, NOISE, FRAMES = features.NUM_VOICED, features.NUM_NOISE, features.FRAMES
BANDS = features.BANDS


def build(basis: dict[str, Any]) -> nn.Module:
    """The codec with this decoder; its encoder is random."""
    from voicelathe.families import torchaudio_shim

    torchaudio_shim.ensure()
    from voxcpm.modules.audiovae import AudioVAEConfigV2, AudioVAEV2

    vae: Any = AudioVAEV2(AudioVAEConfigV2(**design.codec()))
    with torch.no_grad():
        fill(vae.decoder, basis)
    return vae


def fill(decoder: Any, basis: dict[str, Any]) -> None:
    smooth, widen, *blocks, last_snake, mix, _ = decoder.model
    for module in decoder.modules():
        if type(module).__name__ == "CausalResidualUnit":
            silence(module.block[3])
        if type(module).__name__ == "NoiseBlock":
            silence(module.linear)
    put(smooth, delta(design.LATENT, 7), 0.0)
    weight, bias = expansion(basis)
    put(widen, weight[:, :, None], bias)
    energies, *narrow, voice = blocks
    energies.block[0].alpha.fill_(SQUARE)
    put(energies.block[1], squares(energies.block[1]), 0.0)
    for block in narrow:
        block.block[0].alpha.fill_(LINEAR)
        put(block.block[1], identity(block.block[1]), 0.0)
    voice.block[0].alpha.fill_(LINEAR)
    put(voice.block[1], pulses(voice.block[1]), 0.0)
    put(
        voice.block[2].linear,
        torch.diag(torch.tensor([0.0] + [1.0] * NOISE + [0.0] * (mix.in_channels - 1 - NOISE)))[:, :, None],
    )
    last_snake.alpha.fill_(LINEAR)
    with torch.enable_grad():
        shape_noise_filters = noise_filters()
    shape_noise(voice, mix, shape_noise_filters)


def silence(conv: Any) -> None:
    conv.weight_g.zero_()
    if conv.bias is not None:
        conv.bias.zero_()


def put(conv: Any, weight: Tensor, bias: Any = None) -> None:
    """Set a weight-normalised convolution; a row of zeros keeps its direction and gets length zero."""
    dims = tuple(range(1, weight.ndim))
    length = weight.pow(2).sum(dims, keepdim=True).sqrt()
    conv.weight_v.copy_(torch.where(length > 0, weight, conv.weight_v))
    conv.weight_g.copy_(length)
    if bias is not None:
        conv.bias.copy_(torch.as_tensor(bias).expand_as(conv.bias))


def delta(channels: int, taps: int) -> Tensor:
    """Each channel as it is: the newest tap of a causal filter."""
    weight = torch.zeros(channels, 1, taps)
    weight[:, 0, -1] = 1.0
    return weight


def expansion(basis: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """[2 * K, 64] and [2 * K]: latent to the numbers and their negatives."""
    matrix = torch.from_numpy((basis["directions"] / basis["gains"][:, None]).T)
    matrix = torch.cat([matrix, torch.zeros(len(matrix), 1)], dim=1)
    mean = torch.from_numpy(basis["mean"])
    return torch.cat([matrix, -matrix]), torch.cat([mean, -mean])


def squares(conv: Any) -> Tensor:
    """[2 * K, out, 8]: the square of frame f, band b goes to channel b at tap f."""
    weight = torch.zeros_like(conv.weight_v)
    for frame in range(FRAMES):
        for band in range(BANDS):
            for sign in range(2):
                weight[sign * FRAMES * BANDS + frame * BANDS + band, band, frame] = 1 / (2 * SQUARE)
    return weight


def identity(conv: Any) -> Tensor:
    weight = torch.zeros_like(conv.weight_v)
    for channel in range(min(weight.shape[:2])):
        weight[channel, channel, 0] = 1.0
    return weight


def pulses(conv: Any) -> Tensor:
    """[in, out, 320]: channel 0 gets the pulses, channels 1 to 8 the energies of the noise, smoothed over two frames."""
    weight = torch.zeros_like(conv.weight_v)
    shapes = band_pulses()
    hop = features.HOP
    for band in range(VOICED):
        weight[band, 0] = shapes[band] * np.sqrt(hop)
        weight[VOICED + band, 0] = (
            torch.roll(shapes[band], -hop // 4) + torch.roll(shapes[band], hop // 4)
        ) * np.sqrt(hop / 2)
    triangle = torch.from_numpy(np.bartlett(2 * hop + 1)[:-1].astype(np.float32))
    for band in range(NOISE):
        weight[2 * VOICED + band, 1 + band] = triangle * NOISE**0.5  # a band keeps an eighth of white noise
    return weight / 100  # features are ten times the square root of an amplitude


def band_pulses() -> Tensor:
    """[20, 320]: zero-phase pulses, one for each voiced band, in the middle of two frames; their energy is one."""
    bins = np.linspace(0, features.RATE_HZ / 2, 161)
    edges = features.edges_voiced()
    shapes = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        gain = np.sqrt(
            np.clip(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, None)
        )
        pulse = np.roll(np.fft.irfft(gain), 160) * np.hanning(320)
        shapes.append(pulse / np.sqrt((pulse**2).sum()))
    return torch.from_numpy(np.array(shapes, np.float32))


def noise_filters(steps: int = 600) -> Tensor:
    """[8, 4, 7]: per noise band the taps of four filters in a row, of dilation 1, 3, 9 and 1, fitted to pass the band alone."""
    generator = torch.Generator().manual_seed(1)
    angle = torch.pi * torch.arange(257) / 256
    hertz = angle / torch.pi * features.RATE_HZ / 2
    edges = torch.from_numpy(features.edges_noise())
    wanted = ((hertz >= edges[:-1, None]) & (hertz < edges[1:, None])).float()
    taps = 0.3 * torch.randn(NOISE, 4, 7, generator=generator)
    middle = (edges[:-1] + edges[1:])[:, None] / features.RATE_HZ * torch.pi
    taps[:, 0] = torch.cos(middle * torch.arange(7)) / 2
    taps[:, 3] = torch.cos(middle * torch.arange(7)) / 2
    taps[:, 1:3, -1] += 1.0
    taps.requires_grad_()
    optimizer = torch.optim.Adam([taps], 0.02)
    delays = torch.outer(angle, torch.arange(7.0))
    waves = torch.stack(
        [torch.polar(torch.ones_like(delays), delays * dilation) for dilation in (1, 3, 9, 1)]
    )
    for _ in range(steps):
        response = torch.einsum("bft,fwt->bfw", taps.to(torch.complex64), waves).abs().prod(1)
        loss = (response - wanted).pow(2).mean() + 3 * ((1 - wanted) * (response - 0.02).clamp_min(0)).pow(
            2
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return taps.detach()


def shape_noise(voice: Any, mix: Any, filters: Tensor) -> None:
    """Three residual units and the last convolution filter the noise channels; the pulses pass as they are."""
    for unit, taps in zip(voice.block[3:6], filters[:, :3].unbind(1), strict=True):
        unit.block[0].alpha.fill_(LINEAR)
        unit.block[2].alpha.fill_(LINEAR)
        weight = torch.zeros_like(unit.block[1].weight_v)
        weight[1 : 1 + NOISE, 0] = taps
        weight[1 : 1 + NOISE, 0, -1] -= 1.0  # the unit adds its input
        put(unit.block[1], weight, 0.0)
        passing = torch.zeros_like(unit.block[3].weight_v)
        passing[range(1, 1 + NOISE), range(1, 1 + NOISE), 0] = 1.0
        put(unit.block[3], passing, 0.0)
    weight = torch.zeros_like(mix.weight_v)
    weight[0, 0, -1] = 1.0
    weight[0, 1 : 1 + NOISE] = filters[:, 3]
    put(mix, weight, 0.0)
