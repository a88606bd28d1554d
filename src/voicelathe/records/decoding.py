"""What other decoding settings would do for a voice: every setting that was tried, and what came of it."""

from dataclasses import dataclass

from voicelathe.records.decisions import Guard
from voicelathe.records.heard import Level, LineTest
from voicelathe.records.lines import PackLine
from voicelathe.records.measures import MetricRun
from voicelathe.records.race import Drop, Round


@dataclass(frozen=True)
class TriedDecoding:
    """One checkpoint that spoke with one set of decoding settings."""

    name: str  # in the race
    candidate: str
    decoding: dict[str, float]  # every setting of the family
    work: float  # what it computes for the same speech, in proportion: a count of steps or beams
    levels: dict[str, Level]
    guards: list[Guard]  # against the setting in use; none for that one itself
    worse_in: list[LineTest]  # strata in which it is shown to lose more than a margin
    gains: list[
        LineTest
    ]  # likeness and words against the setting in use; p_better corrected over all that raced
    drop: Drop | None  # why it spoke no further lines
    standing: (
        str  # in_use | better | as_good_and_cheaper | no_gain | not_shown | fails | dropped | not_measured
    )


@dataclass(frozen=True)
class DecodingSweep:
    """runs/<recipe>/decoding.json: which decoding settings were tried on a recipe's best checkpoints, and which one is recommended."""

    recipe: str
    run_digest: str
    selected: str | None  # what ships today
    checkpoints: list[str]  # that spoke, the best first
    grid: dict[str, list[float]]
    in_use: str  # `name` of the setting to beat: the best checkpoint with the recipe's own
    tried: list[TriedDecoding]
    better: str | None  # `name` of who is recommended as better
    cheaper: str | None  # `name` of who is recommended as good and cheaper
    lines: list[PackLine]
    known_lines: list[
        str
    ]  # ids of those that the decision heard, too: where there are any, what was gained is optimistic
    seeds: list[int]
    error_rate: float
    rounds: list[Round]
    ended: str
    num_samples: int
    exhaustive: int  # samples if nobody had been dropped
    metrics: list[MetricRun]
    inputs: dict[str, str]


@dataclass(frozen=True)
class DecodingTime:
    """How long one setting took on this machine; other runs give other times."""

    name: str
    samples: int
    compute_s_per_s: float  # seconds of computing for a second of speech, in the middle of the samples


@dataclass(frozen=True)
class DecodingTimes:
    """runs/<recipe>/decoding_times.json: beside the record, which is the same bytes every time."""

    recipe: str
    device: str
    threads: int
    processes: int  # that spoke at once
    times: list[DecodingTime]
