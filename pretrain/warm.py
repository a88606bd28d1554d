"""Start the language model from a base whose latents meant something else.

What such a base knows of texts, phones and durations stays true under another codec. Only five linear layers read or write latents. Two
least-squares maps, fitted on clips that both codecs encode, translate them: latents of now to those of then where they are read, and back
where they are written. Training then starts near what the base could, instead of from nothing.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pretrain import corpus
from voicelathe import families
from voicelathe.config import schema

READS = ("feat_encoder.in_proj", "feat_decoder.estimator.in_proj", "feat_decoder.estimator.cond_proj")
WRITES = "feat_decoder.estimator.out_proj"
NUM_CLIPS, RIDGE = 160, 1e-3


def translated(state: Path, base: Path) -> dict[str, Tensor]:
    """The tensors of `base` for the latents in STATE/latents.npz."""
    return translate(load_file(base / "model.safetensors"), *pairs(state, base))


def translate(tensors: dict[str, Tensor], now: Tensor, then: Tensor) -> dict[str, Tensor]:
    """The same model for other latents; `now` and `then` [N, D] are the same moments in both meanings."""
    weights = {name: one.float() for name, one in tensors.items()}
    into, into_bias = fitted(now, then)
    back, back_bias = fitted(then, now)
    for name in READS:
        weight = weights[f"{name}.weight"]
        weights[f"{name}.bias"] = weights[f"{name}.bias"] + weight @ into_bias
        weights[f"{name}.weight"] = weight @ into
    weights[f"{WRITES}.weight"] = back @ weights[f"{WRITES}.weight"]
    weights[f"{WRITES}.bias"] = back @ weights[f"{WRITES}.bias"] + back_bias
    return weights


def fitted(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """[D, D] and [D]: wanted = given @ matrix.T + bias, as nearly as it goes."""
    mean_given, mean_wanted = given.mean(0), wanted.mean(0)
    centred = given - mean_given
    gram = centred.T @ centred / len(given) + RIDGE * torch.eye(given.shape[1])
    matrix = torch.linalg.solve(gram, centred.T @ (wanted - mean_wanted) / len(given)).T
    return matrix, mean_wanted - matrix @ mean_given


def pairs(state: Path, base: Path) -> tuple[Tensor, Tensor]:
    """[N, D] latents of the same moments: as they mean it now, and as the codec of `base` encodes them."""
    family: Any = families.find("voxcpm2")
    machine = schema.Machine(device="cpu", threads=1, processes=1)
    loaded = family.load(base, family.describe(base, "Apache-2.0", True), machine, "all")
    stored = np.load(state / "latents.npz")
    now, then, end = [], [], 0
    for samples, count in list(zip(corpus.read(state)[1], stored["counts"], strict=False))[:NUM_CLIPS]:
        audio = torch.from_numpy(np.asarray(samples, np.float32) / 32768)
        with torch.inference_mode():
            old = loaded.vae.encode(audio[None, None], corpus.RATE_HZ)[0].T.clone()
        shared = min(len(old), int(count))
        now.append(torch.from_numpy(stored["latents"][end : end + shared]))
        then.append(old[:shared])
        end += int(count)
    return torch.cat(now), torch.cat(then)
