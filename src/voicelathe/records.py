"""What flows between stages: one frozen dataclass is one line of a JSONL file or one row of a Parquet table.

Units are in the names (`_s`, `_hz`, `_dbfs`, `_bytes`, `_share` in 0..1). A field that was not measured is None, never a made-up number.
"""

import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from voicelathe import digest, settings
from voicelathe.errors import RecordError

Record = TypeVar("Record")


# --- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ManifestRow:
    """One clip as its owner described it; nothing is measured or corrected here."""

    clip_id: str  # from (audio_sha256, start_s, end_s, text, speaker_id), plus an ordinal for exact repeats
    line: int  # 1-based line in the raw manifest
    audio: str  # as written in the manifest, relative to the audio root
    start_s: float | None  # None: the whole file
    end_s: float | None
    text: str | None
    recording_id: str
    speaker_id: str
    language: str
    sample_rate_hz: int | None  # as declared; None: not declared
    audio_sha256: str | None  # None: the file could not be opened, `audio_problem` says why
    audio_problem: str | None  # code, one of data.rules.UNUSABLE_AUDIO: missing, outside_root, symlink, not_regular, ...
    ref_audio: str | None
    user_id: str | None
    extra: dict[str, str]


@dataclass(frozen=True)
class RejectedLine:
    """A line of the raw manifest that is not a row at all; it reaches the quarantine under its number."""

    line: int
    problem: str  # code, for example not_json, not_an_object, duplicate_key, missing_field, wrong_type
    detail: str
    excerpt: str


@dataclass(frozen=True)
class ClipMeasure:
    """What the audio of a clip really is. Measures are None when it could not be decoded."""

    clip_id: str
    problem: str | None  # code, as in ManifestRow.audio_problem, and: truncated, bad_header, bad_slice, over_limit, no_samples
    detail: str
    file_rate_hz: int | None
    num_channels: int | None
    num_samples: int | None  # of this clip, at the file's own rate
    duration_s: float | None
    peak_dbfs: float | None  # None for digital silence, too
    rms_dbfs: float | None
    clipped_share: float | None  # samples at full scale
    num_nonfinite: int | None
    leading_silence_s: float | None
    trailing_silence_s: float | None
    silence_share: float | None  # 20 ms frames under the silence level
    level_spread_db: float | None  # between the 10th and 90th percentile of 20 ms levels; None for clips under half a second
    bandwidth_hz: float | None  # frequency under which 99.9 % of the energy lies
    samples_sha256: str | None  # of the decoded 16-bit samples: equal for exact duplicates


@dataclass(frozen=True)
class Finding:
    """One rule that one clip broke."""

    clip_id: str
    rule: str
    severity: str  # critical | warning
    action: str  # drop | trim | warn
    value: str
    threshold: str


@dataclass(frozen=True)
class Quarantined:
    """A row that will not be trained on, with every reason for it."""

    line: int
    clip_id: str | None  # None for a line that was not a row
    user_id: str | None
    audio: str | None
    text: str | None
    reasons: list[str]
    details: list[str]


@dataclass(frozen=True)
class CleanClip:
    """A clip that may be trained on: the manifest row plus what later stages need to know about its audio."""

    clip_id: str
    audio: str
    start_s: float  # after trimming
    end_s: float
    text: str
    recording_id: str
    speaker_id: str
    language: str
    audio_sha256: str
    samples_sha256: str
    duration_s: float
    ref_audio: str | None


@dataclass(frozen=True)
class SplitAssignment:
    """One recording and the split that holds all of it."""

    recording_id: str
    component: str  # recordings that share audio stay together; named by the smallest recording id
    split: str  # train | validation | test
    num_clips: int
    duration_s: float


@dataclass(frozen=True)
class Passed:
    """What the gate let through: exactly these bytes, under this consent policy."""

    splits: dict[str, str]  # split name -> sha256 of its file
    policy: str  # required | research; nothing trained under research may be promoted
    speakers: dict[str, str]  # speaker -> sha256 of the consent record; empty where there is none (research only)
    inputs: dict[str, str]


# --- bases and latents -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BaseFacts:
    """A base model directory: what it is and the sha256 of every file in it."""

    family: str
    architecture: str
    encode_rate_hz: int  # audio is resampled to this before encoding
    speak_rate_hz: int
    positions_per_s: float  # audio positions of the language model per second
    min_clip_s: float
    max_clip_s: float
    num_parameters: int
    trained: bool  # False for random weights: every player and table then says "untrained base"
    licence: str
    files: dict[str, str]
    digest: str  # of `files`


@dataclass(frozen=True)
class LatentEntry:
    """Where the cached encoding of a clip lies."""

    clip_id: str
    split: str
    file: str  # shard, relative to the index
    num_positions: int
    sha256: str  # of the tensor bytes


