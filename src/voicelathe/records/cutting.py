"""What flows while long recordings are cut into clips: cues of subtitles, what was heard, proposals, and what people decided."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cue:
    """One stretch of text out of subtitles or a transcript, cleaned of markup."""

    line: int  # 1-based line of the file, or number of the entry where a format has no lines
    start_s: float | None  # None: the file gives no times
    end_s: float | None
    text: str
    speaker: str | None  # where the file names one


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of speech between two silences, in seconds from the start of the recording."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word as the recogniser heard it; its times are good to a tenth of a second or two."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Listened:
    """What a worker found in one recording."""

    audio: str
    sha256: str
    rate_hz: int
    duration_s: float
    stretches: list[Stretch]
    words: list[HeardWord] | None  # None: no recogniser knows the language
    levels: str  # path of levels of 10 ms in dB below full scale, one byte each
    begin_s: float = 0.0  # what lies before it is not looked at: where a row of a manifest begins


@dataclass(frozen=True, slots=True)
class ProposedClip:
    """One clip as the machine would cut it; the source stays as it is."""

    clip: str  # recording and number
    recording: int  # place in Proposal.recordings
    start_s: float  # with a little of the silence around the speech
    end_s: float
    speech_start_s: float  # where the sound of the speech begins and ends
    speech_end_s: float
    text: str
    heard: str | None  # None: no recogniser knows the language
    speaker_id: str
    flags: list[str]  # codes of data.cutting.flags; empty: nothing speaks against the clip


@dataclass(frozen=True)
class CutRecording:
    """One source file of a proposal."""

    audio: str  # relative to audio_root; several rows of one file are several recordings here
    sha256: str
    recording_id: str
    duration_s: float
    subtitles: str
    speech_s: float
    uncovered_s: float  # speech that no text was found for
    shift_s: float | None  # by which the subtitles' times are late, median; None where nothing tells
    notes: list[str]
    channel: int | None = None  # of the row that is cut


@dataclass(frozen=True)
class Proposal:
    """proposal.json: everything that the page shows and that decisions are checked against."""

    format: str
    name: str
    audio_root: str
    language: str
    is_text_checked: bool
    recordings: list[CutRecording]
    clips: list[ProposedClip]
    replaces: list[
        str
    ]  # clip ids of data/raw/manifest.jsonl in whose place the clips stand; none for recordings that are new


@dataclass(frozen=True, slots=True)
class CutDecision:
    """What a person decided about a clip. Times in milliseconds, because both languages write whole numbers alike."""

    clip: str
    decision: str  # accept | reject | open
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class CutDecisions:
    """The file that a page of proposed clips exports."""

    format: str
    name: str
    proposal: str  # sha256 of proposal.json's value
    page: int
    decisions: list[CutDecision]
    digest: str  # of all other fields
