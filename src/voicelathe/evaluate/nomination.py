"""What do the validation losses say? They sort who speaks first, break ties, and nominate where nobody could hear anything.

They decide nothing alone: losses of flow-matching and stop heads fall while words are lost (docs/log.md, 2026-11-28).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from voicelathe import rng
from voicelathe.evaluate import statistics
from voicelathe.evaluate.evidence import BASES, Paired
from voicelathe.evaluate.statistics import Floats, percentile_interval, rounded
from voicelathe.records import Comparison, EvaluationRecord, Interval, Ranked, Reason

FEW_RECORDINGS = 8  # with fewer, the bootstrap over recordings is too narrow to be trusted alone


@dataclass(frozen=True)
class Losses:
    """Paired losses with their resampled means, which every interval comes from."""

    paired: Paired
    means: dict[str, float]  # candidate -> weighted total
    by_recording: Floats | None  # [R, C]
    by_clip: Floats | None
    num_recordings: int

    def compare(self, candidate: str, against: str) -> Comparison:
        here, there = self.paired.names.index(candidate), self.paired.names.index(against)
        recording, clip = (
            None if means is None else rounded(percentile_interval(means[:, here] - means[:, there]))
            for means in (self.by_recording, self.by_clip)
        )
        difference = round(self.means[candidate] - self.means[against], 9)
        return Comparison(candidate, against, difference, recording, clip)

    def deciding(self, comparison: Comparison) -> list[Interval]:
        """The intervals that must agree: over recordings, and with few of them over clips as well. None at all for a single clip."""
        both = [comparison.by_recording]
        if self.num_recordings < FEW_RECORDINGS:
            both.append(comparison.by_clip)
        return [interval for interval in both if interval is not None]

    def is_lower(self, comparison: Comparison) -> bool:
        intervals = self.deciding(comparison)
        return bool(intervals) and all(interval.high < 0 for interval in intervals)

    def is_tied(self, comparison: Comparison) -> bool:
        intervals = self.deciding(comparison)
        return not intervals or any(interval.low <= 0 <= interval.high for interval in intervals)

    def order(self) -> list[EvaluationRecord]:
        """The lowest total first; of equals the earlier step."""
        return sorted(
            self.paired.candidates,
            key=lambda one: (self.means[one.candidate], one.step, one.lora_scale or 0.0),
        )

    def order_of_tuned(self) -> list[str]:
        return [one.candidate for one in self.order() if one.candidate not in BASES]


def resample(paired: Paired, seed: int) -> Losses:
    """Bootstrap over recordings and over clips, the same draws for every candidate."""
    totals_NC = paired.totals_NC
    means = {
        name: round(float(np.mean(column)), 9) for name, column in zip(paired.names, totals_NC.T, strict=True)
    }
    by_recording = statistics.resampled_means(
        totals_NC, paired.recordings, rng.key(seed, "bootstrap recordings")
    )
    by_clip = statistics.resampled_means(totals_NC, paired.clips, rng.key(seed, "bootstrap clips"))
    return Losses(paired, means, by_recording, by_clip, len(set(paired.recordings)))


def rank(
    losses: Losses,
    reference: str | None,
    vetoes: Mapping[str, list[Reason]],
    remarks: Mapping[str, list[Reason]],
) -> list[Ranked]:
    """Every candidate by its total, beside the reference (None: the lowest total)."""
    order = losses.order()
    reference = reference or order[0].candidate
    may_win = [one.candidate not in vetoes for one in losses.paired.candidates]
    means = losses.by_clip if losses.by_recording is None else losses.by_recording
    shares = statistics.win_probabilities(means, may_win) if means is not None and any(may_win) else None
    rows = []
    for one in order:
        comparison = losses.compare(one.candidate, reference)
        itself = one.candidate == reference
        place = losses.paired.names.index(one.candidate)
        rows.append(
            Ranked(
                candidate=one.candidate,
                step=one.step,
                lora_scale=one.lora_scale,
                total=losses.means[one.candidate],
                losses=dict(one.losses),
                behind=comparison.difference,
                behind_by_recording=None if itself else comparison.by_recording,
                behind_by_clip=None if itself else comparison.by_clip,
                win_probability=round(shares[place], 4) if shares else None,
                is_tied=not itself and losses.is_tied(comparison),
                vetoes=list(vetoes.get(one.candidate, [])),
                notes=list(remarks.get(one.candidate, [])),
            )
        )
    return rows
