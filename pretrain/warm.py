"""Start the language model and the encoder from a base that is there.

Where its latents mean the same (its decoder is the one that STATE/basis.npz builds), both go on from its weights. Where they meant something
else, what the language model knows of texts, phones and durations stays true all the same: only five linear layers read or write latents, and
two least-squares maps, fitted on clips that both codecs encode, translate them: latents of now to those of then where they are read, and back
where they are written. Training then starts near what the base could, instead of from nothing.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pretrain import corpus, design, features, vocoder
from voicelathe import families
from voicelathe.config import schema

READS = ("feat_encoder.in_proj", "feat_decoder.estimator.in_proj", "feat_decoder.estimator.cond_proj")
WRITES = "feat_decoder.estimator.out_proj"
NUM_CLIPS, RIDGE = 160, 1e-3
SAME = 0.2  # of the level: bf16 alone makes 0.03 (measured with the committed base)


def translated(state: Path, base: Path) -> dict[str, Tensor]:
    """The tensors of `base`'s language model for the latents in STATE/latents.npz."""
    tensors = load_file(base / "model.safetensors")
    if means_the_same(features.load(state / "basis.npz"), load_file(base / "audiovae.safetensors")):
        return {name: one.float() for name, one in tensors.items()}
    return translate(tensors, *pairs(state, base))


def means_the_same(basis: dict[str, Any], codec: dict[str, Tensor]) -> bool:
    """Whether a base's codec decodes what this basis encodes: both decoders make nearly the same samples of random latents."""
    built = vocoder.build(basis)
    if {name: one.shape for name, one in codec.items()} != {
        name: one.shape for name, one in built.state_dict().items()
    }:
        return False
    latents = torch.zeros(1, design.LATENT, 40)
    latents[:, : features.NUM_DIRECTIONS] = torch.randn(
        1, features.NUM_DIRECTIONS, 40, generator=torch.Generator().manual_seed(1)
    )
    latents[:, features.PITCH_AT + 1] = features.PITCH_GAIN
    wanted, given = _decoded(built, latents), _decoded(_loaded(basis, codec), latents)
    return float((given - wanted).norm() / wanted.norm()) < SAME


def _loaded(basis: dict[str, Any], codec: dict[str, Tensor]) -> Any:
    vae: Any = vocoder.build(basis)
    vae.load_state_dict({name: one.float() for name, one in codec.items()})
    return vae


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(1)
        made: Tensor = vae.eval().decode(latents)
    return made


def encoder_of(basis: dict[str, Any], base: Path) -> Any:
    """Upstream's encoder with the weights of `base`. Raises SystemExit where its latents mean something else."""
    codec = load_file(base / "audiovae.safetensors")
    if not means_the_same(basis, codec):
        raise SystemExit(
            f"the encoder of {base} cannot go on: its latents are not those of basis.npz. "
            "Fit the basis on the clips that it was fitted on (pretrain/README.md), or leave --warm out"
        )
    return _loaded(basis, codec).encoder


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
    voice = family.open_voice(base, family.describe(base, "Apache-2.0", True), machine)
    stored = np.load(state / "latents.npz")
    now, then, end = [], [], 0
    for samples, count in list(zip(corpus.read(state)[1], stored["counts"], strict=False))[:NUM_CLIPS]:
        audio = torch.from_numpy(np.asarray(samples, np.float32) / 32768)
        with torch.inference_mode():
            old = voice.core.audio_vae.encode(audio[None, None], corpus.RATE_HZ)[0].T.clone()
        shared = min(len(old), int(count))
        now.append(torch.from_numpy(stored["latents"][end : end + shared]))
        then.append(old[:shared])
        end += int(count)
    return torch.cat(now), torch.cat(then)
