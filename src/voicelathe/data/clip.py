"""What a rule looks at: a row as its owner described it, what its audio really is, and what follows from both."""

from dataclasses import dataclass
from functools import cached_property

from voicelathe.data.text import characters
from voicelathe.records import ClipMeasure, Heard, ManifestRow


@dataclass(frozen=True)
class MeasuredRow:
    """A row, its text normalised, and what its audio really is."""

    row: ManifestRow
    measure: ClipMeasure
    heard: Heard | None = None
    written: str | None = None  # the text before `normaliser`; None: the same

    @cached_property
    def speech_s(self) -> float | None:
        """Duration without the silence at both ends; None when there is no sound between them."""
        measured = self.measure
        if (
            measured.duration_s is None
            or measured.leading_silence_s is None
            or measured.trailing_silence_s is None
        ):
            return None
        speech_s = measured.duration_s - measured.leading_silence_s - measured.trailing_silence_s
        return speech_s if speech_s > 0 else None

    @cached_property
    def inner_silence_share(self) -> float | None:
        """Silent share of what lies between the edge silences; 1 for a clip that is silent throughout."""
        measured = self.measure
        if measured.silence_share is None or measured.duration_s is None:
            return None
        if self.speech_s is None or measured.leading_silence_s is None or measured.trailing_silence_s is None:
            return 1.0
        edges_s = measured.leading_silence_s + measured.trailing_silence_s
        return max(0.0, measured.silence_share * measured.duration_s - edges_s) / self.speech_s

    @cached_property
    def num_spoken_chars(self) -> int:
        return characters.num_spoken_chars(self.row.text)

    @cached_property
    def num_letters(self) -> tuple[float, float]:
        """`text.num_letters`: the fewest and the most letters that the text can be read with."""
        return characters.num_letters(self.row.text)

    @cached_property
    def chars_per_s(self) -> float | None:
        """Letters for each second of sound, half way between the fewest and the most; None without a text to say or sound to hear."""
        return sum(self.num_letters) / 2 / self.speech_s if self.speech_s and self.num_spoken_chars else None
