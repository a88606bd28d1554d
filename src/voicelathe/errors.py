"""What can go wrong because of the user's files, settings or machine: one class for each kind of remedy.

A message says what is wrong, where (file:line or dotted parameter), the value seen, and what to do next.
`assert` is for our own invariants; a user never meets it.
"""

from collections.abc import Iterable

from voicelathe.redaction import redacted


class VoiceLatheError(Exception):
    """Base of every error a user can cause; the command line prints its message without a traceback.

    A message quotes what it saw, and that may be an address with a password in it: no error carries one.
    """

    def __init__(self, message: str) -> None:
        super().__init__(redacted(shortened(message)))


MAX_MESSAGE_CHARS = 20_000


def shortened(message: str) -> str:
    """A message of bounded length, cut between words so that no half of a secret loses the shape it is known by."""
    if len(message) <= MAX_MESSAGE_CHARS:
        return message
    return f"{message[:MAX_MESSAGE_CHARS].rsplit(maxsplit=1)[0][:MAX_MESSAGE_CHARS]} ... ({len(message):,} characters)"


class ParamsError(VoiceLatheError):
    """params.yaml must be edited."""


class ManifestError(VoiceLatheError):
    """The raw manifest, or the audio it names, must be corrected or imported again."""


class SubtitleError(VoiceLatheError):
    """Subtitles, a transcript, or decisions about cuts must be corrected, or another file named."""


class RecordError(VoiceLatheError):
    """A file written by an earlier stage is not what it should be: run that stage again.

    Whoever reads a file that no stage wrote says `problem`, and a remedy of their own.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".rstrip())
        self.problem = problem


def missing_record(path: object) -> RecordError:
    """A stage's output that is not there: the stage has not run, or it was refused or killed after DVC had taken its old output away."""
    return RecordError(
        f"{path} is missing.",
        "Where a stage was refused or killed, dvc checkout brings its last output back; where it has not run yet, dvc repro makes it.",
    )


class DamagedJson(RecordError, ValueError):
    """A JSON file that ends early or was edited. Also a ValueError: whoever reads a file that people write says a remedy of their own."""


class LinesError(VoiceLatheError):
    """A pack of lines must be corrected, proposed anew or restored."""


class LexiconError(VoiceLatheError):
    """The lexicon must be corrected, pinned anew or restored."""


class SplitError(VoiceLatheError):
    """The recordings cannot make three splits."""


class GateError(VoiceLatheError):
    """The data gate found rows that must not be trained on."""


class BaseModelError(VoiceLatheError):
    """A base model directory is missing, changed or of the wrong kind."""


class RecogniserError(VoiceLatheError):
    """The recogniser's directory is missing, changed or of the wrong kind."""


class FamilyUnavailable(VoiceLatheError):
    """A model family, or what it needs to be installed, is not here."""


class PreflightError(VoiceLatheError):
    """A recipe must not be trained yet; the reasons are codes in preflight.json."""


class CheckpointError(VoiceLatheError):
    """Weights are missing, damaged or belong to another run."""


class RunLocked(VoiceLatheError):
    """Another process works on this run or device."""


class WorkerError(VoiceLatheError):
    """The worker process failed; the message carries the diagnosis."""


class WorkerLost(WorkerError):
    """The worker is dead, silent or out of step; nothing it says is used any more, and another has to take its place."""


class ClusterError(VoiceLatheError):
    """Machines that work together must be started, joined or corrected: a Ray cluster, or those that train one run."""


class DiskFull(VoiceLatheError):
    """There is not enough room for what is about to be written."""


class MetricUnavailable(VoiceLatheError):
    """A measure of audio needs a package that is not installed."""

    @classmethod
    def of(cls, package: str, problem: Exception) -> "MetricUnavailable":
        return cls(
            f"{package} cannot be imported ({problem}). Install the measures: pip install 'voicelathe[metrics]'"
        )


class SelectionError(VoiceLatheError):
    """Evaluations, verdicts or settings do not allow a decision."""


class TrackingError(VoiceLatheError):
    """The MLflow server, or what it holds, is not usable."""


class PromotionError(VoiceLatheError):
    """A checkpoint must not be put into production."""


class RequestError(VoiceLatheError):
    """A request to a voice must be changed: its text, or an option that does not exist or fit."""


class TooLong(RequestError):
    """A request asks for more speech than one request may."""


class Busy(VoiceLatheError):
    """A voice has as many requests as it takes: ask again later."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerError(VoiceLatheError):
    """A server that was asked to speak must be started, corrected, or asked in another way."""


class Abandoned(VoiceLatheError):
    """A request was given up: its time was over, or nobody waits for the answer any more."""


class WatermarkError(VoiceLatheError):
    """Speech must carry a watermark and does not: the plug-in must be installed or corrected. Nothing unmarked is given out."""


class SigningError(VoiceLatheError):
    """Speech must be signed and cannot be: the library, a certificate or its key is missing, out of date or wrong."""


class ConsentError(VoiceLatheError):
    """A speaker has no valid consent record."""


def listing(problems: Iterable[str], shown: int = 10) -> str:
    """Indent problems one a line; show the first ten and count the rest."""
    lines = list(problems)
    rest = len(lines) - shown
    return "\n".join(
        [*(f"  {line}" for line in lines[:shown]), *([f"  ... and {rest} more"] if rest > 0 else [])]
    )


def first_line(problem: Exception) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines or [type(problem).__name__])[0][:300]
