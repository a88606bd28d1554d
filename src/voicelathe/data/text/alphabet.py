"""Which characters do the texts of a language use? A rare one is often a typing error, and a base may have no token for it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from voicelathe.data.columns import Column, Table

RARE = 3  # uses, and fewer
TEXTS_AT_ONCE = 1 << 14


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
        found.append(Alphabet(name, len(texts), _counted(texts), int(digits)))
    return found


def _counted(texts: Column) -> tuple[tuple[str, int], ...]:
    """Uses of every character but the space; a column of many texts is never whole in memory as Python's."""
    uses: Counter[int] = Counter()
    for at in range(0, len(texts), TEXTS_AT_ONCE):
        some = texts.slice(at, TEXTS_AT_ONCE).to_pylist()
        points = np.frombuffer("".join(some).encode("utf-32-le"), "<u4")
        uses.update(
            dict(zip(*(part.tolist() for part in np.unique(points, return_counts=True)), strict=True))
        )
    del uses[ord(" ")]
    return tuple((chr(point), num) for point, num in sorted(uses.items(), key=lambda one: (-one[1], one[0])))
