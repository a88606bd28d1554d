"""Built-in metric `speaker`: does it sound like the same person as the held-out recordings?"""

import math
from collections.abc import Sequence

from voicelathe.evaluate import statistics
from voicelathe.evaluate.metrics.base import RATE_HZ, Clip, Values
from voicelathe.records import Figure
from voicelathe.speech import activity, speaker

MIN_SPEECH_S = 0.3
FALSE_VETOES = 0.001  # of the speaker's own clips; eleven codes together are to stop at most 2 %
MAX_COSINE = 0.999999
MIN_SPREAD = 0.1  # of the transformed cosine; 0.01 of a cosine near 0.95


class SpeakerLikeness:
    """Cosine to the mean embedding of the real clips; falls with noise, clipping and tempo too, so read it beside them."""

    name = "speaker"
    languages = None
    needs_real = True
    figures = (
        Figure("similarity", "cosine", "higher", "wrong_speaker", "to the mean of the speaker's real clips"),
    )

    def __init__(self) -> None:
        self._real: Sequence[Clip] = ()
        self._known: dict[int, speaker.Samples | None] = {}

    def missing(self) -> str | None:
        return activity.missing()

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        if self._real is not real:  # asked again, it meets the same recordings
            self._real, self._known = real, {id(clip): _embed(clip) for clip in real}
        known = self._known
        rows: list[Values] = []
        for clip in clips:
            own = known[id(clip)] if id(clip) in known else _embed(clip)
            others = [one for key, one in known.items() if key != id(clip) and one is not None]
            rows.append(
                {
                    "similarity": speaker.similarity(own, speaker.centroid(others))
                    if own is not None and others
                    else None
                }
            )
        return rows

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        """A prediction interval of Fisher's z: a cosine near 1 has a long tail below that its deviation does not see."""
        transformed = [math.atanh(min(max(value, -MAX_COSINE), MAX_COSINE)) for value in real]
        return math.tanh(statistics.lowest_expected(transformed, FALSE_VETOES, MIN_SPREAD)), None


def _embed(clip: Clip) -> speaker.Samples | None:
    speech = activity.only_speech(clip.samples, activity.segments(clip.samples))
    return speaker.embed(speech) if len(speech) >= MIN_SPEECH_S * RATE_HZ else None
