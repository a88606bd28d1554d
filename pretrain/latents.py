"""The latents of the corpus, once: STATE/basis.npz (what a latent means) and STATE/latents.npz (latents and phones of every clip).

Usage:  python -m pretrain.latents [STATE] [--clips 2400]
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from pretrain import corpus, features
from pretrain.corpus import RATE_HZ, STATE

NUM_FIT_CLIPS = 200
FRAME_S = features.FRAMES * features.HOP / RATE_HZ


def main(state: Path = STATE, num_clips: int | None = None) -> None:
    rows, samples = (one[:num_clips] for one in corpus.read(state))
    clips = [np.asarray(clip, np.float32) / 32768 for clip in samples]
    basis_file = state / "basis.npz"
    if not basis_file.is_file():
        stacks = [features.stacked(features.frames(clip)[0]) for clip in clips[:NUM_FIT_CLIPS]]
        np.savez(basis_file, **features.fit(stacks))
    basis = features.load(basis_file)
    names = sorted({name for row in rows for name, _ in row["phones"]})
    made = [features.latents(clip, basis) for clip in clips]
    phones = [labels(row["phones"], len(one), names) for row, one in zip(rows, made, strict=True)]
    counts = np.array([len(one) for one in made])
    arrays: dict[str, Any] = {
        "latents": np.concatenate(made),
        "phones": np.concatenate(phones),
        "counts": counts,
    }
    np.savez(state / "latents.npz", names=np.array(names), **arrays)
    spread = arrays["latents"].std(0)
    print(
        f"{len(rows)} clips, {counts.sum() * FRAME_S / 3600:.2f} h; deviations {spread[:3]} ... {spread[-3:]}"
    )


def labels(phones: list[list[Any]], count: int, names: list[str]) -> Any:
    """The phone in the middle of each latent, as a number."""
    ends = np.array([end for _, end in phones])
    numbers = np.array([names.index(name) for name, _ in phones])
    middles = (np.arange(count) + 0.5) * FRAME_S
    return numbers[np.minimum(np.searchsorted(ends, middles), len(numbers) - 1)].astype(np.int64)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("state", nargs="?", type=Path, default=STATE)
    parser.add_argument("--clips", type=int)
    chosen = parser.parse_args()
    main(chosen.state, chosen.clips)
