"""What a run leaves: its identity, steps, checkpoints, losses and spoken samples."""

import math
from dataclasses import dataclass, field

from voicelathe import rng
from voicelathe.config import schema
from voicelathe.records.corpus import CleanClip
from voicelathe.records.lines import Lexicon
from voicelathe.records.measures import EarlyStop
from voicelathe.records.planning import Rehearsal
from voicelathe.records.reasons import Reason

STEP = "step_"  # names of candidates that are checkpoints begin so


@dataclass(frozen=True)
class RunRecord:
    """One execution of a recipe; `identity` is everything the run digest covers."""

    recipe: str
    run_digest: str
    directory: str  # checkpoints/<recipe>/<run digest>, relative to the project
    identity: "RunIdentity"
    num_train_clips: int
    num_parameters: int  # of the base
    num_trainable: int | None  # None until the worker has counted them
    inputs: dict[str, str]
    stopped_early: EarlyStop | None = field(  # None: every step was made
        default=None, metadata=schema.ADDED_LATER
    )

    @property
    def num_steps(self) -> int:
        """Steps that were made."""
        return self.stopped_early.step if self.stopped_early else self.identity.train.steps

    def project_paths(self) -> list[str]:
        """What must lie below the project; asked of every record that is read from a file."""
        return [self.directory]


@dataclass(frozen=True)
class RunIdentity:
    """What makes two runs the same run: change any of it and the weights go to another directory."""

    train: schema.Train
    base: str
    family: str
    base_digest: str
    latents_digest: str  # of the train split's latents, and of its languages where the family reads them
    seed: int
    revision: int  # of the train stage
    device: str
    threads: int
    processes: int  # that shared the clips of a step
    torch: str  # public version, without the build tag
    references_digest: str | None = field(  # of the ReferencePlan; None: trained without references
        default=None, metadata=schema.ADDED_LATER
    )
    lexicon: Lexicon | None = field(  # by which its texts were read; None: as they were written
        default=None, metadata=schema.ADDED_LATER
    )
    controls_digest: str | None = field(  # of the control of every training clip; None: trained without
        default=None, metadata=schema.ADDED_LATER
    )
    replay_digest: str | None = field(  # of the general clips that were mixed in; None: none
        default=None, metadata=schema.ADDED_LATER
    )
    early_stopping_digest: str | None = field(  # of what its checkpoints were judged by; None: all steps
        default=None, metadata=schema.ADDED_LATER
    )

    @property
    def training_seed(self) -> int:
        """Of this training; `seed` is the project's, by which lines, limits and validation noise are drawn for all recipes alike."""
        return rng.training_seed(self.train, self.seed)


@dataclass(frozen=True)
class ReferencePlan:
    """Who may stand in front of whom while a run trains with references; with the seed it decides every pair."""

    speakers: dict[str, str]  # of every training clip
    components: dict[str, str]  # of the split, of every training clip: nobody hears its own
    usable: list[str]  # training clips that can be a reference
    own: dict[str, str]  # clip -> id of the recording that its row names as ref_audio, where that can be used
    named: list[CleanClip]  # those recordings

    def num_positions(self, positions_per_s: float) -> dict[str, int]:
        """Audio positions of the recordings that rows name, before they are encoded."""
        return {one.clip_id: math.ceil(one.duration_s * positions_per_s) for one in self.named}


@dataclass(frozen=True)
class StepTiming:
    """How fast a step was: beside the weights, never in a stage output."""

    step: int
    seconds: float
    clips_per_s: float


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. Losses are means of per-clip means; nothing in it depends on the machine's speed."""

    step: int  # 1-based: the number of updates taken
    losses: dict[str, float]
    total: float
    grad_norm: float  # of all gradients, before clipping
    part_norms: dict[str, float]  # the same for each part of the model, as its family names them
    learning_rate: float
    clip_ids: list[str]
    probe: dict[str, float]  # text_gap and stop at every probe_every-th step, empty at others
    signs: list[Reason]  # what stands out
    references: dict[str, str] | None = (
        field(  # clip -> the one that stood in front of it; None: trained without
            default=None, metadata=schema.ADDED_LATER
        )
    )
    replayed: list[str] | None = field(  # those of other speakers; None: none are mixed in
        default=None, metadata=schema.ADDED_LATER
    )


