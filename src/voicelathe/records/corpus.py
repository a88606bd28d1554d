"""What flows through the data stages: rows, measures, findings, splits, and the facts of a base with its cached encodings."""

from dataclasses import dataclass, field

from voicelathe.config import schema


@dataclass(frozen=True, slots=True)
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
    audio_problem: (
        str | None
    )  # code, one of data.audit.rules.UNUSABLE_AUDIO: missing, outside_root, symlink, not_regular, ...
    ref_audio: str | None
    user_id: str | None
    extra: dict[str, str]
    channel: int | None = None  # counted from 0; None: not said, and the mean of all channels is used
    control: str | None = field(default=None, metadata=schema.ADDED_LATER)  # how it is spoken, as written


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line of the raw manifest that is not a row at all; it reaches the quarantine under its number."""

    line: int
    problem: str  # code, for example not_json, not_an_object, duplicate_key, missing_field, wrong_type
    detail: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class ClipMeasure:
    """What the audio of a clip really is. Measures are None when it could not be decoded."""

    clip_id: str
    problem: (
        str | None
    )  # code, as in ManifestRow.audio_problem, and: truncated, bad_header, bad_slice, over_limit, no_samples
    detail: str
    file_rate_hz: int | None
    num_channels: int | None
    num_samples: int | None  # of this clip, at the file's own rate
    duration_s: float | None
    peak_dbfs: float | None  # None for digital silence, too
    rms_dbfs: float | None
    clipped_share: float | None  # samples at full scale
    num_nonfinite: int | None
    offset: float | None  # mean of the samples, full scale 1.0: zero but for a sound card's fault
    speech_dbfs: (
        float | None
    )  # RMS of the loudest tenth of a second without the offset; None for digital silence
    floor_dbfs: float | None  # of the quietest twentieth of it
    hum_share: float | None  # of the energy of the quietest fifth that lies under 130 Hz
    channel_loss_db: (
        float | None
    )  # by which the mean of the channels is quieter than they are; None for one channel
    channel_spread_db: float | None  # between the loudest channel and the quietest
    channel_likeness: float | None  # correlation of the levels of the first two channels over time
    loudest_channel: int | None
    leading_silence_s: (
        float | None
    )  # under the level that measure.py derives from the clip's own floor and loudest part
    trailing_silence_s: float | None
    silence_share: float | None  # 20 ms frames under that level
    level_spread_db: (
        float | None
    )  # between the 10th and 90th percentile of 20 ms levels; None for clips under half a second
    bandwidth_hz: float | None  # frequency under which 99.9 % of the energy lies
    cutoff_hz: (
        float | None
    )  # where the spectrum breaks off, as after a lower sample rate; None where it does not
    fingerprint: str | None  # data.measures.fingerprint; None for clips under half a second
    samples_sha256: str | None  # of the decoded 16-bit samples: equal for exact duplicates
    full_scale: float | None = (
        1.0  # of the file's samples, which are divided by it: 32768 where floats were still 16-bit integers
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """What small models heard in a clip. None: not asked for, or nothing to compare with."""

    clip_id: str
    speech_s: float  # Silero VAD
    cer: float | None  # character errors of a recogniser against the text
    is_aligned: bool | None  # forced alignment reached the end of the text
    voice: str | None  # embedding of the speaker, 256 16-bit floats in base64
    said: str | None  # the words that the recogniser heard, normalised
    speed: (
        float | None
    )  # times faster than the file's rate, at which there is speech; None where its own rate has some, or none has


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that one clip broke."""

    clip_id: str
    rule: str
    severity: str  # critical | warning
    action: str  # drop | trim | warn
    value: str
    threshold: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that will not be trained on, with every reason for it."""

    line: int
    clip_id: str | None  # None for a line that was not a row
    user_id: str | None
    audio: str | None
    text: str | None
    reasons: list[str]
    details: list[str]


@dataclass(frozen=True, slots=True)
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
    channel: int | None = None  # that is used; None: the mean of all
    offset: float = 0.0  # that is taken off the samples, full scale 1.0
    gain_db: float = 0.0  # by which they are lifted
    control: str | None = (
        field(  # how it is spoken, as its row has it: `data.control` says what is trained with
            default=None, metadata=schema.ADDED_LATER
        )
    )

    @property
    def sound(self) -> list[str | float | None]:
        """What its samples depend on. Channel, offset and gain are in it where one of them is not the default."""
        return [
            self.audio_sha256,
            self.start_s,
            self.end_s,
            *corrections(self.channel, self.offset, self.gain_db),
        ]


def corrections(channel: int | None, offset: float, gain_db: float) -> tuple[int | float | None, ...]:
    """What makes other samples of a file's seconds; nothing where all three are the defaults."""
    is_plain = channel is None and not offset and not gain_db
    return () if is_plain else (channel, offset, gain_db)


@dataclass(frozen=True)
class Link:
    """Two recordings that hold the same performance, the smaller id first: they belong in one split."""

    one: str
    other: str
    why: str  # exact_duplicate | near_duplicate


@dataclass(frozen=True, slots=True)
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
    speakers: dict[
        str, str
    ]  # speaker -> sha256 of the consent record; empty where there is none (research only)
    inputs: dict[str, str]


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
class RecogniserFacts:
    """data/recogniser.json: what hears words, and the sha256 of every file of it."""

    model: str  # directory, or package:NAME
    digest: str  # of `files`
    licence: str
    languages: list[str]  # that it is trusted with
    is_multilingual: bool
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class LatentEntry:
    """Where the cached encoding of a clip lies."""

    clip_id: str
    split: str
    file: str  # shard, relative to the index
    num_positions: int
    sha256: str  # of the tensor bytes
