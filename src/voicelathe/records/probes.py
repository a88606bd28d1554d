"""What the probes after training measured of one candidate: raw figures of every clip, so that any share and interval can be recomputed."""

from dataclasses import dataclass

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
