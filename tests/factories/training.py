"""A tiny corpus of cached encodings for the small random base, and jobs that train on it."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.factories import voxcpm2_base
from tests.factories.evaluations import DECODING as DECODING
from voicelathe import digest, families, records
from voicelathe.config import schema
from voicelathe.data.latents import cache, general_set
from voicelathe.data.references import pairs
from voicelathe.process import jobs
from voicelathe.train import adapters, precision
from voicelathe.train.optimizers.base import Built

BASE = voxcpm2_base.shared()
WORDS = [
    "the",
    "lamp",
    "is",
    "on",
    "a",
    "quiet",
    "road",
    "to",
    "some",
    "small",
    "town",
    "where",
    "nobody",
    "speaks",
    "of",
    "rain",
]
LORA = schema.Lora(rank=4, alpha=4.0, dropout=0.1, scope=["lm", "dit"])


def real_model(
    base: Path, train: schema.Train
) -> tuple[Any, dict[str, torch.nn.Parameter], dict[str, torch.Tensor]]:
    """The model, what is trained of it and the low halves of its weights, as training begins."""
    family = families.find("voxcpm2")
    model = family.open_model(base, family.describe(base, "", False), schema.Machine("cpu", 1, 1))
    if train.lora is not None:
        adapters.inject(model.core, train.lora, model.adapter_targets(train.lora.scope), 0)
        adapters.leave_casts_to_autocast(model.core, train)
    model.checkpoint_blocks(train.activation_checkpointing)
    trainable = dict(model.trainable(train.mode).trainable)
    lows = precision.narrow(model.core, train.weights, trainable)
    model.core.train()
    return model, trainable, lows


def clip(number: int, split: str = "train") -> records.CleanClip:
    draw = random.Random(number)
    text = " ".join(draw.choice(WORDS) for _ in range(draw.randint(2, 5)))
    return records.CleanClip(
        clip_id=f"{split}{number:04d}", audio=f"{number % 5}.wav", start_s=float(number), end_s=number + 1.0, text=text,
        recording_id=f"rec{number % 5}", speaker_id="awb", language="en", audio_sha256=f"{number:064d}", samples_sha256=f"{number:064d}",
        duration_s=1.0, ref_audio=None,
    )  # fmt: skip


def corpus(root: Path, train: int = 12, validation: int = 4) -> Path:
    """Write split files and a latents directory with random encodings; returns the directory that holds them."""
    splits = {
        "train": [clip(n) for n in range(train)],
        "validation": [clip(n, "validation") for n in range(validation)],
    }
    cached = {}
    for split, members in splits.items():
        records.write(root / f"{split}.jsonl", members)
        for number, member in enumerate(members):
            generator = torch.Generator().manual_seed(number)
            encoding = torch.randn((4 + number % 5, 4, 32), generator=generator) * 0.3
            cached[member.clip_id] = root / "cache" / f"{member.clip_id}.safetensors"
            cache.store(cached[member.clip_id], {"latents": encoding})
    cache.bundle(splits, cached, root / "latents")
    return root


def general(root: Path, clips: int = 8, speakers: int = 2) -> str:
    """A general set of other speakers beside the corpus, with random encodings, as the stage `general` leaves it."""
    folder = root / "latents" / "general"
    members = [
        replace(clip(500 + n, "general"), speaker_id=f"other{n % speakers}", recording_id=f"general{n}")
        for n in range(clips)
    ]
    records.write(folder / general_set.CLIPS, members)
    cached = {one.clip_id: root / "cache" / f"{one.clip_id}.safetensors" for one in members}
    for number, path in enumerate(cached.values()):
        generator = torch.Generator().manual_seed(2000 + number)
        cache.store(path, {"latents": torch.randn((3 + number % 4, 4, 32), generator=generator) * 0.3})
    cache.bundle({"general": members}, cached, folder)
    return str(folder)


def target() -> jobs.Target:
    facts = families.find("voxcpm2").describe(BASE, "Apache-2.0", False)
    return jobs.Target("voxcpm2", str(BASE), facts.digest, schema.Machine("cpu", 1, 1))


def train_settings(
    mode: str = "lora", steps: int = 6, every: int = 2, optimizer: str = "adamw", weights: str = "fp32"
) -> schema.Train:
    return schema.Train(
        mode=mode, steps=steps, clips_per_step=4, clips_per_pass=2, checkpoint_every=every, learning_rate=0.01, warmup_steps=1,
        weight_decay=0.01, max_grad_norm=1.0, optimizer=optimizer, weights=weights, gradient_release=False,
        activation_checkpointing="none", autocast=False, cache_encoder=False, probe_every=3,
        lora=LORA if mode == "lora" else None,
    )  # fmt: skip


def train_job(root: Path, directory: Path, train: schema.Train) -> jobs.TrainJob:
    return jobs.TrainJob(
        target=target(), train=train, seed=1, clips=str(root / "train.jsonl"), latents=str(root / "latents"),
        audio_root=str(root), run_digest="0" * 64, directory=str(directory),
    )  # fmt: skip


def reference_plan(root: Path, own: dict[str, str] | None = None) -> records.ReferencePlan:
    """All clips of the corpus are of one speaker; recordings are components. `own`: clip -> one of `named_reference`."""
    clips = records.read(root / "train.jsonl", records.CleanClip)
    return records.ReferencePlan(
        speakers={one.clip_id: one.speaker_id for one in clips},
        components={one.clip_id: one.recording_id for one in clips},
        usable=[one.clip_id for one in clips],
        own=own or {},
        named=[replace(clip(900), clip_id=name, text="") for name in sorted(set((own or {}).values()))],
    )


def references(root: Path, folder: Path, own: dict[str, str] | None = None, positions: int = 7) -> str:
    """What the parent writes for a run that trains with references; recordings that rows name have random encodings of this length."""
    plan = reference_plan(root, own)
    digest.write_json(folder / pairs.PLAN, records.to_json(plan))
    records.write(folder / pairs.ROWS, plan.named)
    cached = {one.clip_id: folder / "cache" / f"{one.clip_id}.safetensors" for one in plan.named}
    for number, path in enumerate(cached.values()):
        generator = torch.Generator().manual_seed(1000 + number)
        cache.store(path, {"latents": torch.randn((positions, 4, 32), generator=generator) * 0.3})
    if plan.named:
        cache.bundle({"references": plan.named}, cached, folder)
    return str(folder)


def built(parameter: Any, weights: str) -> Built:
    """What an optimizer on a card is made of, for one parameter."""
    train = train_settings("full", optimizer="adamw8bit", weights=weights)
    return Built([{"params": [parameter]}], {parameter: "weight"}, {}, train, weights, 1, on_card=True)


def codes_apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> int:
    """How many 8-bit moments of two states, by the keys of memory.state, differ by more than two neighbouring codes do.

    bitsandbytes quantises on a CPU by a table of steps of 3e-5 of the largest value, so near zero it is up to seven codes away.
    """
    apart = 0
    for key, mine in one.items():
        if mine.dtype != torch.uint8:
            continue
        codes = one[key.replace("::state", "::qmap")]
        gaps = torch.diff(codes)
        room = torch.maximum(torch.cat([gaps[:1], gaps]), torch.cat([gaps, gaps[-1:]]))
        mine, theirs = mine.long().flatten(), other[key].long().flatten()
        far = (codes[mine] - codes[theirs]).abs() > torch.maximum(room[mine], room[theirs]) + 4e-5
        apart += int(far.sum())
    return apart
