"""What people and statistics said of the candidates, what was chosen, and what went into production."""

from dataclasses import dataclass, field

from voicelathe.records.heard import Ceiling, Level, LineTest, Prosody
from voicelathe.records.probes import Interval, Probed
from voicelathe.records.race import Drop, Race
from voicelathe.records.reasons import Reason


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
class Ranked:
    """One candidate in the order of the selection."""

    candidate: str
    step: int
    lora_scale: float | None
    total: float
    losses: dict[str, float]
    behind: float  # total minus the nominee's total
    behind_by_recording: (
        Interval | None
    )  # paired bootstrap; None with fewer than two recordings, and for the nominee
    behind_by_clip: Interval | None
    win_probability: (
        float | None
    )  # share of bootstrap resamples in which its total is the lowest; None with a single clip
    is_tied: bool  # cannot be told from the nominee
    vetoes: list[Reason]
    notes: list[Reason]


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
class Anchor:
    """How one sitting judged the speaker's real recordings, beside the candidates of the same trials; repeats are left out."""

    sitting: int  # its place in verdicts/<recipe>.json, from 1
    mode: str
    trials: int
    real: float  # mean score
    candidates: float  # mean score of all candidates
    median: float  # of the candidates' mean scores


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
    anchors: list[Anchor]  # one a sitting; empty where no line has a real recording


@dataclass(frozen=True)
class Guard:
    """Does a candidate lose anything against the better base? One measure, all lines."""

    measure: str
    verdict: str  # passed | failed | not_shown | not_measured
    margin: float  # a loss up to this is no loss
    allowance: float  # by how much the speaker's own recordings are below the base: no copy can be above them
    test: LineTest | None


@dataclass(frozen=True)
class Evidence:
    """What was heard of one candidate: levels of its own, guards against the better base, and the gain in likeness."""

    candidate: str
    lines: int
    levels: dict[str, Level]
    guards: list[Guard]
    worse_in: list[
        LineTest
    ]  # strata in which it is shown to lose more than a margin; p corrected over all of them
    gain: LineTest | None  # likeness against the better base; p_better corrected over all candidates
    dropped: Drop | None  # why the race ended early for it
    standing: str  # passes | no_gain | not_shown | not_measured | dropped | fails | baseline: what all of this comes to
    behind: LineTest | None = (
        None  # words kept x likeness against the other base, where it is shown to be worse
    )


@dataclass(frozen=True)
class AccentShift:
    """How far the vowels of a candidate moved from the base's toward the speaker's, over sentences that the speaker said."""

    candidate: str
    shift: float  # 1 - distance / distance of the base: 0 as far as the base, 1 the speaker's own, below 0 farther
    interval: Interval | None  # bootstrap over sentences; None with fewer than two
    sentences: int


@dataclass(frozen=True)
class Fallback:
    """The base to speak with where nothing ships: the one that does more in words kept x likeness, if it is fit to be used."""

    candidate: str
    test: LineTest | None  # words kept x likeness against the other base, where both can be used
    because: str  # why the other one cannot be used, as a clause; empty where it can, or where there is none


@dataclass(frozen=True)
class Selection:
    """The decision and everything it rests on."""

    recipe: str
    run_digest: str
    decision: str  # ship | do_not_ship | not_heard: nobody could hear whether words were lost or the voice came nearer
    decided_by: str  # speech | listening | validation (only where nothing was heard)
    unheard: str | None  # not_spoken | not_measured: why nobody has heard the candidate; None: it was heard
    selected: str | None  # candidate name
    step: int | None
    lora_scale: float | None
    checkpoint_sha256: str | None
    nominee: (
        str | None
    )  # the best of those that pass every guard; where nothing was heard, the lowest validation total without a veto
    by_loss: str | None  # whom the lowest validation total would have shipped
    reasons: list[str]
    notes: list[str]  # what limits the evidence
    runner_up: str | None
    margin: float | None
    loss_weights: dict[str, float]
    num_clips: int
    num_recordings: int
    ranking: list[Ranked]
    base: str  # the one to beat: the better of the bases
    base_because: str  # why it is the better one; empty where there is only one
    against_base: Comparison | None  # of the selected candidate, or of the nominee when nothing is shipped
    against_runner_up: Comparison | None
    best_against_base: Comparison  # validation total of the checkpoint with the lowest one, vetoes aside
    nearest: (
        LineTest | None
    )  # likeness of the checkpoint that came nearest to the speaker, vetoes aside, against the better base
    moved: bool  # it is shown to be nearer; where likeness was not measured, the lowest total is shown to be below the base's
    robustness: list[WeightRange]
    identical: list[list[str]]  # candidates with equal losses on every clip
    listening: Listening | None
    evidence: list[Evidence]  # of every candidate, the bases among them, by step
    real: dict[str, Level]  # measure -> the speaker's own held-out recordings
    race: Race
    decoding: dict[str, float]  # every setting that all of them spoke with
    prosody: list[Prosody]  # by step; empty where the metric `prosody` measured nothing
    ceiling: Ceiling | None  # what the base's codec leaves of real clips; None where no one asked
    accents: list[AccentShift]  # against the base to beat; empty where the metric `accent` measured nothing
    probes: list[Probed]  # by step
    base_trained: bool
    inputs: dict[str, str]
    fallback: Fallback | None  # None where something ships


@dataclass(frozen=True)
class PromotedClip:
    """The clip that a promoted version hears before it speaks; its sound lies with the version, by its sha256."""

    clip_id: str
    way: str  # reference | continuation | both
    audio_sha256: str  # of the recording that it is from
    sha256: str  # of the WAV that the base hears
    words_sha256: str  # of its text and language

    @property
    def as_text(self) -> str:
        """What MLflow's tag of the version says."""
        return f"{self.way} {self.sha256}"


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
    decoding: dict[str, float] | None = field(
        default=None, metadata={"left_out": True}
    )  # what it was judged and speaks with; None, in older journals: upstream's own values
    reference: PromotedClip | None = field(  # what it hears before it speaks; None: nothing
        default=None, metadata={"left_out": True}
    )
