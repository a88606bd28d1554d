"""What a latent of the base means: the envelope of a channel vocoder and which pitch it has, in numbers a small decoder can undo.

Every 20 ms: 40 points of the voiced envelope and 8 bands of noise. The envelope is smoothed over one period of the pitch, so that it does
not show the harmonics and goes with any pitch. A number is the square root of an amplitude, so that the decoder only has to square.
Two such frames (40 ms) are one latent: the strongest directions of their variation (a principal component analysis), and a one in the
place of the pitch: a whole number of periods in 40 ms, which are steps of 25 Hz. So a pulse train goes on over the border of two latents
whatever its pitch. The encoder learns to compute this from audio; the decoder is built to undo it. So codec and language model are
trained apart, in any order, and improved apart.

A latent describes what was 20 ms earlier: a causal encoder has then heard the whole window that the number is about.

Shapes: T frames of 20 ms, F latents of 40 ms, K = 2 frames x 48 numbers = 96 numbers a latent, D = 64.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
RATE_HZ, HOP, WINDOW, FFT = 16_000, 320, 400, 1024
FRAMES = 2  # of 20 ms in a latent
DELAY = 320  # samples
NUM_VOICED, NUM_NOISE = 40, 8
TOP_VOICED_HZ = 7800.0
AUDIBLE = 0.3  # mean of the voiced numbers of a latent above which its pitch matters
UNIT_HZ = 100.0  # power is counted in this width
BANDS = NUM_VOICED + NUM_NOISE
LAGS = (40, 230)  # samples; pitch of 70 to 400 Hz
VOICED = (0.4, 0.65)  # normalised autocorrelation: below noise, above voice
WINDOW_PERIODS = 3.0  # length of the window of the voiced envelope
NUM_DIRECTIONS = 40
PERIODS = (3, 4, 5, 6, 7, 8, 9)  # in 40 ms: 75 to 225 Hz
PITCH_AT = 48  # the first number of the pitch; what is between and behind is zero
PITCH_GAIN = 2.0  # the size of a one


def points_voiced() -> Array:
    """Frequencies of the voiced envelope: even in mel, with half a step at the lower end."""
    mel = np.linspace(0, 2595 * np.log10(1 + TOP_VOICED_HZ / 700), NUM_VOICED + 1)[1:]
    return np.asarray(700 * (10 ** (mel / 2595) - 1), np.float32)


def edges_noise() -> Array:
    return np.linspace(0, RATE_HZ / 2, NUM_NOISE + 1, dtype=np.float32)


def frames(samples: Array) -> tuple[Array, Array]:
    """[T, BANDS] numbers and [T] log pitch (interpolated over noise and silence). T is a whole number of latents."""
    count = -(-len(samples) // (HOP * FRAMES)) * FRAMES
    padded = np.zeros(count * HOP + 1024, np.float32)
    padded[512 : 512 + len(samples)] = samples
    centres = np.arange(count) * HOP + 512 + HOP // 2 - DELAY
    voicing, pitch = voice(padded, centres)
    voiced = envelope(padded, centres, np.exp(pitch)) * voicing[:, None]
    noise = density(padded, centres, np.full(count, float(WINDOW)), *between(edges_noise())) * (
        1 - voicing[:, None]
    )
    energy = np.concatenate([voiced, noise], axis=1)
    return (10 * np.maximum(energy, 0) ** 0.25).astype(np.float32), pitch.astype(np.float32)


def envelope(padded: Array, centres: NDArray[np.int64], hertz_T: Array) -> Array:
    """[T, 40]: power around the points, over the width of a period or of a step, whichever is larger."""
    points = points_voiced()
    width = np.maximum(hertz_T[:, None], np.gradient(points)[None])
    return density(
        padded, centres, WINDOW_PERIODS * RATE_HZ / hertz_T, points - width / 2, points + width / 2
    )


def between(edges: Array) -> tuple[Array, Array]:
    return edges[:-1], edges[1:]


def density(padded: Array, centres: NDArray[np.int64], lengths_T: Array, low: Array, high: Array) -> Array:
    """[T, bands]: power in UNIT_HZ between `low` and `high` (hertz), seen through a Hann window of lengths_T samples."""
    at = np.arange(FFT) - FFT // 2
    half = np.minimum(lengths_T, 768.0)[:, None] / 2
    window = np.where(np.abs(at) < half, 0.5 + 0.5 * np.cos(np.pi * at / half), 0.0)
    power = (
        np.abs(np.fft.rfft(_pieces(padded, centres, FFT) * window, FFT)) ** 2
        / np.sum(window**2, 1, keepdims=True)
        / (FFT / 2)
    )
    total = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, 1)], 1)
    step_hz = RATE_HZ / FFT
    low, high = (
        np.broadcast_to(np.clip(one, -0.5 * step_hz, RATE_HZ / 2), (len(power), np.shape(one)[-1]))
        for one in (low, high)
    )
    inside = _read(total, high / step_hz + 0.5) - _read(total, low / step_hz + 0.5)
    return np.asarray(inside * UNIT_HZ / np.maximum(high - low, step_hz), np.float32)


def _read(rows_TB: Array, at_TN: Array) -> Array:
    """Values between the columns."""
    at_TN = np.clip(at_TN, 0, rows_TB.shape[1] - 1.001)
    left = at_TN.astype(np.int64)
    share = at_TN - left
    take = np.take_along_axis
    return np.asarray(take(rows_TB, left, 1) * (1 - share) + take(rows_TB, left + 1, 1) * share)


def _pieces(padded: Array, centres: NDArray[np.int64], length: int) -> Array:
    """[T, length] around the centres; zeros before the start."""
    at = (centres - length // 2)[:, None] + np.arange(length)
    return np.asarray(np.where(at >= 0, padded[np.maximum(at, 0)], 0.0), np.float32)


def voice(padded: Array, centres: NDArray[np.int64]) -> tuple[Array, Array]:
    """Share of voice in [0, 1] and log pitch of each frame, from the normalised autocorrelation of 48 ms."""
    pieces = _pieces(padded, centres, 768)
    pieces = pieces - pieces.mean(1, keepdims=True)
    window = np.hanning(768)
    spectrum = np.abs(np.fft.rfft(pieces * window, 2048)) ** 2
    spectrum[:, 180:] = 0  # above 1.4 kHz
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2048)) ** 2)
    correlation = np.fft.irfft(spectrum)[:, : LAGS[1]] / (own[: LAGS[1]] / own[0])
    level = correlation[:, 0]
    ratio = correlation[:, LAGS[0] :] / np.maximum(level, 1e-9)[:, None]
    best = ratio.max(1)
    first = np.argmax(ratio > 0.9 * best[:, None], axis=1)  # the shortest period that fits nearly as well
    top = np.array([f + int(np.argmax(r[f : f + 12])) for f, r in zip(first, ratio, strict=True)])
    loud = level > 1e-5 * max(1e-9, float(level.max()))
    share = np.clip((best - VOICED[0]) / (VOICED[1] - VOICED[0]), 0, 1) * loud
    sure = share > 0.7
    pitch = np.full(len(best), np.log(RATE_HZ / (FRAMES * HOP) * PERIODS[1]))
    if sure.any():
        raw = np.log(RATE_HZ / (LAGS[0] + top))
        middle = np.median(raw[sure])
        raw = np.clip(raw, middle - 0.4, middle + 0.4)
        pitch = np.interp(np.arange(len(raw)), np.flatnonzero(sure), raw[sure])
    return share.astype(np.float32), pitch.astype(np.float32)


def stacked(frames_TB: Array) -> Array:
    """[F, K]."""
    return frames_TB.reshape(-1, FRAMES * BANDS)


def fit(stacks: list[Array]) -> dict[str, Array]:
    """Mean [K], directions [40, K] and gains [40] of `latents`: the deviation of a direction is damped to its square root."""
    together = np.concatenate(stacks).astype(np.float64)
    mean = together.mean(0)
    values, vectors = np.linalg.eigh(np.cov((together - mean).T))
    order = np.argsort(-values)[:NUM_DIRECTIONS]
    deviations = np.sqrt(np.maximum(values[order], 1e-9))
    scales = 2.0 * np.sqrt(deviations / deviations[0])  # the deviation of each latent number
    directions = vectors[:, order].T * np.sign(vectors[:, order].sum(0))[:, None]
    made = {"mean": mean, "directions": directions, "gains": scales / deviations}
    return {name: np.asarray(value, np.float32) for name, value in made.items()}


def voiced(latents_FD: Array, basis: dict[str, Array]) -> NDArray[np.bool_]:
    """[F]: whether the pitch can be heard."""
    numbers = stacks_of(latents_FD, basis).reshape(len(latents_FD), FRAMES, BANDS)
    return np.asarray(numbers[..., :NUM_VOICED].mean((1, 2)) > AUDIBLE)


def periods(pitch_T: Array) -> NDArray[np.int64]:
    """[F]: which of PERIODS is nearest to the mean pitch of a latent."""
    hertz = np.exp(pitch_T.reshape(-1, FRAMES).mean(1))
    step_hz = RATE_HZ / (HOP * FRAMES)
    return np.clip(np.rint(hertz / step_hz) - PERIODS[0], 0, len(PERIODS) - 1).astype(np.int64)


def latents(samples: Array, basis: dict[str, Array]) -> Array:
    """[F, 64] of mono audio at 16 kHz."""
    frames_TB, pitch_T = frames(samples)
    scores = (stacked(frames_TB) - basis["mean"]) @ basis["directions"].T * basis["gains"]
    made = np.zeros((len(scores), 64), np.float32)
    made[:, :NUM_DIRECTIONS] = scores
    made[np.arange(len(made)), PITCH_AT + periods(pitch_T)] = PITCH_GAIN
    return made


def stacks_of(latents_FD: Array, basis: dict[str, Array]) -> Array:
    """Back to [F, K], as far as 40 directions carry it."""
    return np.asarray(
        latents_FD[:, :NUM_DIRECTIONS] / basis["gains"] @ basis["directions"] + basis["mean"], np.float32
    )


def load(path: Path) -> dict[str, Any]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}
