"""What is heard of voices: levels, tests between two of them, how they deliver a text, and what a codec leaves of a real one."""

from dataclasses import dataclass

from voicelathe.records.measures import MetricRun
from voicelathe.records.probes import Interval
from voicelathe.records.reasons import Reason


@dataclass(frozen=True)
class Level:
    """The mean of one measure of a candidate over the lines it spoke."""

    mean: float
    interval: Interval | None  # 90 %: each end is wrong once in twenty; None from a single line
    lines: int


@dataclass(frozen=True)
class LineTest:
    """One measure of a candidate against another over the lines that both spoke; a positive difference favours the candidate."""

    candidate: str
    against: str
    measure: str  # words | endings | quality | likeness | utility
    stratum: str | None  # None: all lines
    lines: int
    difference: float  # mean over lines
    interval: Interval  # 90 %, widened by two pseudo-lines: for claims that nothing was lost
    probability: float  # that the candidate is truly better
    p_worse: float  # one-sided: so bad a difference if the candidate were not worse
    p_better: float  # one-sided: so good a difference if the candidate were not better


@dataclass(frozen=True)
class Delivery:
    """One figure of prosody over all lines of a candidate, beside the speaker's real clips."""

    median: float
    real: float  # median of the real clips
    distance: float  # median minus real, in standard deviations of the real clips
    interval: Interval | None  # 95 %, bootstrap over lines and over real clips; None with too few of either


@dataclass(frozen=True)
class Prosody:
    """How a candidate delivers its lines."""

    candidate: str
    lines: int
    figures: dict[
        str, Delivery
    ]  # pause_share, longest_pause_s, pitch_range_st, letters_per_s, energy_spread_db
    against_base: (
        Interval | None
    )  # pitch range minus the base's on the same lines, semitones, 95 %; None for the base itself
    findings: list[Reason]  # flat, with its numbers


@dataclass(frozen=True)
class Ceiling:
    """data/latents/<base>/ceiling.json: real clips that the base's own codec encoded and decoded, heard beside the clips themselves."""

    base: str
    base_digest: str
    clips: int
    missing: str | None  # why nothing was copied; None: it was
    copies: dict[str, Level]  # measure -> what was heard of the copies
    originals: dict[str, Level]
    lost: list[LineTest]  # copies against originals, clip by clip
    metrics: list[MetricRun]
    inputs: dict[str, str]
