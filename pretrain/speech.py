"""Train the language model and the diffusion parts of the base, with the project's own packing, noise and losses.

Usage:  python -m pretrain.speech [STATE] [--minutes 8] [--steps 6000]

Each call trains for at most `--minutes` of CPU time and leaves STATE/speech.pt to go on from; call it again until it says
"finished". Needs STATE/latents.npz. Three helpers are trained along and thrown away: the phone of each latent and its mean, both
read from the hidden state, and one attention head that is shown where in the text it is (known from flite). Without them the
alignment of text and sound takes most of the training.

Short clips of the voice rms come first; then longer ones; in the second half the other voices join, with a reference. Without a
reference the base speaks as rms.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain import alignment, assemble, design
from pretrain.corpus import SEED, STATE
from voicelathe import settings
from voicelathe.families.base import ClipItem
from voicelathe.families.voxcpm import VoxCPM2
from voicelathe.families.voxcpm_packed import Pack

CLIPS_PER_STEP, PEAK_RATE, WARMUP = 16, 2e-3, 60
DISTURBANCE = 0.25  # deviation of the noise on latents that are fed back, at most
SHORT, GROWN = (
    14,
    0.3,
)  # positions of the longest clip at the start; share of the steps after which all lengths are in
OTHERS_FROM, OTHERS, REFERENCED = (
    0.4,
    0.25,
    0.15,
)  # voices with a reference: from when, their share; share of rms rows with one
REFERENCE = (6, 12)  # positions
GUIDED_LAYER, GUIDED_HEAD = 1, 0
WEIGHTS = {"diff": 1.0, "stop": 0.5, "phone": 0.5, "mean": 0.5, "guide": 0.5}
SAVE_EVERY_S = 120


@dataclass(frozen=True)
class Clip:
    """A row of the corpus as the model sees it."""

    item: ClipItem
    voice: str
    phones_AP: Tensor
    shares_AL: Tensor


class Helpers(nn.Module):
    """What is trained along and thrown away."""

    def __init__(self, num_phones: int) -> None:
        super().__init__()
        self.phone = nn.Linear(design.HIDDEN, design.PATCH * num_phones)
        self.mean = nn.Linear(2 * design.HIDDEN, design.PATCH * design.LATENT)
        self.num_phones = num_phones


class Watch:
    """Keeps what passes through some layers of the model in the last forward."""

    def __init__(self, core: Any) -> None:
        self.seen: dict[str, Tensor] = {}
        attention = core.base_lm.layers[GUIDED_LAYER].self_attn
        for name, module in {"semantic": core.lm_to_dit_proj, "residual": core.res_to_dit_proj}.items():
            module.register_forward_pre_hook(
                lambda _, given, name=name: self.seen.__setitem__(name, given[0])
            )
        for name, module in {"query": attention.q_proj, "key": attention.k_proj}.items():
            module.register_forward_hook(lambda _, __, made, name=name: self.seen.__setitem__(name, made))


def clips(state: Path, tokenizer: Any) -> tuple[list[Clip], int, Tensor]:
    """Clips, the number of phones, and one position of silence."""
    stored = np.load(state / "latents.npz")
    rows = [json.loads(line) for line in (state / "corpus/clips.jsonl").open(encoding="utf-8")]
    ends = np.cumsum(stored["counts"])
    made, silence = [], torch.from_numpy(stored["latents"][ends - 1].mean(0))
    for row, end, count in zip(rows, ends, stored["counts"], strict=False):
        frames = torch.from_numpy(stored["latents"][end - count : end])
        phones = torch.from_numpy(stored["phones"][end - count : end])
        short = -count % design.PATCH
        frames = torch.cat([frames, silence.expand(int(short), -1)]).unflatten(0, (-1, design.PATCH))
        phones = torch.cat([phones, phones[-1:].expand(int(short))]).unflatten(0, (-1, design.PATCH))
        item = ClipItem(f"{row['start']}", row["text"], "en", {"latents": frames})
        shares = alignment.shares(tokenizer.tokenize(row["text"]), row["phones"], len(frames), design.PATCH)
        made.append(Clip(item, row["voice"], phones, torch.from_numpy(shares)))
    return made, len(stored["names"]), silence


def chosen(all_clips: list[Clip], step: int, steps: int) -> Iterator[Clip]:
    """The clips of a step, with references, from the seed and the step alone."""
    rng = np.random.default_rng([SEED, step])
    share = step / steps
    longest = SHORT + (40 - SHORT) * min(1.0, share / GROWN)
    others = OTHERS if share > OTHERS_FROM else 0.0
    for _ in range(CLIPS_PER_STEP):
        other = rng.random() < others
        while True:
            clip = all_clips[rng.integers(len(all_clips))]
            if (clip.voice != "rms") == other and len(clip.phones_AP) <= longest:
                break
        if other or (others and rng.random() < REFERENCED):
            clip = _referenced(clip, all_clips, rng)
        yield clip


def _referenced(clip: Clip, all_clips: list[Clip], rng: np.random.Generator) -> Clip:
    """With a piece of another clip of the same voice in front."""
    while True:
        other = all_clips[rng.integers(len(all_clips))]
        latents = other.item.tensors["latents"]
        if other.voice == clip.voice and other is not clip and len(latents) >= REFERENCE[0]:
            break
    length = min(len(latents), int(rng.integers(REFERENCE[0], REFERENCE[1] + 1)))
    start = int(rng.integers(0, len(latents) - length + 1))
    tensors = {**clip.item.tensors, "reference": latents[start : start + length]}
    return replace(clip, item=replace(clip.item, tensors=tensors))


def step_losses(
    family: VoxCPM2, loaded: Any, watch: Watch, helpers: Helpers, batch: list[Clip], step: int
) -> dict[str, Tensor]:
    pack: Pack = family.collate(loaded, [clip.item for clip in batch])
    generator = torch.Generator().manual_seed(SEED + step)
    noise = family.draw(loaded, pack, [step * 100 + at for at in range(len(batch))], None)

    def disturbed(latents: Tensor) -> Tensor:
        strength = DISTURBANCE * torch.rand(len(latents), 1, 1, generator=generator)
        return latents + strength * torch.randn(latents.shape, generator=generator)

    pack = replace(pack, fed_FPD=disturbed(pack.fed_FPD), previous_APD=disturbed(pack.previous_APD))
    losses = {name: value.mean() for name, value in family.losses(loaded, pack, noise).items()}
    semantic, residual = watch.seen["semantic"], watch.seen["residual"]
    phones = torch.cat([clip.phones_AP for clip in batch])
    logits = helpers.phone(semantic).unflatten(-1, (design.PATCH, helpers.num_phones))
    losses["phone"] = F.cross_entropy(logits.flatten(0, 1), phones.flatten())
    means = helpers.mean(torch.cat([semantic, residual], -1)).unflatten(-1, (design.PATCH, -1))
    losses["mean"] = (means - pack.target_APD).abs().mean()
    losses["guide"] = _guide(loaded.core, watch, pack, batch)
    return losses


def _guide(core: Any, watch: Watch, pack: Pack, batch: list[Clip]) -> Tensor:
    """Cross-entropy between where one head looks in the text and where the sound is."""
    from voxcpm.modules.minicpm4.model import apply_rotary_pos_emb

    attention = core.base_lm.layers[GUIDED_LAYER].self_attn
    width, group = attention.head_dim, attention.num_heads // attention.num_key_value_heads
    query = watch.seen["query"][0, :, GUIDED_HEAD * width : (GUIDED_HEAD + 1) * width]
    kv_head = GUIDED_HEAD // group
    key = watch.seen["key"][0, :, kv_head * width : (kv_head + 1) * width]
    query, key = apply_rotary_pos_emb(
        query[None, None], key[None, None], *core.base_lm.rope_emb(pack.position_T)
    )
    query, key = query[0, 0], key[0, 0]
    total, first = torch.zeros(()), 0
    for clip in batch:
        count, length = clip.shares_AL.shape
        at = pack.predicts_at_A[first : first + count]
        text = torch.arange(int(at[0]) - length, int(at[0]))
        scores = query[at] @ key[text].T / width**0.5
        total = total - (clip.shares_AL * scores.log_softmax(-1)).sum(-1).mean()
        first += count
    return total / len(batch)


def rate_at(step: int, steps: int) -> float:
    return PEAK_RATE * min(1.0, step / WARMUP) * max(0.02, 1 - step / steps)


def main(state: Path, minutes: float, steps: int) -> None:
    torch.set_num_threads(1)
    base = state / "base"
    if not (base / "model.safetensors").is_file():
        assemble.write(base, SEED)
    family = VoxCPM2()
    machine = settings.Machine(device="cpu", threads=1)
    loaded = family.load(base, family.describe(base, "Apache-2.0", False), machine, "core")
    everything, num_phones, _ = clips(state, loaded.core.text_tokenizer)
    torch.manual_seed(SEED)
    helpers, watch = Helpers(num_phones), Watch(loaded.core)
    parameters = [*loaded.core.parameters(), *helpers.parameters()]
    optimizer = torch.optim.AdamW(parameters, PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    file, done = state / "speech.pt", 0
    if file.is_file():
        stored = torch.load(file, weights_only=True)
        loaded.core.load_state_dict(stored["model"])
        helpers.load_state_dict(stored["helpers"])
        optimizer.load_state_dict(stored["optimizer"])
        done = int(stored["step"])
    loaded.core.train()
    began, saved, sums, counted = time.process_time(), time.monotonic(), dict.fromkeys(WEIGHTS, 0.0), 0
    for step in range(done + 1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        losses = step_losses(family, loaded, watch, helpers, list(chosen(everything, step, steps)), step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        counted += 1
        sums = {name: sums[name] + float(loss.detach()) for name, loss in losses.items()}
        if step % 25 == 0:
            told = " ".join(f"{name} {value / counted:.4f}" for name, value in sums.items())
            print(f"{step} {told} cpu {time.process_time() - began:.0f} s", flush=True)
            sums, counted = dict.fromkeys(WEIGHTS, 0.0), 0
        over = time.process_time() - began > 60 * minutes
        if over or step == steps or time.monotonic() - saved > SAVE_EVERY_S:
            kept = {"step": step, "model": loaded.core.state_dict(), "helpers": helpers.state_dict()}
            torch.save({**kept, "optimizer": optimizer.state_dict()}, file.with_suffix(".partial"))
            os.replace(file.with_suffix(".partial"), file)
            saved = time.monotonic()
        if over:
            return
    print("finished")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("state", nargs="?", type=Path, default=STATE)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=6000)
    options = parser.parse_args()
    main(options.state, options.minutes, options.steps)
