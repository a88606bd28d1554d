"""What the stage process asks of a worker, and what the worker says while it works.

A job is one JSON file; events (`events`) come back as JSON lines. Nothing here imports torch, so both sides share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.process.events import DONE as DONE
from voicelathe.process.events import FAILED as FAILED
from voicelathe.process.events import NOTICE as NOTICE
from voicelathe.process.events import PHASE as PHASE
from voicelathe.process.events import PROGRESS as PROGRESS
from voicelathe.process.events import READY as READY
from voicelathe.process.events import SAMPLE as SAMPLE
from voicelathe.process.events import Event as Event
from voicelathe.process.events import decode as decode

IN_THE_WORKER = schema.Engine("serial", 1)  # one thing after the other
STOP_S = 600  # for a trainer that is asked to stop: it ends its step and writes its state, 14 GB for VoxCPM 2, full


@dataclass(frozen=True)
class Target:
    """The base a job works on and where it runs."""

    family: str
    base: str  # directory
    base_digest: str  # checked before anything is imported from or loaded out of the directory
    machine: schema.Machine
    lexicon: records.Lexicon | None = field(  # by which all text is read to it; None: as it is written
        default=None, metadata=schema.ADDED_LATER
    )


@dataclass(frozen=True)
class MeasureJob:
    """What models hear in clips: speech, words, the voice. On the CPU, whatever machine.device is, but for the recogniser."""

    machine: schema.Machine
    engine: schema.Engine  # clips are spread over its workers
    how: schema.Hear
    recogniser: records.RecogniserRef | None  # None: PocketSphinx
    clips: str  # JSONL of ManifestRow
    audio_root: str
    out: str  # Parquet of Heard, in the order of the clips


@dataclass(frozen=True)
class CutJob:
    """Listen to long recordings: where somebody speaks, and the words with their times. On the CPU, but for the recogniser."""

    machine: schema.Machine
    recogniser: records.RecogniserRef | None  # None: none knows the language, and words stay unknown
    language: str
    audio_root: str
    recordings: list[str]  # relative to the root
    out: str  # <number>.json and <number>.levels for each recording


@dataclass(frozen=True)
class EncodeJob:
    """Encode clips; per-clip results are cached under `cache`, shards are written to `out`."""

    target: Target
    splits: dict[str, str]  # split name -> JSONL of CleanClip
    audio_root: str
    cache: str
    out: str  # shards/ and index.parquet are written below it
    engine: schema.Engine  # ray: batches are spread over the cluster; else one after the other in the worker


COPY_REVISION = 2  # of what a codec makes of a clip: a new one copies again


@dataclass(frozen=True)
class CopyJob:
    """Encode and decode real clips with the base's own codec, each to a WAV of its own under `out`."""

    target: Target
    clips: list[records.ClipRef]
    out: str


def copied(job: CopyJob, clip: records.ClipRef) -> Path:
    """Where the copy of a clip lies: by everything that it depends on."""
    machine = job.target.machine
    made_of = [
        COPY_REVISION,
        job.target.base_digest,
        *clip.sound,
        machine.device,
        machine.threads,
    ]
    key = digest.of_value(made_of)
    return Path(job.out) / key[:2] / f"{key}.wav"


@dataclass(frozen=True)
class TrainJob:
    """Train, or resume what a killed worker left; ends with every numbered checkpoint on disk."""

    target: Target
    train: schema.Train
    seed: int
    clips: str  # JSONL of CleanClip
    latents: str  # directory with index.parquet
    audio_root: str  # for families whose checkpoints carry a clip of each speaker
    run_digest: str
    directory: str  # of the weights
    references: str | None = None  # directory with who may stand in front of whom (train.reference_share)
    general: str | None = (
        None  # directory of clips of other speakers, some of which are mixed in (train.replay_share)
    )
    node: records.NodePlace | None = None  # None: all processes are on this machine


@dataclass(frozen=True)
class Reference:
    """What the base hears before it speaks zero-shot: a held-out clip; the second for clips of the first one's recording."""

    clips: list[records.CleanClip]  # one or two
    audio_root: str
    way: schema.Way = "reference"

    @property
    def name(self) -> str:
        """Clip and way, where several of them are tried."""
        return f"{self.clips[0].clip_id}-{self.way}"


@dataclass(frozen=True)
class WeightsRef:
    """Weights to load: a candidate with the place and the identity of its files."""

    candidate: records.Candidate
    kind: str  # base | lora | full
    path: str
    sha256: str
    reference: Reference | None = None  # of a prompted candidate, instead of the job's
    decoding: dict[str, float] | None = None  # its own settings, instead of the job's


