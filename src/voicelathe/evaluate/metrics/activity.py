"""Built-in metric `activity`: how much of a clip is speech, how fast it is, and whether silence hangs at its end."""

from collections.abc import Sequence

import numpy as np

from voicelathe.evaluate.metrics.base import Clip, Values
from voicelathe.records import Figure
from voicelathe.speech import activity

MIN_SPEECH_S = 0.3
RATE_SPAN = (0.6, 1.4)  # of the median rate of the real clips
MAX_TRAILING_S = 1.0


class Activity:
    """Silero VAD's speech segments."""

    name = "activity"
    languages = None
    needs_real = False
    figures = (
        Figure("speech_s", "s", None, "silent", "speech found"),
        Figure("silence_share", "share", None, None, "of the clip that is not speech"),
        Figure("trailing_silence_s", "s", "lower", "trailing_silence", "after the last speech"),
        Figure("chars_per_s", "1/s", None, "rate", "characters of the text per second of speech"),
    )

    def missing(self) -> str | None:
        return activity.missing()

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        return [_measure(clip) for clip in clips]

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        if figure == "speech_s":
            return MIN_SPEECH_S, None
        if figure == "trailing_silence_s":
            return None, max(MAX_TRAILING_S, max(real) + 0.5)
        middle = float(np.median(real))
        return min(RATE_SPAN[0] * middle, 0.9 * min(real)), max(RATE_SPAN[1] * middle, 1.1 * max(real))


def _measure(clip: Clip) -> Values:
    found = activity.segments(clip.samples)
    speech_s = activity.speech_s(found)
    end_s = found[-1].end_s if found else 0.0
    return {
        "speech_s": speech_s,
        "silence_share": max(0.0, 1.0 - speech_s / clip.duration_s) if clip.duration_s else 1.0,
        "trailing_silence_s": max(0.0, clip.duration_s - end_s) if found else None,
        "chars_per_s": len(clip.text) / speech_s if speech_s >= MIN_SPEECH_S else None,
    }
