"""Which candidates spoke which lines, and why some of them spoke no more."""

from dataclasses import dataclass

from voicelathe.records.corpus import CleanClip
from voicelathe.records.heard import LineTest


@dataclass(frozen=True)
class Drop:
    """Why a candidate spoke no further lines."""

    candidate: str
    code: str  # veto | guard | no_gain | dominated
    because: str  # a clause without names and figures
    chance: float | None  # that it would have won after all lines; None for a veto
    test: LineTest | None  # what is known of that so far; where another one dominates it, against that one


@dataclass(frozen=True)
class Round:
    """One block of lines: who spoke it, and who was dropped after it."""

    lines: list[str]
    candidates: list[str]
    drops: list[Drop]


@dataclass(frozen=True)
class PromptClip:
    """The clip that the zero-shot base hears before it speaks, and how it hears it."""

    clip_id: str
    speaker_id: str
    way: str  # reference | continuation | both
    audio_sha256: str
    start_s: float  # after trimming
    end_s: float
    text: str

    @classmethod
    def of(cls, clip: CleanClip, way: str) -> "PromptClip":
        """What results keep of a clip that is heard in this way."""
        return cls(clip.clip_id, clip.speaker_id, way, clip.audio_sha256, clip.start_s, clip.end_s, clip.text)


@dataclass(frozen=True)
class Race:
    """runs/<recipe>/race.json: which candidates spoke which lines, and why some stopped early."""

    recipe: str
    run_digest: str
    error_rate: float  # the chance that the candidate which would have shipped drops out
    rounds: list[Round]
    strata: dict[str, list[str]]  # line -> its strata: kind of sentence, language, speaker
    num_samples: int
    exhaustive: int  # samples if nobody had been dropped
    ended: str  # all_lines | nobody_left | budget
    prompt: PromptClip | None = None  # None where no base speaks zero-shot
