"""The decoder of the base, built and not trained: upstream's AudioVAE V2 with weights that make it a channel vocoder.

snake(x) = x + sin(ax)^2 / a does all that is not linear:
* snake(x) + snake(-x) is a square where a is small. It turns root amplitudes into amplitudes.
* With a = pi it pulls a number towards the nearest whole one (its slope there is zero). It makes the pitch, which the language model
  says only nearly, exactly zero or one.
* (y + g)^2 - (y - g)^2 = 4yg is a product. It lets one of seven pulse trains through.

The first block writes the two frames of a latent every 20 ms; the second rounds once more; the last, of rate 320, writes the bands as
seven sums of harmonics, one for each pitch, and lets the energies of the noise bands swell upstream's noise block, whose white noise
three residual units and the last convolution filter.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain import design, features

SQUARE, LINEAR, PRODUCT = (
    0.02,
    1e-4,
    0.05,
)  # snake's alpha where it squares, where it should do nothing, in a product
ROUND = torch.pi
ROUNDED = 0.25 - 0.5 / torch.pi  # what rounding adds when a quarter was taken away before
VOICED, NOISE, FRAMES, PITCHES = (
    features.NUM_VOICED,
    features.NUM_NOISE,
    features.FRAMES,
    len(features.PERIODS),
)
BANDS = features.BANDS
NOISE_GAIN = 1.0  # of the measured amplitude, before filters that keep three quarters: with less or more the recogniser hears no better
SHARP = 0.4  # of the difference to the neighbouring points is added: what was smoothed over a period of the pitch stands out again
# channels of the last block
HISS, SWELL, TRAINS = 1, 1 + NOISE, 1 + 2 * NOISE


def build(basis: dict[str, Any]) -> nn.Module:
    """The codec with this decoder; its encoder is random."""
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    from voxcpm.modules.audiovae import AudioVAEConfigV2, AudioVAEV2

    vae: Any = AudioVAEV2(AudioVAEConfigV2(**design.codec()))
    with torch.no_grad():
        fill(vae.decoder, basis)
    return vae


def fill(decoder: Any, basis: dict[str, Any]) -> None:
    smooth, widen, frames, again, sound, last_snake, mix, _ = decoder.model
    for module in decoder.modules():
        if type(module).__name__ == "CausalResidualUnit":
            silence(module.block[3])
        if type(module).__name__ == "NoiseBlock":
            silence(module.linear)
    put(smooth, delta(design.LATENT, 7), 0.0)
    weight, bias = expansion(basis)
    put(widen, weight[:, :, None], bias)
    numbers = 2 * FRAMES * BANDS
    frames.block[0].alpha.fill_(SQUARE)
    frames.block[0].alpha[:, numbers : numbers + PITCHES] = ROUND
    weight, bias = every_20_ms(frames.block[1])
    put(frames.block[1], weight, bias)
    first = FRAMES * VOICED + NOISE
    again.block[0].alpha.fill_(LINEAR)
    again.block[0].alpha[:, first : first + PITCHES] = ROUND
    bias = torch.zeros(again.block[1].out_channels)
    bias[first : first + PITCHES] = ROUNDED
    put(again.block[1], identity(again.block[1]), bias)
    sound.block[0].alpha.fill_(LINEAR)
    put(sound.block[1], harmonics(sound.block[1]), 0.0)
    swell = torch.zeros_like(sound.block[2].linear.weight_v)
    for band in range(NOISE):
        swell[HISS + band, SWELL + band] = 1.0
    put(sound.block[2].linear, swell)
    last_snake.alpha.fill_(LINEAR)
    with torch.enable_grad():
        taps = noise_filters()
    finish(sound, mix, taps)


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
    """[384, 64] and [384]: latent to the numbers, their negatives, and the pitch less a quarter."""
    numbers = FRAMES * BANDS
    weight, bias = (
        torch.zeros(design.codec()["decoder_dim"], design.LATENT),
        torch.zeros(design.codec()["decoder_dim"]),
    )
    sharper = sharpening()
    matrix = sharper @ torch.from_numpy((basis["directions"] / basis["gains"][:, None]).T)
    for first, sign in ((0, 1), (numbers, -1)):
        weight[first : first + numbers, : features.NUM_DIRECTIONS] = sign * matrix
        bias[first : first + numbers] = sign * (sharper @ torch.from_numpy(basis["mean"]))
    for pitch in range(PITCHES):
        weight[2 * numbers + pitch, features.PITCH_AT + pitch] = 1 / features.PITCH_GAIN
        bias[2 * numbers + pitch] = -0.25
    return weight, bias


def sharpening() -> Tensor:
    """[96, 96]: a number of the voiced envelope and SHARP of how much it differs from the two beside it."""
    own = torch.eye(VOICED)
    first, last = own[:1], own[-1:]
    lower, higher = torch.cat([first, own[:-1]]), torch.cat([own[1:], last])
    frame = torch.eye(BANDS)
    frame[:VOICED, :VOICED] += SHARP * (2 * own - lower - higher)
    return torch.block_diag(*[frame] * FRAMES)


def every_20_ms(conv: Any) -> tuple[Tensor, Tensor]:
    """[384, 192, 4] and [192]: voiced band b of frame f has a channel of its own (b + 40 f, silent in the other frames), a noise band
    one channel; then the pitch, the same in all frames, once more less a quarter."""
    weight, bias = torch.zeros_like(conv.weight_v), torch.zeros(conv.out_channels)
    for frame in range(FRAMES):
        for band in range(BANDS):
            place = frame * VOICED + band if band < VOICED else FRAMES * VOICED + band - VOICED
            for sign in range(2):
                weight[sign * FRAMES * BANDS + frame * BANDS + band, place, frame] = 1 / (2 * SQUARE)
    for pitch in range(PITCHES):
        weight[2 * FRAMES * BANDS + pitch, FRAMES * VOICED + NOISE + pitch, :FRAMES] = 1.0
    bias[FRAMES * VOICED + NOISE :][:PITCHES] = ROUNDED - 0.25
    return weight, bias


def identity(conv: Any) -> Tensor:
    weight = torch.zeros_like(conv.weight_v)
    for channel in range(min(weight.shape[:2])):
        weight[channel, channel, 0] = 1.0
    return weight


def harmonics(conv: Any) -> Tensor:
    """[96, 48, 640]: bands to the seven trains plus and minus their pitch (four channels each), noise bands to their swelling energy."""
    weight = torch.zeros_like(conv.weight_v)
    hop = features.HOP
    swell = torch.from_numpy(np.bartlett(2 * hop + 1)[:-1].astype(np.float32))
    for pitch, periods in enumerate(features.PERIODS):
        train, at = trains(periods), TRAINS + 4 * pitch
        for frame in range(FRAMES):
            piece = torch.from_numpy(train[:, frame * hop : (frame + 2) * hop]) * swell / 100
            for band in range(VOICED):
                weight[frame * VOICED + band, at : at + 4] = (
                    torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None] * piece[band]
                )
        weight[FRAMES * VOICED + NOISE + pitch, at : at + 4] = (
            torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None] * swell
        )
    for band in range(NOISE):
        weight[FRAMES * VOICED + band, SWELL + band] = (
            swell * (features.RATE_HZ / 2 / features.UNIT_HZ) ** 0.5 * NOISE_GAIN / 100
        )  # white noise of power one in UNIT_HZ
    return weight  # a hundredth: features are ten times the square root of an amplitude


def trains(periods: int) -> Any:
    """[40, 960]: 60 ms of the harmonics of a pitch around each point of the envelope, for a power of one in UNIT_HZ."""
    step_hz = features.RATE_HZ / (FRAMES * features.HOP)
    hertz = np.arange(1, int(features.TOP_VOICED_HZ / step_hz / periods) + 1) * periods * step_hz
    points = features.points_voiced()
    gain = np.stack([np.interp(hertz, points, one) for one in np.eye(VOICED)])
    gain = gain * np.sqrt(2 * periods * step_hz / features.UNIT_HZ)
    time_s = np.arange((FRAMES + 1) * features.HOP) / features.RATE_HZ
    waves = np.cos(2 * np.pi * hertz[:, None] * time_s)
    return (gain @ waves).astype(np.float32)


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


def finish(sound: Any, mix: Any, filters: Tensor) -> None:
    """The first residual unit adds up the products of trains and pitch; all three and the last convolution filter the noise."""
    for number, (unit, taps) in enumerate(zip(sound.block[3:6], filters[:, :3].unbind(1), strict=True)):
        unit.block[0].alpha.fill_(LINEAR)
        unit.block[2].alpha.fill_(LINEAR)
        weight = torch.zeros_like(unit.block[1].weight_v)
        weight[HISS:SWELL, 0] = taps
        weight[HISS:SWELL, 0, -1] -= 1.0  # the unit adds its input
        passing = torch.zeros_like(unit.block[3].weight_v)
        passing[range(HISS, SWELL), range(HISS, SWELL), 0] = 1.0
        if number == 0:
            products = slice(TRAINS, TRAINS + 4 * PITCHES)
            unit.block[0].alpha[:, products] = PRODUCT
            weight[products, 0, -1] = 1.0
            passing[0, products, 0] = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(PITCHES) / (8 * PRODUCT)
        put(unit.block[1], weight, 0.0)
        put(unit.block[3], passing, 0.0)
    weight = torch.zeros_like(mix.weight_v)
    weight[0, 0, -1] = 1.0
    weight[0, HISS:SWELL] = filters[:, 3]
    put(mix, weight, 0.0)
