"""Randomness by name: every random number is a function of the seed and of what it is for, never of position or global state."""

import hashlib
import random

from voicelathe.config import schema


def key(seed: int, purpose: str, *parts: str | int) -> int:
    """A 63-bit seed for any generator, from what the numbers are for: `key(seed, "noise", clip_id, step)`."""
    text = "\x1f".join([str(seed), purpose, *(str(part) for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def unit(seed: int, purpose: str, *parts: str | int) -> float:
    """A uniform number in [0, 1)."""
    return key(seed, purpose, *parts) / 2.0**63


def shuffled(items: list[str], seed: int, purpose: str, *parts: str | int) -> list[str]:
    """The items in a random order that depends on the set of items, not on the order they came in."""
    ordered = sorted(items)
    random.Random(key(seed, purpose, *parts)).shuffle(ordered)
    return ordered


def training_seed(train: schema.Train, project_seed: int) -> int:
    """The seed of initial adapters, order of clips and noise of one training.

    Lines, limits and validation noise always come from the project's seed, so that trainings stay paired.
    """
    return project_seed if train.seed is None else train.seed
