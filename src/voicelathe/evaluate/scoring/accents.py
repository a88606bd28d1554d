"""Does a voice move toward the speaker's vowels? The distances of the metric `accent`, against those of the base to beat.

Only sentences that the base and the candidate both spoke and that the speaker said count; of several seeds the mean. The unit of
the interval is the sentence.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from voicelathe import rng
from voicelathe.evaluate.metrics.accent import FIGURE
from voicelathe.evaluate.statistics import percentile_interval, resampled_means, rounded
from voicelathe.records import AccentShift, SpeechMeasures

DIGITS = 4


def shifts(measures: SpeechMeasures, candidates: Sequence[str], base: str, seed: int) -> list[AccentShift]:
    """One row a candidate that has such sentences in common with the base, which itself has none."""
    theirs = _distances(measures, base)
    found = []
    for name in candidates:
        mine = _distances(measures, name) if name != base else {}
        common = sorted(set(mine) & set(theirs))
        if common:
            both = np.array([[mine[line], theirs[line]] for line in common], dtype=np.float64)
            means = resampled_means(both, common, rng.key(seed, "bootstrap accent"))
            interval = (
                None if means is None else rounded(percentile_interval(1.0 - means[:, 0] / means[:, 1]))
            )
            total = both.sum(axis=0)
            found.append(
                AccentShift(name, round(float(1.0 - total[0] / total[1]), DIGITS), interval, len(common))
            )
    return found


def _distances(measures: SpeechMeasures, candidate: str) -> Mapping[str, float]:
    """Line -> mean distance over its seeds."""
    by_line: dict[str, list[float]] = {}
    for one in measures.samples:
        value = one.values.get(FIGURE)
        if one.candidate == candidate and value is not None and value > 0.0:
            by_line.setdefault(one.line_id, []).append(value)
    return {line: float(np.mean(values)) for line, values in by_line.items()}
