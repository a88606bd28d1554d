"""Rules that compare a clip with the rest of its corpus: what is usual is learned from the rows, so no absolute limit is needed.

Usual is the median; how much rows differ is the median absolute deviation, times 1.4826 so that it reads as a standard deviation
(Rousseeuw and Croux, 1993). A third of bad rows moves neither by much. Fewer than MIN_CLIPS rows say nothing.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from voicelathe import settings
from voicelathe.data.rules import Clip, drop
from voicelathe.records import Finding

MIN_CLIPS = 20
AS_DEVIATION = 1.4826
LEAST_SHARE = 0.03  # of the median: even a corpus read by a machine differs by this much

ODD_PACE = drop(
    "odd_pace",
    "Far more or less text for each second of speech than in the rest of the corpus: cut, sped up, or another text.",
)
RULES = (ODD_PACE,)


@dataclass(frozen=True)
class Usual:
    """The middle of a measure, and its robust deviation."""

    middle: float
    deviation: float

    def distance(self, value: float) -> float:
        """How many deviations away, with its sign."""
        return (value - self.middle) / self.deviation


def usual(values: Sequence[float]) -> Usual | None:
    """None for too few values."""
    if len(values) < MIN_CLIPS:
        return None
    middle = median(values)
    spread = AS_DEVIATION * median(abs(value - middle) for value in values)
    return Usual(middle, max(spread, LEAST_SHARE * abs(middle), 1e-9))


def judge(clips: Sequence[Clip], dropped: Collection[str], audit: settings.Audit) -> list[Finding]:
    """Findings over all rows; what is usual is learned from the rows that no other rule drops."""
    return list(_odd_pace(clips, dropped, audit.max_pace_deviations))


def _odd_pace(clips: Sequence[Clip], dropped: Collection[str], limit: float) -> Iterator[Finding]:
    """By language: a Chinese second holds fewer characters than an English one."""
    for language in sorted({clip.row.language for clip in clips}):
        said = [clip for clip in clips if clip.row.language == language and clip.chars_per_s]
        known = usual([clip.chars_per_s or 0.0 for clip in said if clip.row.clip_id not in dropped])
        for clip in said if known else ():
            assert known is not None
            distance = known.distance(clip.chars_per_s or 0.0)
            if abs(distance) > limit:
                seen = (
                    f"{clip.chars_per_s:.1f} characters/s, {distance:+.1f} deviations from {known.middle:.1f}"
                )
                yield ODD_PACE.finding(clip.row.clip_id, (seen, f"at most {limit:g} deviations"))
