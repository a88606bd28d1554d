"""What is each candidate worth on lines that no decision sees? Words kept times likeness, line by line, with paired intervals.

Utility of a line = (1 - min(1, CER)) x likeness to the centroid of the test split; a sample that failed is worth nothing. Intervals
(95 %) are paired bootstraps over lines: all candidates share every resample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.decisions.hearing import Heard
from voicelathe import rng
from voicelathe.evaluate import scores, statistics
from voicelathe.evaluate.evidence import BASES
from voicelathe.evaluate.scores import LIKENESS, WORDS, Scores
from voicelathe.evaluate.statistics import Floats
from voicelathe.records import Interval

SEED = 20_261_128


@dataclass(frozen=True)
class Ahead:
    """One candidate's utility less another's."""

    difference: float
    interval: Interval

    @property
    def is_worse(self) -> bool:
        return self.interval.high < 0.0

    @property
    def is_better(self) -> bool:
        return self.interval.low > 0.0


@dataclass(frozen=True)
class Oracle:
    """The truth, as well as 60 lines know it."""

    names: list[str]
    scores: Scores
    utility: dict[str, float]
    means_RC: Floats  # resampled means, one column a name

    @property
    def base(self) -> str:
        """The more useful one of the bases."""
        return max((name for name in self.names if name in BASES), key=lambda name: self.utility[name])

    @property
    def tuned(self) -> list[str]:
        return [name for name in self.names if name not in BASES]

    def ahead(self, candidate: str, against: str, level: float = 0.95) -> Ahead:
        here, there = self.names.index(candidate), self.names.index(against)
        drawn = self.means_RC[:, here] - self.means_RC[:, there]
        return Ahead(
            self.utility[candidate] - self.utility[against], statistics.percentile_interval(drawn, level)
        )

    def regret(self, shipped: str) -> float:
        """What the best one is worth more; the bases are among those to choose from."""
        return max(self.utility.values()) - self.utility[shipped]

    def helpers(self) -> list[str]:
        """Checkpoints that are better than the better base, shown at 5 % after Bonferroni's correction for their number."""
        level = 1.0 - 0.05 / max(1, len(self.tuned))
        return [name for name in self.tuned if self.ahead(name, self.base, level).is_better]


def of(heard: Heard, likeness: Heard | None = None) -> Oracle:
    """`likeness`: where it comes from, if not from `heard`."""
    found = scores.of(heard.samples, heard.measures)
    if likeness is None:
        return judge(found)
    own = scores.of(likeness.samples, likeness.measures)
    return judge(Scores({**found.values, LIKENESS: own.values[LIKENESS]}))


def judge(found: Scores) -> Oracle:
    """From the scores of every line: all candidates must have spoken the same ones."""
    by_name = utilities(found)
    names, lines = sorted(by_name), sorted(next(iter(by_name.values())))
    assert all(sorted(mine) == lines for mine in by_name.values()), "candidates spoke different lines"
    table_NC = np.array([[by_name[name][line] for name in names] for line in lines], dtype=np.float64)
    means_RC = statistics.resampled_means(table_NC, lines, rng.key(SEED, "oracle"))
    assert means_RC is not None, "one line has no interval"
    utility = {name: float(np.mean(column)) for name, column in zip(names, table_NC.T, strict=True)}
    return Oracle(names, found, utility, means_RC)


def utilities(found: Scores) -> dict[str, dict[str, float]]:
    """candidate -> line -> utility. Without words nothing is worth anything, whoever it sounds like."""
    likeness: Mapping[str, Mapping[str, float]] = found.values.get(LIKENESS, {})
    return {
        name: {line: kept * likeness.get(name, {}).get(line, 0.0) for line, kept in lines.items()}
        for name, lines in found.values.get(WORDS, {}).items()
    }


def table(truth: Oracle, order: Sequence[str], remarks: Mapping[str, str]) -> str:
    """Markdown: every candidate beside the untouched base. `remarks`: candidate -> what was decided of it."""
    rows = [
        "| candidate | CER | likeness | utility | utility against the base | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for name in order:
        words, likeness = truth.scores.mean(WORDS, name), truth.scores.mean(LIKENESS, name)
        assert words is not None
        near = "" if likeness is None else f"{likeness:.3f}"
        told = "" if name == order[0] else _told(truth.ahead(name, order[0]))
        rows.append(
            f"| {name} | {1 - words:.3f} | {near} | {truth.utility[name]:.3f} | {told} | {remarks.get(name, '')} |"
        )
    return "\n".join(rows)


def _told(one: Ahead) -> str:
    text = f"{one.difference:+.3f} ({one.interval.low:+.3f} .. {one.interval.high:+.3f})"
    text = text.replace("-", "\u2212")
    return f"**{text}**" if one.is_worse or one.is_better else text
