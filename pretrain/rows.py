"""The corpus as the language model sees it, and which rows a step gets: a curriculum from short to long, from one voice to a few, to many."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pretrain import alignment, corpus, design
from pretrain.corpus import SEED
from voicelathe.families.base import ClipItem

CLIPS_PER_STEP = 16
# Positions of the longest clip at the start and in the end; share of the steps in between.
SHORT, LONGEST, GROWN = 14, 40, 0.3
# Other voices: from when, their share; share of rms rows with a reference.
OTHERS_FROM, OTHERS, REFERENCED = 0.4, 0.25, 0.15
REFERENCE = (6, 12)  # positions
# In the last round: share of rows of many voices, and of rows with a reference. Without one the base speaks in a voice of its own choice.
MANY, MANY_REFERENCED = 0.8, 0.5
LONGEST_OF_MANY = 60  # positions, 9.6 s: the longest lines of the packs have eight seconds


@dataclass(frozen=True)
class Clip:
    """A row of the corpus with what the helpers of the training need."""

    item: ClipItem
    voice: str
    phones_AP: Tensor  # the phone of each latent
    shares_AL: Tensor  # where in the text each position is


def read(state: Path, tokenizer: Any) -> tuple[list[Clip], int]:
    """All clips, their ends padded with silence to whole positions, and the number of phones."""
    stored = np.load(state / "latents.npz")
    lines = corpus.read(state)[0]
    ends = np.cumsum(stored["counts"])
    latents, phones = stored["latents"], stored["phones"]
    silence = torch.from_numpy(latents[ends - 1].mean(0))
    made = []
    for number, (line, end, count) in enumerate(zip(lines, ends, stored["counts"], strict=False)):
        frames, said = (
            torch.from_numpy(latents[end - count : end]),
            torch.from_numpy(phones[end - count : end]),
        )
        short = int(-count % design.PATCH)
        frames = torch.cat([frames, silence.expand(short, -1)]).unflatten(0, (-1, design.PATCH))
        said = torch.cat([said, said[-1:].expand(short)]).unflatten(0, (-1, design.PATCH))
        item = ClipItem(str(number), line["text"], "en", line["voice"], {"latents": frames})
        tokens = tokenizer.tokenize(line["text"])
        shares = alignment.shares(tokens, line["phones"], len(frames), design.PATCH)
        made.append(Clip(item, line["voice"], said, torch.from_numpy(shares)))
    return made, len(stored["names"])


def chosen(clips: list[Clip], step: int, steps: int) -> Iterator[Clip]:
    """The clips of a step, with references, from the seed and the step alone; after `steps` the curriculum is over."""
    rng = np.random.default_rng([SEED, step])
    share = min(1.0, step / steps)
    longest = SHORT + (LONGEST - SHORT) * min(1.0, share / GROWN)
    others = OTHERS if share > OTHERS_FROM else 0.0
    for _ in range(CLIPS_PER_STEP):
        other = rng.random() < others
        while True:
            clip = clips[rng.integers(len(clips))]
            if (clip.voice != "rms") == other and len(clip.phones_AP) <= longest:
                break
        if other or (others and rng.random() < REFERENCED):
            clip = referenced(clip, clips, rng)
        yield clip


def of_many(clips: list[Clip], step: int) -> Iterator[Clip]:
    """The clips of a step of the last round, from the seed and the step alone."""
    rng = np.random.default_rng([SEED, step])
    wide = {voice for voice in {clip.voice for clip in clips} if "/" in voice}
    for _ in range(CLIPS_PER_STEP):
        many = rng.random() < MANY
        while True:
            clip = clips[rng.integers(len(clips))]
            if (clip.voice in wide) == many and len(clip.phones_AP) <= LONGEST_OF_MANY:
                break
        yield referenced(clip, clips, rng) if rng.random() < MANY_REFERENCED else clip


def referenced(clip: Clip, clips: list[Clip], rng: np.random.Generator) -> Clip:
    """With a piece of another clip of the same voice in front."""
    while True:
        other = clips[rng.integers(len(clips))]
        latents = other.item.tensors["latents"]
        if other.voice == clip.voice and other is not clip and len(latents) >= REFERENCE[0]:
            break
    length = min(len(latents), int(rng.integers(REFERENCE[0], REFERENCE[1] + 1)))
    start = int(rng.integers(0, len(latents) - length + 1))
    tensors = {**clip.item.tensors, "reference": latents[start : start + length]}
    return replace(clip, item=replace(clip.item, tensors=tensors))