# --- training and evaluation -----------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class RunIdentity:
    """What makes two runs the same run: change any of it and the weights go to another directory."""

    train: settings.Train
    base: str
    family: str
    base_digest: str
    latents_digest: str  # of the train split's latents
    seed: int
    revision: int  # of the train stage
    device: str
    threads: int
    torch: str  # public version, without the build tag


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
    grad_norm: float
    learning_rate: float
    clip_ids: list[str]


@dataclass(frozen=True)
class PreflightRecord:
    """The outcome of a short trial: a few steps, two checkpoints heard beside the base."""

    decision: str  # go | no_go
    reasons: list[str]  # codes with their evidence; empty for go
    steps: list[StepRecord]
    checkpoints: "list[CheckpointRecord]"
    samples: "list[SampleRecord]"
    inputs: dict[str, str]


@dataclass(frozen=True)
class CheckpointRecord:
    """Weights at one optimizer step."""

    step: int
    kind: str  # base | lora | full
    path: str  # directory, relative to the project; the base's own directory for step 0
    bytes: int
    sha256: str  # of the directory's MANIFEST.json; of the base for step 0


@dataclass(frozen=True)
class Candidate:
    """What can be shipped: a checkpoint at a strength. Step 0 is the untouched base."""

    step: int
    lora_scale: float | None  # None for the base and for full checkpoints

    @property
    def name(self) -> str:
        """`base`, `step_0002000` or `step_0002000@0.35`."""
        if self.step == 0:
            return "base"
        return f"step_{self.step:07d}" + ("" if self.lora_scale is None else f"@{self.lora_scale:g}")


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


@dataclass(frozen=True)
class SampleRecord:
    """One spoken line. A failed generation stays in the table, with its problem."""

    candidate: str
    step: int
    lora_scale: float | None
    line_id: str
    text: str
    seed: int
    path: str | None  # WAV, relative to the project
    sha256: str | None
    duration_s: float
    peak_dbfs: float | None
    rms_dbfs: float | None
    stopped: bool  # False: cut at the length limit, the model did not stop by itself
    problem: str | None  # code: empty, silent, runaway, nonfinite, or None


@dataclass(frozen=True)
class Opinion:
    """What one listener said about one sample. Scores of one judgement compare with each other only; higher is better."""

    candidate: str
    score: int  # rate: 0..100; rank: candidates placed below; pair: 1 for the better one, 0 and 0 for no difference
    defects: list[str]  # codes: truncated, noise, wrong_word, wrong_accent, wrong_speaker


@dataclass(frozen=True)
class Judgement:
    """One trial as answered: several candidates speaking one line with one seed."""

    trial: str  # id in the design of the sweep
    line_id: str
    seed: int
    repeats: str | None  # the trial that this one secretly repeats
    opinions: list[Opinion]  # in the order of the blind labels
    note: str


@dataclass(frozen=True)
class Sitting:
    """One listener's finished pass over the listening page: the file that the page exports."""

    format: str  # verdicts.FORMAT
    recipe: str
    run_digest: str
    sweep: str  # digest of the samples that were heard
    listener: str
    mode: str  # rate | rank | pair
    judgements: list[Judgement]
    digest: str  # of everything above: notices a slip of the editor, not a forger


@dataclass(frozen=True)
class Verdict:
    """verdicts/<recipe>.json: every finished sitting over one sweep."""

    recipe: str
    run_digest: str
    sweep: str
    sittings: list[Sitting]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Ranked:
    """One candidate in the order of the selection."""

    candidate: str
    step: int
    lora_scale: float | None
    total: float
    losses: dict[str, float]
    behind: float  # total minus the nominee's total
    behind_by_recording: Interval | None  # paired bootstrap; None with fewer than two recordings, and for the nominee
    behind_by_clip: Interval | None
    win_probability: float | None  # share of bootstrap resamples in which its total is the lowest; None with a single clip
    is_tied: bool  # cannot be told from the nominee
    vetoes: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Comparison:
    """Difference of two candidates' validation totals over the same clips; negative: the first is better."""

    candidate: str
    against: str
    difference: float
    by_recording: Interval | None
    by_clip: Interval | None


@dataclass(frozen=True)
class WeightRange:
    """Where one candidate has the lowest total while the weight of one loss component varies and the others stay."""

    component: str
    candidates: list[str]  # several when their losses are identical
    low: float
    high: float | None  # None: no upper end


@dataclass(frozen=True)
class Preference:
    """One candidate against another in blind listening; a unit is one listener with one line."""

    candidate: str
    against: str
    wins: int
    losses: int
    ties: int
    win_rate: float  # ties count half
    win_interval: Interval  # Wilson
    p: float  # exact two-sided sign test
    p_holm: float  # corrected for the number of candidates compared


@dataclass(frozen=True)
class Strength:
    """Bradley-Terry strength of one candidate, in log-odds against the average candidate."""

    candidate: str
    strength: float
    interval: Interval | None  # bootstrap over listeners x lines; None with fewer than two of them