@dataclass(frozen=True)
class PreflightRecord:
    """The outcome of a short trial: a few steps, two checkpoints heard beside the base."""

    decision: str  # go | no_go
    reasons: list[str]  # codes with their evidence; empty for go
    steps: list[StepRecord]
    checkpoints: "list[CheckpointRecord]"
    samples: "list[SampleRecord]"
    rehearsal: Rehearsal | None  # None for a family that cannot be rehearsed
    waived: list[str]  # reasons against a full fine-tune that preflight.override set aside, with its words
    notices: list[
        str
    ]  # codes with their evidence: worth knowing before the hours are spent, and no reason to stop
    inputs: dict[str, str]


@dataclass(frozen=True)
class CheckpointRecord:
    """Weights at one optimizer step."""

    step: int
    kind: str  # base | lora | full
    path: str  # directory, relative to the project; the base's own directory for step 0
    bytes: int
    sha256: str  # of the directory's MANIFEST.json; of the base for step 0

    def project_paths(self) -> list[str]:
        return [] if self.kind == "base" else [self.path]


@dataclass(frozen=True)
class CheckpointIndex:
    """checkpoints.json: everything that a run kept."""

    run_digest: str
    checkpoints: list[CheckpointRecord]

    def project_paths(self) -> list[str]:
        return [path for one in self.checkpoints for path in one.project_paths()]


@dataclass(frozen=True)
class Candidate:
    """What can be shipped: a checkpoint at a LoRA scale. Step 0 is the untouched base."""

    step: int
    lora_scale: float | None  # None for the base and for full checkpoints
    prompted: bool = False  # the base, zero-shot: it hears a held-out clip of the speaker first

    @property
    def name(self) -> str:
        """`base`, `base_zero_shot`, `step_0002000` or `step_0002000@0.35`."""
        if self.step == 0:
            return "base_zero_shot" if self.prompted else "base"
        return f"{STEP}{self.step:07d}" + ("" if self.lora_scale is None else f"@{self.lora_scale:g}")

    @classmethod
    def named(cls, name: str) -> "Candidate":
        """The candidate of a name; anything but a step is the base."""
        step, _, scale = name.removeprefix(STEP).partition("@")
        if not name.startswith(STEP) or not step.isdecimal():
            return cls(0, None, prompted=name == cls(0, None, True).name)
        return cls(int(step), float(scale) if scale else None)


@dataclass(frozen=True)
class ClipLoss:
    """Validation losses of one clip under one candidate, averaged over the passes."""

    candidate: str
    clip_id: str
    recording_id: str
    losses: dict[str, float]
    total: float


@dataclass(frozen=True)
class EvaluationRecord:
    """Mean losses of one candidate over the whole validation split."""

    candidate: str
    step: int
    lora_scale: float | None
    checkpoint_sha256: str
    losses: dict[str, float]
    total: float
    num_clips: int
    passes: int


@dataclass(frozen=True)
class Line:
    """A sentence that every candidate speaks."""

    line_id: str
    text: str
    language: str
    seed: int
    control: str | None = field(  # how it is to be spoken; None: nothing is said of it
        default=None, metadata=schema.ADDED_LATER
    )


NOT_SPOKEN = (
    "not_spoken"  # a sample's problem: nobody was there to speak, which says nothing about the weights
)
HARD_FAILURES = ("empty", "silent", "nonfinite")  # problems of a sample in which there is nothing to hear
REAL = "real"  # who is heard in the recording of a held-out line, among candidates and never one of them


@dataclass(frozen=True)
class SampleRecord:
    """One spoken line. A failed generation stays in the table, with its problem."""

    candidate: str
    step: int
    lora_scale: float | None
    line_id: str
    text: str
    seed: int
    decoding: dict[str, float]  # every setting of the family that it was spoken with
    path: str | None  # WAV, relative to the project
    sha256: str | None
    duration_s: float
    peak_dbfs: float | None
    rms_dbfs: float | None
    stopped: bool  # False: cut at the length limit, the model did not stop by itself
    problem: str | None  # code: empty, silent, runaway, nonfinite, not_spoken, or None

    def project_paths(self) -> list[str]:
        return [self.path] if self.path is not None else []


@dataclass(frozen=True)
class NodePlace:
    """One machine's place; everything but `rank` is the same on all of them."""

    rank: int  # of this machine; 0 owns the stage and its files
    count: int  # machines
    host: str  # of machine 0, as the others reach it
    port: int
    token: (
        str  # of this meeting, new for every one: a process of another meeting is not taken for one of this
    )
    silent_s: float = 120.0  # so long nothing is heard of a process before it counts as lost
