"""How is a piece of text spoken as well as this voice can? A take with a fault is repeated, then spoken in two halves, then given out with its fault.

What is a fault is the version's own measure: its pace, and, where the project asks for it, the words that a recogniser hears.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from voicelathe.errors import WorkerError
from voicelathe.records import SampleRecord
from voicelathe.registry.speaking import hearing, pace, sentences

FAULTS = (pace.TOO_FAST, pace.TOO_SLOW, hearing.MISSED_WORDS)


@dataclass(frozen=True)
class TakeChecks:
    """What is usual for the version that speaks, in the language that is asked for."""

    pace: pace.Pace
    ears: hearing.RequestEars | None = None  # None: nobody listens

    def fault(self, sample: SampleRecord, audio: bytes) -> str | None:
        """One of FAULTS, or None. What is too fast or too slow is not listened to."""
        found = self.pace.fault(sample.text, sample.duration_s)
        if found is None and self.ears is not None:
            found = self.ears.fault(sample.text, sample.seed, audio)
        return found

    def can_judge(self, halves: Sequence[str], fault: str) -> bool:
        """Whether halves that are right prove anything: words that were missed must be missed in a half as well."""
        return fault != hearing.MISSED_WORDS or min(map(len, halves)) >= hearing.LEAST_CHARS


def take(
    piece: str, seed: int, attempts: int, speak: sentences.Speak, checks: TakeChecks
) -> tuple[SampleRecord, bytes]:
    """A piece as it should be: repeated, then in two halves, then as it is, with its fault.

    Raises WorkerError when every take is empty, silent or not finite.
    """

    def judged(words: str, number: int) -> tuple[SampleRecord, bytes]:
        sample, audio = speak(words, number)
        fault = checks.fault(sample, audio) if sample.problem is None else None
        return (replace(sample, problem=fault) if fault else sample), audio

    whole = sentences.best_take(piece, seed, attempts, judged)
    halves = sentences.pieces(piece, len(piece) * 3 // 5)
    if whole[0].problem not in FAULTS or len(halves) < 2 or not checks.can_judge(halves, whole[0].problem):
        return whole
    try:
        parts = [sentences.best_take(half, seed, attempts, judged) for half in halves]
    except WorkerError:
        return whole
    return _joined(whole[0], parts) if all(sample.problem is None for sample, _ in parts) else whole


def _joined(whole: SampleRecord, parts: Sequence[tuple[SampleRecord, bytes]]) -> tuple[SampleRecord, bytes]:
    """One take of several."""
    sound = sentences.untagged([audio for _sample, audio in parts])
    stopped = all(sample.stopped for sample, _audio in parts)
    length_s = sentences.duration_s(sound)
    return replace(whole, sha256=None, path=None, duration_s=length_s, stopped=stopped, problem=None), sound
