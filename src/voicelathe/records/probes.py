"""What the probes after training measured of one candidate: raw figures of every clip, so that any share and interval can be recomputed."""

from dataclasses import dataclass, field

from voicelathe.records.reasons import Reason


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class AdapterProof:
    """That an adapter is in the model and does something: how far it moves what its layers give, at rising LoRA scales."""

    num_weights: int  # tensors, each equal to the one in its file
    num_layers: int  # that move
    strengths: list[float]
    shifts: list[
        float
    ]  # rms change of the layers' outputs over the rms of the outputs without adapter; rising
    loss_shift: float  # largest change of a clip's loss at LoRA scale 1


@dataclass(frozen=True)
class Ending:
    """Where one clip would end if the model, fed with the real speech, decided at every position."""

    num_positions: int
    first_stop: int | None  # first position at which generation would stop; None: it runs on
    at_end: float  # probability of the end where the clip really ends


@dataclass(frozen=True)
class ProbeRecord:
    """One candidate under the probes. Clips and noise are the same for every candidate."""

    candidate: str
    step: int
    lora_scale: float | None
    checkpoint_sha256: str
    adapter: AdapterProof | None  # None for the base and for full checkpoints
    text_loss: str  # the component that is compared below
    own_text: dict[str, float]  # validation clip -> that loss
    other_text: dict[str, float]  # the same clip with another clip's text
    endings: dict[str, Ending]  # validation clip -> where it would end
    train_totals: dict[str, float]  # training clip -> weighted loss, noise frozen as in validation
    general_totals: dict[str, float]  # clip of other speakers -> weighted loss; empty where there are none
    controls: dict[str, dict[str, float]] | None = (
        field(  # pace, level, pitch -> validation clip -> what opposite
            default=None,
            metadata={"left_out": True},  # controls made of its text; None: not asked
        )
    )


@dataclass(frozen=True)
class KeptControl:
    """What is left of one pair of opposite controls, against the base on the same lines."""

    kind: str  # pace | level | pitch
    base_lines: int  # that the base spoke under both controls
    num_lines: int  # of these, that the candidate did, too
    base_effect: (
        float  # mean over the lines of both: natural logarithm of seconds, dB, semitones; above 0: as asked
    )
    base_interval: Interval | None  # 99.5 %, over the base's lines; None: too few
    effect: float | None  # of the candidate; None where it spoke none of them
    kept: (
        float | None
    )  # share of the base's effect; None where the base shows none clearly, or too few lines do
    kept_interval: Interval | None  # 95 %

    @property
    def follows(self) -> bool:
        """Whether the base's speech clearly changes as it is asked to."""
        return self.base_interval is not None and self.base_interval.low > 0.0

    @property
    def is_comparable(self) -> bool:
        """Whether the candidate spoke enough of what the base follows, half of its lines: who fails more is not excused by having few."""
        return self.follows and 2 * self.num_lines >= self.base_lines


@dataclass(frozen=True)
class Probed:
    """What the probes say of one candidate, against the base."""

    candidate: str
    adapter_shift: float | None  # AdapterProof.shifts at LoRA scale 1; None for the base and full checkpoints
    text_gap: (
        float | None
    )  # by what share another clip's text raises the loss; None when all clips say the same
    text_gap_interval: Interval | None  # 95 %, over clips
    stops_early_share: (
        float  # of the probed clips: would end more than a quarter of a second before their end
    )
    runs_on_share: float  # would not end at their end
    overfitting: float  # by how much the distance from training to validation loss grew since the base
    forgetting: (
        float | None
    )  # by what share the loss on other speakers rose since the base; None where there are none
    forgetting_interval: Interval | None
    findings: list[Reason]  # what is outside select.probes
    controls: list[KeptControl] | None = field(default=None, metadata={"left_out": True})  # None: not asked

    @property
    def control_kept(self) -> float | None:
        """The mean share that is left of all that the base follows clearly; None where it follows nothing, or one kind could not be compared."""
        shares = [one.kept for one in self.controls or () if one.follows]
        known = [share for share in shares if share is not None]
        return round(sum(known) / len(known), 6) if known and len(known) == len(shares) else None
