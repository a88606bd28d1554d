"""Which characters do the texts of a language use? A rare one is often a typing error, and a base may have no token for it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from voicelathe.data.columns import Table

RARE = 3  # uses, and fewer


@dataclass(frozen=True)
class Alphabet:
    """Characters of one language with their uses, the most used first, and how many rows hold digits."""

    language: str
    num_rows: int
    characters: tuple[tuple[str, int], ...]
    num_with_digits: int

    @property
    def rare(self) -> list[tuple[str, int]]:
        return [(char, num) for char, num in self.characters if num <= RARE]

    @property
    def usual(self) -> list[tuple[str, int]]:
        return [(char, num) for char, num in self.characters if num > RARE]


def of(kept: Table) -> list[Alphabet]:
    """One for each language of rows with the columns `language` and `text`, by its name."""
    import pyarrow.compute as pc

    found = []
    for name in sorted(kept["language"].unique().to_pylist()):
        texts = kept["text"].filter(pc.equal(kept["language"], name))
        digits = pc.sum(pc.match_substring_regex(texts, "[0-9]")).as_py() or 0
        found.append(Alphabet(name, len(texts), _counted(texts.to_pylist()), int(digits)))
    return found


def _counted(texts: Iterable[str]) -> tuple[tuple[str, int], ...]:
    points = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4")
    values, counts = np.unique(points, return_counts=True)
    order = np.lexsort((values, -counts))
    return tuple((chr(int(values[at])), int(counts[at])) for at in order if values[at] != ord(" "))