@dataclass(frozen=True)
class ValidateJob:
    """Losses and probes of several candidates over one split; each finished candidate is kept beside the weights."""

    target: Target
    how: schema.Evaluate
    seed: int
    clips: str
    train_clips: str  # some of them are looked at for overfitting
    general: str | None  # directory of clips of other speakers: has the model forgotten what the base could?
    latents: str
    lora: schema.Lora | None  # what the adapters among the weights were made with
    weights: list[WeightsRef]
    reference: Reference | None  # for a prompted candidate
    out: str  # <candidate>.json below it
    engine: schema.Engine = IN_THE_WORKER  # ray: candidates are spread over the cluster
    replays: bool = (
        False  # the run was trained on clips of `general`, which are left out (train.replay_share)
    )
    control: bool = False  # clips have their control in front, as in training (train.control)
    beside_training: bool = field(  # of the same run, which holds the GPU
        default=False, metadata=schema.ADDED_LATER
    )


@dataclass(frozen=True)
class SpeakJob:
    """Let several candidates speak lines, each sample to a WAV with its record beside it, where `process.sample_files` says.

    With `interactive` the worker then stays alive and answers `SpeakRequest` lines on stdin, one event each, until stdin ends.
    """

    target: Target
    lora: schema.Lora | None  # what the adapters among the weights were made with
    weights: list[WeightsRef]
    lines: list[records.Line]
    max_seconds: float
    decoding: dict[str, float]  # every setting of the family
    reference: Reference | None  # for a prompted candidate
    out: str
    interactive: bool
    shared: str | None = (
        None  # the place of untouched bases, where other recipes find what they said; None: `out`
    )
    engine: schema.Engine = IN_THE_WORKER  # ray: lines are spread over the cluster
    timed: bool = False  # how long a sample took is written beside it
    beside_training: bool = field(default=False, metadata=schema.ADDED_LATER)  # as in ValidateJob


@dataclass(frozen=True)
class ExportJob:
    """Write an adapter anew: with a LoRA scale worked into its weights, or worked into the weights of its base."""

    target: Target
    lora: schema.Lora
    weights: WeightsRef
    merged: bool
    out: str  # directory


@dataclass(frozen=True)
class RehearseJob:
    """Measure a recipe's training on tensors without memory. Neither base nor device is touched."""

    family: str
    config: dict[str, Any]  # of the architecture
    base: str | None  # directory with the tokenizer
    train: schema.Train
    seed: int
    clip_s: (
        float | None
    )  # every clip of a pass is this long; None: the largest pass of the run, found in clips and latents
    clips: str | None  # JSONL of CleanClip
    latents: str | None  # directory with index.parquet
    threads: int
    on_card: bool  # as on CUDA, with its kernels' workspace and fused updates, or as on this CPU
    references: str | None = (
        field(  # directory with the ReferencePlan; None: trained without, or `clip_s` is given
            default=None, metadata=schema.ADDED_LATER
        )
    )
    lexicon: records.Lexicon | None = field(default=None, metadata=schema.ADDED_LATER)  # as in Target
    general: str | None = field(default=None, metadata=schema.ADDED_LATER)  # as in TrainJob
    processes: int = field(default=1, metadata=schema.ADDED_LATER)  # that share the model (train.shard)


@dataclass(frozen=True)
class SpeakRequest:
    """One line on the stdin of an interactive speak worker; it speaks with the job's first weights unless it names others.

    The answer repeats `request_id`. The text of one request must never be heard by another, so whoever asked compares it.
    """

    request_id: (
        str  # new for every take; empty text: nothing is spoken, the worker only shows that it listens
    )
    text: str
    language: str
    seed: int
    lora_scale: float | None  # None: the candidate's own LoRA scale
    max_seconds: float
    decoding: dict[str, float] | None  # None: the job's own
    path: str  # WAV to write
    weights: (
        WeightsRef | None
    )  # others of the same base, put in place without loading it again; None: the job's own
    lexicon: records.Lexicon | None  # of the version that speaks; nothing else is asked


Job = MeasureJob | CutJob | EncodeJob | CopyJob | TrainJob | ValidateJob | SpeakJob | ExportJob | RehearseJob
VERBS: Mapping[str, type] = {
    "measure": MeasureJob,
    "cut": CutJob,
    "encode": EncodeJob,
    "copy": CopyJob,
    "train": TrainJob,
    "validate": ValidateJob,
    "speak": SpeakJob,
    "export": ExportJob,
    "rehearse": RehearseJob,
}


def verb_of(job: Job) -> str:
    """The worker verb that does this job."""
    return next(verb for verb, kind in VERBS.items() if isinstance(job, kind))


def threads_of(job: Job) -> int:
    """Size of the thread pool this job's worker gets."""
    if isinstance(job, RehearseJob):
        return job.threads
    return job.machine.threads if isinstance(job, MeasureJob | CutJob) else job.target.machine.threads
