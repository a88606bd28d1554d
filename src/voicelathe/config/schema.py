"""The sections of params.yaml as frozen dataclasses: one definition for the pipeline, which validates it, and the worker, which obeys it.

Only what was added to `train` or `engine` later, and `nodes`, has a default: params.yaml is the whole truth, so DVC sees every change. `params` turns the file into these.
A constraint stands beside its field (`annotated_types`); `params` enforces it and names the dotted path that broke it.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from voicelathe.config.data_schema import (
    NAME,
    Audit,
    Closed,
    Gate,
    Hear,
    Ingest,
    Measure,
    Names,
    Positive,
    PositiveFloat,
    Sha256,
    Share,
    Split,
)
from voicelathe.config.train_schema import ADDED_LATER, ALONE, EarlyStopping, Lora, Nodes, Train

__all__ = [
    "ADDED_LATER",
    "NAME",
    "Audit",
    "Base",
    "ConsentPolicy",
    "EarlyStopping",
    "Engine",
    "Evaluate",
    "Gate",
    "Guards",
    "Hear",
    "Ingest",
    "LexiconFile",
    "Listen",
    "Lora",
    "Machine",
    "Measure",
    "Nodes",
    "Params",
    "PinnedRecogniser",
    "Preflight",
    "PreflightLine",
    "ProbeLimits",
    "RaceSettings",
    "Recipe",
    "Select",
    "Serving",
    "SpeechModels",
    "Split",
    "SpokenLine",
    "Tracking",
    "Train",
]


@dataclass(frozen=True)
class Machine(Closed):
    """Where the worker runs. Nothing falls back to the CPU by itself."""

    device: Literal["cpu", "cuda"]
    threads: Positive  # part of the run digest: results are bit-identical only at one thread count
    processes: Positive  # GPUs that train one run together, on all its machines (nodes.count); part of the run digest: other sums of gradients


@dataclass(frozen=True)
class Engine(Closed):
    """How work on many clips is spread; results are the same bytes for every choice."""

    kind: Literal["serial", "processes", "ray"]
    workers: Positive  # shards at once: processes of this machine, or tasks of the cluster, each with one CPU (encode, evaluate, listen: machine.threads)
    address: Annotated[str, MinLen(1)] | None = (
        None  # of a Ray cluster: auto, or HOST:PORT of its head; null: one of this machine
    )


@dataclass(frozen=True)
class Tracking(Closed):
    """The MLflow mirror. MLFLOW_TRACKING_URI chooses the server; without it, sqlite in the project."""

    experiment: Annotated[str, MinLen(1)]
    upload: Literal["adapters", "selected", "all"]  # weights copied to MLflow; the others are named


@dataclass(frozen=True)
class ConsentPolicy(Closed):
    """Whether speakers need a record under consent/. `research` lets data through but nothing trained on it can be promoted."""

    policy: Literal["required", "research"]
    watermark: Annotated[str, MinLen(1)] | None  # plug-in that marks everything that is given out


@dataclass(frozen=True)
class PinnedRecogniser(Closed):
    """A Whisper in CTranslate2's format, pinned by the digest of its files (`voicelathe recogniser add` writes this)."""

    model: Annotated[str, MinLen(1)]  # a directory, or package:NAME of an installed package that carries one
    digest: Sha256
    licence: Annotated[str, MinLen(1)]
    languages: Names | None  # that it is trusted with; null: all that the model knows


@dataclass(frozen=True)
class SpeechModels(Closed):
    """Who hears words: in clips (hear.words) and in what candidates speak (metric `recogniser`). It runs on machine.device."""

    recogniser: PinnedRecogniser | None  # None: PocketSphinx stands in, for English only and much less exact


@dataclass(frozen=True)
class LexiconFile(Closed):
    """Respellings by which text is read to every model: in training, in the sweep, and by what is promoted (docs/lexicon.md)."""

    file: Annotated[str, MinLen(1)] | None  # None: text is read as it is written
    digest: Sha256 | None  # of what the file says (`voicelathe lexicon pin`)


@dataclass(frozen=True)
class Serving(Closed):
    """What is asked of speech before it is given out. Read for every request; no stage depends on it."""

    hear_words: bool  # the recogniser hears every take; one that misses too many words is repeated


@dataclass(frozen=True)
class Base(Closed):
    """A pretrained model directory, pinned by the digest of its files (`voicelathe base add` writes this)."""

    family: Annotated[str, MinLen(1)]  # one of families.TABLE
    path: Annotated[str, MinLen(1)]
    digest: Sha256
    licence: Annotated[str, MinLen(1)]
    trained: bool


@dataclass(frozen=True)
class PreflightLine(Closed):
    """What preflight lets the base and its two checkpoints say."""

    text: Annotated[str, MinLen(1)]
    language: Annotated[str, MinLen(1)]


@dataclass(frozen=True)
class Preflight(Closed):
    """A short trial before the long run: two checkpoints, heard beside the base."""

    steps: Annotated[int, Ge(2)]
    line: PreflightLine
    max_seconds: PositiveFloat
    min_free_disk_gib: Annotated[float, Ge(0)]
    evidence: Annotated[str, MinLen(1)]  # the gate's passed.json; mode full: a LoRA's selection.json
    override: str | None  # mode: full only: why no LoRA run that moved the right way came first; recorded


