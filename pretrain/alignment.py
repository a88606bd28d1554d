"""Where in the text each audio position is: from flite's phone times to the tokens that the model reads.

The dictionary and flite do not always agree on a word's phones, so the two sequences are matched first (longest common runs) and
the rest is interpolated. A position of 160 ms usually lies over one to three tokens; a row holds the share of each.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from pretrain import tokens
from pretrain.latents import FRAME_S

SAME = {"ax": "AH", "axr": "ER", "el": "L", "en": "N", "em": "M"}  # flite's reduced phones


def shares(
    text_tokens: Sequence[str], phones: Sequence[tuple[str, float]], positions: int, patch: int
) -> NDArray[np.float32]:
    """[positions, tokens], each row adding to one."""
    spoken = [at for at, token in enumerate(text_tokens) if token not in tokens.MARKS]
    symbols = [tokens.PHONES.get(SAME.get(name, name.upper()), "") for name, _ in phones]
    real = [at for at, symbol in enumerate(symbols) if symbol]
    place = dict(
        zip(real, _matched([symbols[at] for at in real], [text_tokens[at] for at in spoken]), strict=True)
    )
    out = np.zeros((positions, len(text_tokens)), np.float32)
    start, last = 0.0, -1
    for at, (_, end) in enumerate(phones):
        if at in place and spoken:
            last = spoken[place[at]]
        token = last if at in place else min(last + 1, len(text_tokens) - 1)
        for position in range(int(start / FRAME_S / patch), positions):
            low, high = position * FRAME_S * patch, (position + 1) * FRAME_S * patch
            if low >= end:
                break
            out[position, token] += max(0.0, min(high, end) - max(low, start))
        start = end
    out[out.sum(1) < 1e-6, -1] = 1.0
    return np.asarray(out / out.sum(1, keepdims=True), np.float32)


def _matched(said: list[str], written: list[str]) -> list[int]:
    """For each phone said, the place of the phone written."""
    if not written:
        return [0] * len(said)
    known: dict[int, int] = {-1: -1, len(said): len(written)}
    for block in SequenceMatcher(None, said, written, autojunk=False).get_matching_blocks():
        known.update({block.a + step: block.b + step for step in range(block.size)})
    keys = sorted(known)
    places = np.interp(np.arange(len(said)), keys, [known[key] for key in keys])
    return [int(min(max(round(float(one)), 0), len(written) - 1)) for one in places]
