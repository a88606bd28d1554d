"""What metrics found in spoken samples: figures with their limits, values, and vetoes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipRef:
    """Audio to measure: a file, or a slice of one, with what should be said in it."""

    root: str
    audio: str
    start_s: float | None
    end_s: float | None
    sha256: str  # of the file
    text: str
    language: str


@dataclass(frozen=True)
class MetricJob:
    """What one metric process is asked."""

    metric: str
    real: list[ClipRef]  # held-out recordings of the speaker: they set the limits
    clips: list[ClipRef]


@dataclass(frozen=True)
class Figure:
    """One number that a metric gives for a clip."""

    name: str
    unit: str
    better: str | None  # higher | lower; None: neither
    veto: str | None  # code of the veto outside the limits; None: reported only
    says: str


@dataclass(frozen=True)
class FigureRecord:
    """A figure with its limits and what real recordings of the speaker show."""

    figure: Figure
    metric: str
    low: float | None  # below is a veto
    high: float | None  # above is a veto
    real_median: float | None
    real_low: float | None  # lowest and highest of the real clips
    real_high: float | None
    real_values: list[float]  # of every real clip that has one


@dataclass(frozen=True)
class MetricRun:
    """How one metric's process ended."""

    metric: str
    status: str  # measured | not_applicable | crashed | timed_out | nonsense
    detail: str


@dataclass(frozen=True)
class MeasuredSample:
    """One spoken line: its figures, and the vetoes as `code: figure value, limit`."""

    candidate: str
    line_id: str
    seed: int
    values: dict[str, float | None]
    vetoes: dict[str, str]  # code -> figure, value and limit


@dataclass(frozen=True)
class SpeechMeasures:
    """runs/<recipe>/metrics.json: every metric over every sample, and over the real clips that calibrated it."""

    recipe: str
    run_digest: str
    num_real: int  # held-out clips of the speaker
    metrics: list[MetricRun]
    figures: list[FigureRecord]  # of the metrics that measured
    samples: list[MeasuredSample]
    inputs: dict[str, str]
