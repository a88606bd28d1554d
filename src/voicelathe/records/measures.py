"""What metrics found in spoken samples: figures with their limits, values, and vetoes."""

from dataclasses import dataclass

from voicelathe.records.corpus import CleanClip, corrections


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
    channel: int | None = None  # as in CleanClip, like the next two
    offset: float = 0.0
    gain_db: float = 0.0

    @classmethod
    def of(cls, root: str, clip: CleanClip) -> "ClipRef":
        """A clip of the manifest below the audio root, as it is trained on."""
        return cls(
            root,
            clip.audio,
            clip.start_s,
            clip.end_s,
            clip.audio_sha256,
            clip.text,
            clip.language,
            clip.channel,
            clip.offset,
            clip.gain_db,
        )

    @property
    def sound(self) -> list[str | float | None]:
        """What its samples depend on, as of CleanClip."""
        return [self.sha256, self.start_s, self.end_s, *corrections(self.channel, self.offset, self.gain_db)]


@dataclass(frozen=True)
class RecogniserRef:
    """A pinned recogniser as a process is told of it."""

    directory: str
    digest: str  # checked again before the model is loaded
    device: str  # cpu: int8; cuda: float16
    languages: list[str]  # that it is trusted with, in its own codes or BCP 47


@dataclass(frozen=True)
class MetricJob:
    """What one metric process is asked. It may be asked several times; its models are loaded once."""

    metric: str
    real: list[ClipRef]  # held-out recordings of the speaker: they set the limits, and are measured once
    clips: list[ClipRef]
    recogniser: RecogniserRef | None  # None: speech.recogniser is null


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
    lost: int = 0  # samples without a value because its process died, hung or answered nonsense

    @property
    def is_whole(self) -> bool:
        """It measured every clip that it was asked about: what was lost on one side of a comparison would look like a difference."""
        return self.status == "measured" and not self.lost


@dataclass(frozen=True)
class MeasuredSample:
    """One spoken line: its figures, and the vetoes as `code: figure value, limit`."""

    candidate: str
    line_id: str
    seed: int
    values: dict[str, float | None]
    vetoes: dict[str, str]  # code -> figure, value and limit
    said: str | None = None  # what the recogniser heard


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


@dataclass(frozen=True)
class EarlyStop:
    """Where train.early_stopping ended a run, and why."""

    step: int  # the last one, which has a checkpoint
    steps: int  # that were planned
    since: int  # the checkpoint after which neither validation loss nor speech improved
    patience: int  # checkpoints

    @property
    def told(self) -> str:
        return (
            f"stopped at step {self.step} of {self.steps}: neither validation loss nor speech improved after step {self.since} "
            f"(patience: {self.patience} checkpoints)"
        )


@dataclass(frozen=True)
class EarlyCheck:
    """What one checkpoint came to while its run went on."""

    step: int
    sha256: str  # of the checkpoint
    run_digest: str
    loss: float  # validation total
    speech: dict[str, float]  # line -> words kept x likeness
    improved: list[str]  # of loss and speech: what is better than in every checkpoint before
    since: int  # the newest step of which something had improved
    stale: int  # checkpoints since then