Way = Literal[
    "reference", "continuation", "both"
]  # of a base to take over a voice from a clip: its sound; its sound and words, continued


FEWEST_CONTROL_LINES = 12  # over fewer, an interval is too narrow to show that a control is kept or lost


@dataclass(frozen=True)
class Evaluate(Closed):
    """Validation of every checkpoint and of the base, with frozen noise."""

    passes: Positive
    clips_per_pass: Positive
    lora_scales: list[Annotated[float, Gt(0), Le(2)]]  # of the best three steps, beside 1; mode: lora
    zero_shot: (
        Way | None
    )  # the base a second time, with a held-out clip of the speaker in front; the better one is to be beaten
    reference: (
        str | None
    )  # clip_id of that clip, of the validation split; null: one of about five seconds (`voicelathe references` tries others)
    probe_clips: Annotated[int, Ge(2)]  # of each kind that the probes of text, ending and overfitting look at
    control_lines: Annotated[int, Ge(0)] = (
        field(  # every candidate speaks so many under six controls each; 0, or FEWEST_CONTROL_LINES and more
            default=0, metadata=ADDED_LATER
        )
    )


@dataclass(frozen=True)
class SpokenLine(Closed):
    """One long line of the listening sweep."""

    id: Annotated[str, MinLen(1)]
    text: Annotated[str, MinLen(1)]
    language: Annotated[str, MinLen(1)]


@dataclass(frozen=True)
class RaceSettings(Closed):
    """All candidates speak the first block of lines; who can hardly win drops out, the others go on (docs/choosing.md)."""

    block_lines: Positive  # lines of one block; as many as there are lines: nobody drops out
    error_rate: Annotated[
        float, Gt(0), Lt(0.5)
    ]  # the chance that the candidate which would have shipped drops out
    max_samples: Positive | None  # budget; null: until the lines are spoken
    max_audio_s: PositiveFloat | None  # budget in seconds of speech made; the first block is always spoken
    workers: Positive  # processes that speak at once: on cpu by cores and memory, on cuda one a device; with engine.kind: ray, of the cluster


@dataclass(frozen=True)
class Listen(Closed):
    """The listening sweep: candidates speak lines, each with every seed."""

    lines: Annotated[str, MinLen(1)]  # the pack, a file below lines/ (`voicelathe lines propose`)
    lines_digest: Sha256 | None  # of a pack that must not change (`voicelathe lines freeze`); null: it may
    seeds: Annotated[list[Annotated[int, Ge(0), Lt(2**32)]], MinLen(1)]
    race: RaceSettings
    max_seconds: PositiveFloat
    long_lines: list[SpokenLine]  # a minute and more, by the bases and the two nearest only, first seed
    long_max_seconds: PositiveFloat
    metrics: list[str]  # plug-ins over the samples, each in a process of its own; docs/metrics.md lists them
    metric_timeout_s: PositiveFloat  # a metric without an answer by then is ended and recorded as such


@dataclass(frozen=True)
class ProbeLimits(Closed):
    """Beyond these a candidate shows the codes ignores_text, stops_early, runs_on, forgets and ignores_control; `vetoes` says which of them exclude."""

    min_text_share: Share  # of the base's own dependence on the text that must be left
    max_stops_early_share: Share  # of the probed clips; a base that was never trained sets no example
    max_runs_on_share: Share
    max_forgetting: Annotated[float, Ge(0)]  # share by which the loss on other speakers may rise


@dataclass(frozen=True)
class Guards(Closed):
    """What a candidate may lose against the better base and still count as no worse; null switches a guard off (docs/choosing.md)."""

    words: Annotated[float, Gt(0), Lt(1)] | None  # share of characters that the recogniser hears right
    endings: Annotated[float, Gt(0), Lt(1)] | None  # share of lines that are spoken to the end and stop there
    quality: PositiveFloat | None  # points of the opinion score p808


@dataclass(frozen=True)
class Select(Closed):
    """How the checkpoint to ship is chosen."""

    loss_weights: dict[str, Annotated[float, Ge(0)]]  # total = sum(weight * loss)
    vetoes: list[str]  # codes of metrics and probes that exclude a candidate; the others are noted
    max_vetoed_share: Share  # of samples that may show one such code before it excludes: docs/metrics.md, "Vetoes and scores are apart"
    guards: Guards
    probes: ProbeLimits


@dataclass(frozen=True)
class Recipe(Closed):
    """One way to fine-tune one base. A stage depends on its own section only."""

    base: Annotated[str, MinLen(1)]
    preflight: Preflight
    train: Train
    evaluate: Evaluate
    speak: dict[
        str, float
    ]  # how candidates speak, and production after them: settings of the base's family (docs/decoding.md)
    listen: Listen
    select: Select


@dataclass(frozen=True)
class Params(Closed):
    """All of params.yaml."""

    seed: int
    machine: Machine
    engine: Engine
    tracking: Tracking
    consent: ConsentPolicy
    ingest: Ingest
    general: Ingest  # pinned clips of other speakers, never trained on but for a replayed half: has a fine-tune forgotten what the base could?
    measure: Measure
    speech: SpeechModels
    lexicon: LexiconFile
    serving: Serving
    hear: Hear
    audit: Audit
    split: Split
    gate: Gate
    bases: dict[str, Base]
    recipes: dict[str, Recipe]
    nodes: Nodes = ALONE  # of files that were written before there was more than one
