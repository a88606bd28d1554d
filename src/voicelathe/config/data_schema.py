"""The sections of params.yaml that the data stages obey, from ingest to the gate; `schema` holds the rest and gives them all out."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

Positive = Annotated[int, Gt(0)]
PositiveFloat = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]
Sha256 = Annotated[str, MinLen(64)]
Names = Annotated[list[str], MinLen(1)]
ShareBelow1 = Annotated[float, Ge(0), Lt(1)]
FingerprintError = Annotated[float, Gt(0), Lt(0.35)]
NAME = r"^[a-z0-9][a-z0-9_-]*$"  # of bases and recipes: folder and stage names; DVC knows no dotted name


class Closed:
    """A section that refuses unknown keys, so that a typing error is an error and not a silent default."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": False}


ManifestFormat = Literal["voicelathe", "voxcpm", "qwen3-tts", "ljspeech", "csv"]


@dataclass(frozen=True)
class Ingest(Closed):
    """The raw manifest, pinned by its sha256."""

    manifest: Annotated[str, MinLen(1)]
    sha256: Sha256
    audio_root: Annotated[str, MinLen(1)]
    audio_digest: Sha256  # of the audio files: notices audio edited in place
    format: ManifestFormat
    recording_from: str | None  # regex on the path, first group: the recording; None: column recording_id
    speaker_id: str | None  # for rows without the column
    language: str | None  # for rows without the column


@dataclass(frozen=True)
class Measure(Closed):
    """Levels that decide what counts as silence, and the limits of what is decoded at all."""

    silence_over_floor_db: PositiveFloat  # of the clip's own floor: what is no louder is silence
    silence_under_speech_db: (
        PositiveFloat  # of its loudest tenth of a second: what is quieter than this is silence, too
    )
    max_file_s: PositiveFloat


@dataclass(frozen=True)
class Hear(Closed):
    """Which small models listen to every clip; docs/metrics.md says what each costs."""

    speech: bool  # Silero VAD: clips without speech
    words: bool  # speech.recogniser, in the languages that it knows: clips that say something else than their text
    voice: bool  # speaker embedding: clips of somebody else


@dataclass(frozen=True)
class Audit(Closed):
    """Thresholds of the audit rules; the reason for each stands in `data.audit.rules`."""

    min_duration_s: PositiveFloat
    max_duration_s: PositiveFloat
    phrases: Annotated[str, MinLen(1)]  # file of boilerplate phrases, one a line
    min_chars_per_s: PositiveFloat
    max_chars_per_s: PositiveFloat
    max_clipped_share: Share
    max_silence_share: Share
    min_level_spread_db: Annotated[float, Ge(0)]  # speech has pauses; a hum, a tone or noise has none
    min_speech_share: Share  # of what lies between the edge silences
    max_cer_deviations: PositiveFloat  # robust deviations above the median of the same speaker
    max_fitting_share: Share  # of other rows' texts that fit what was heard as well as the row's own
    max_voice_deviations: PositiveFloat  # robust deviations below the median likeness to the own voice
    max_pace_deviations: PositiveFloat  # robust deviations from the median of the same language
    min_level_dbfs: Annotated[float, Lt(0)]
    max_offset: PositiveFloat
    max_hum_share: Share
    correct: bool  # take the offset off and lift what is too quiet when audio is read
    max_edge_silence_s: PositiveFloat
    kept_edge_silence_s: Annotated[float, Ge(0)]  # of an edge that is longer than that
    max_text_chars: Positive
    min_script_share: Share  # of the letters that are of the language's own scripts
    min_band_share: Share  # of half the sample rate; breaks off below: resampled. 0: not judged
    min_overlap_share: Share  # of the shorter clip
    max_fingerprint_error: FingerprintError  # of the bits; changed copies differ in 0.17 at most, unrelated clips in 0.34 and more
    min_twin_share: Share  # of the shorter clip's fingerprint
    sample_rates_hz: Annotated[list[int], MinLen(1)]


@dataclass(frozen=True)
class Split(Closed):
    """Shares of the clips; recordings are never divided."""

    validation_share: Annotated[float, Gt(0), Lt(0.5)]
    test_share: Annotated[float, Gt(0), Lt(0.5)]
    same_text_together: bool  # recordings that say the same sentence stay together, too
    frozen: str | None  # name of a folder below splits/: what it holds stays where it was


@dataclass(frozen=True)
class Gate(Closed):
    """The Great Expectations suite over the raw columns; it does not read the audit's findings."""

    min_rows: Positive
    min_duration_s: PositiveFloat
    max_duration_s: PositiveFloat
    boilerplate: Annotated[list[str], MinLen(1)]  # regular expressions searched in the text
    sample_rates_hz: Annotated[list[int], MinLen(1)]
    min_chars_per_s: PositiveFloat
    max_chars_per_s: PositiveFloat
    max_fingerprint_error: FingerprintError  # of the bits of clips that are the same performance
    min_twin_share: Share
    max_text_overlap: ShareBelow1  # of a line's runs of eight words that stand in the training text