@dataclass(frozen=True)
class Listening:
    """What the verdict says, and how far it can be trusted."""

    sittings: int
    units: int  # listener x line
    repeated_pairs: int
    consistent_share: float | None  # of the hidden repeats; None without any
    strengths: list[Strength]  # best first
    against_nominee: list[Preference]
    against_base: list[Preference]
    defects: dict[str, dict[str, int]]  # candidate -> code -> times ticked


@dataclass(frozen=True)
class Selection:
    """The decision and everything it rests on."""

    recipe: str
    run_digest: str
    decision: str  # ship | do_not_ship
    decided_by: str  # validation | listening
    selected: str | None  # candidate name
    step: int | None
    lora_scale: float | None
    checkpoint_sha256: str | None
    nominee: str | None  # lowest validation total without a veto, whatever was decided then
    reasons: list[str]
    notes: list[str]  # what limits the evidence
    runner_up: str | None
    margin: float | None
    loss_weights: dict[str, float]
    num_clips: int
    num_recordings: int
    ranking: list[Ranked]
    against_base: Comparison | None  # of the selected candidate, or of the nominee when nothing is shipped
    against_runner_up: Comparison | None
    robustness: list[WeightRange]
    identical: list[list[str]]  # candidates with equal losses on every clip
    listening: Listening | None
    base_trained: bool
    inputs: dict[str, str]


# --- registry --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Promotion:
    """What was put into production, by whom, why, and everything it rests on."""

    name: str  # of the registered model
    version: str
    previous: str | None  # the version that was in production before
    recipe: str
    run_digest: str
    candidate: str
    kind: str  # base | lora | full
    path: str  # directory of the weights, relative to the project
    checkpoint_sha256: str
    base: str
    base_path: str
    base_digest: str
    licence: str
    speakers: dict[str, list[str]]  # speaker -> languages of the clips trained on
    by: str
    at: str  # UTC, ISO 8601
    because: str | None
    waived: list[str]  # gates that said no and were overridden by `because`
    inputs: dict[str, str]


# --- files -----------------------------------------------------------------------------------------------------------


def to_json(record: object) -> dict[str, Any]:
    """A record as plain JSON values."""
    assert is_dataclass(record) and not isinstance(record, type)
    return asdict(record)


def write(path: Path, rows: Iterable[object]) -> None:
    """Write records as JSONL, whole or not at all, one canonical object a line."""
    digest.write_text(path, "".join(digest.canonical_json(to_json(row)) + "\n" for row in rows))


def read(path: Path, kind: type[Record]) -> list[Record]:
    """Read a JSONL file of one record type. Raises RecordError with file, line and field."""
    if not path.is_file():
        raise RecordError(f"{path} is missing. The stage that writes it has not run: `make repro`.")
    with path.open("rb") as file:
        return [from_json(kind, _parse(line, f"{path}:{number}"), f"{path}:{number}") for number, line in enumerate(file, 1)]


def read_one(path: Path, kind: type[Record]) -> Record:
    """Read a JSON file that holds one record. Raises RecordError with the field."""
    if not path.is_file():
        raise RecordError(f"{path} is missing. The stage that writes it has not run: `make repro`.")
    return from_json(kind, _parse(path.read_bytes(), str(path)), str(path))


def from_json(kind: type[Record], value: object, where: str) -> Record:
    """Rebuild a dataclass, nested ones included, from plain JSON; every field must be there and none may be unknown."""
    if not isinstance(value, Mapping):
        raise RecordError(f"{where}: expected an object of {kind.__name__}, got {type(value).__name__}.")
    declared = typing.get_type_hints(kind)
    known = [field.name for field in fields(cast(Any, kind))]
    missing, unknown = [name for name in known if name not in value], [name for name in value if name not in known]
    if missing or unknown:
        raise RecordError(
            f"{where}: not a {kind.__name__}: missing {missing}, unknown {unknown}. Written by another version? Run its stage again."
        )
    return kind(**{name: _rebuild(declared[name], value[name], f"{where}: {name}") for name in known})


def _rebuild(declared: Any, value: Any, where: str) -> Any:
    if is_dataclass(declared):
        return from_json(cast(type, declared), value, where)
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [part for part in arguments if part is not type(None)]
        return None if value is None else _rebuild(inner, value, where)
    if origin in (list, tuple):
        return origin(_rebuild(arguments[0], item, where) for item in _expect(list, value, where))
    if origin is dict:
        return {name: _rebuild(arguments[1], item, where) for name, item in _expect(dict, value, where).items()}
    if declared is float and type(value) is int:
        return float(value)
    return _expect(declared, value, where) if declared in (str, int, float, bool) else value


def _expect(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise RecordError(f"{where} = {value!r:.80}: expected {kind.__name__}, got {type(value).__name__}. Run its stage again.")
    return value


def _parse(line: bytes, where: str) -> object:
    try:
        return json.loads(line)
    except ValueError as problem:
        raise RecordError(f"{where}: not JSON ({problem}). Run the stage that writes it again.") from None
