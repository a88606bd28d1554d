"""How long does a speaker take for a text? Learned from the corpus as a function of its length, so that a short word is judged as one.

A word has a fixed cost and every letter a share: time = fixed + letters * each. Medians of rows of about one length carry the line
(after Theil and Sen), and how far rows lie from it is the median absolute deviation, on a scale of ratios, of rows of that length:
short texts vary more. A third of bad rows moves neither by much.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MIN_ROWS = 20  # fewer say nothing about what is usual
NUM_BINS, MIN_IN_BIN = 12, 10  # for the line
NUM_BANDS, MIN_IN_BAND = 4, 30  # of lengths, each with a deviation of its own
SHORTEST = 0.05  # of the texts, by length: lone words among them are what is asked about
BEYOND = 0.5  # of the shortest texts
AS_DEVIATION = 1.4826  # of the median absolute deviation, so that it reads as a standard deviation (Rousseeuw and Croux, 1993)
LEAST_DEVIATION = 0.03  # even a corpus read by a machine differs by this much
MOST_FIXED_S, FASTEST, SLOWEST = 1.0, 40.0, 4.0  # letters a second: what a line may be


@dataclass(frozen=True)
class UsualPace:
    """The time that a text of some letters usually takes, and the deviation of its logarithm by length."""

    fixed_s: float
    each_s: float
    longest: tuple[float, ...]  # letters, the upper ends of the bands but for the last
    deviations: tuple[float, ...]  # of each band
    shortest: float = (
        0.0  # letters of the shortest texts, where all are of about one length and tell no fixed cost
    )

    def expected_s(self, letters: Floats) -> Floats:
        return np.asarray(self.fixed_s + self.each_s * letters)

    def distance(self, letters: Floats, seconds: Floats, *, spared_s: Floats | float = 0.0) -> Floats:
        """Deviations by which a reading is slower (over 0) or faster than usual, and than that with some time to spare."""
        band = np.searchsorted(np.array(self.longest), letters)
        expected = self.expected_s(letters) + spared_s
        return np.asarray(np.log(seconds / expected) / np.array(self.deviations)[band])

    def spared_s(self, letters: Floats) -> Floats:
        """Of texts much shorter than all others, which tell no fixed cost: a lone word is said with care."""
        return np.where(letters < BEYOND * self.shortest, MOST_FIXED_S - self.fixed_s, 0.0)


def usual(letters: Floats, seconds: Floats) -> UsualPace | None:
    """What is usual among rows; None for too few."""
    if len(letters) < MIN_ROWS:
        return None
    order = np.argsort(letters, kind="stable")
    letters, seconds = letters[order], seconds[order]
    fixed_s, each_s, is_told = _line(letters, seconds)
    logs = np.log(seconds / (fixed_s + each_s * letters))
    bands = np.array_split(np.arange(len(letters)), max(1, min(NUM_BANDS, len(letters) // MIN_IN_BAND)))
    return UsualPace(
        fixed_s,
        each_s,
        tuple(float(letters[band[-1]]) for band in bands[:-1]),
        tuple(max(LEAST_DEVIATION, AS_DEVIATION * float(np.median(np.abs(logs[band])))) for band in bands),
        0.0 if is_told else float(np.quantile(letters, SHORTEST)),
    )


def _line(letters: Floats, seconds: Floats) -> tuple[float, float, bool]:
    """Fixed cost and cost of a letter: the median slope between medians of rows of about one length. And whether lengths differ enough to tell them apart."""
    bins = np.array_split(np.arange(len(letters)), max(1, min(NUM_BINS, len(letters) // MIN_IN_BIN)))
    x = np.array([np.median(letters[rows]) for rows in bins])
    y = np.array([np.median(seconds[rows]) for rows in bins])
    first, second = np.triu_indices(len(bins), 1)
    apart = x[second] - x[first] > 0.2 * np.median(x)
    slopes = (y[second] - y[first])[apart] / (x[second] - x[first])[apart]
    middle = float(np.median(seconds / letters))
    each_s = float(np.median(slopes)) if len(slopes) else middle
    each_s = float(np.clip(each_s, 1 / FASTEST, 1 / SLOWEST))
    fixed_s = float(np.clip(np.median(y - each_s * x), 0.0, MOST_FIXED_S))
    each_s = float(np.clip(np.median((y - fixed_s) / x), 1 / FASTEST, 1 / SLOWEST))
    return fixed_s, each_s, len(slopes) > 0


def of_groups(
    speaker: Codes, language: Codes, letters: Floats, seconds: Floats
) -> dict[tuple[int, int], UsualPace]:
    """What is usual for each speaker of each language, for the language as a whole where the speaker has too few rows."""
    found: dict[tuple[int, int], UsualPace] = {}
    for tongue in np.unique(language):
        of_it = language == tongue
        whole = usual(letters[of_it], seconds[of_it])
        for person in np.unique(speaker[of_it]):
            rows = of_it & (speaker == person)
            known = usual(letters[rows], seconds[rows]) or whole
            if known is not None:
                found[int(person), int(tongue)] = known
    return found


def distances(
    known: Mapping[tuple[int, int], UsualPace],
    speaker: Codes,
    language: Codes,
    letters: tuple[Floats, Floats],
    seconds: Floats,
) -> Floats:
    """Deviations of every row, over 0 for a slow one; 0 where its letters can be said at a usual pace, NaN where nothing is known.

    `letters` are the fewest and the most that a text can be said with: digits and symbols are read in more ways than one.
    """
    found = np.full(len(seconds), np.nan)
    for (person, tongue), some in known.items():
        rows = (speaker == person) & (language == tongue)
        most, fewest, took = letters[1][rows], letters[0][rows], seconds[rows]
        slow = some.distance(most, took, spared_s=some.spared_s(most))
        fast = some.distance(fewest, took)
        found[rows] = np.where(slow > 0, slow, np.where(fast < 0, fast, 0.0))
    return found
