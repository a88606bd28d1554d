"""Built-in metric `speaker`: does it sound like the same person as the held-out recordings?"""

from collections.abc import Sequence

import numpy as np

from voicelathe.evaluate.metrics.base import RATE_HZ, Clip, Values
from voicelathe.records import Figure
from voicelathe.speech import activity, speaker

MIN_SPEECH_S = 0.3
SPREADS, MIN_SPREAD = 4.0, 0.01


class Speaker:
    """Cosine to the mean embedding of the real clips; falls with noise, clipping and tempo too, so read it beside them."""

    name = "speaker"
    languages = None
    needs_real = True
    figures = (
        Figure("similarity", "cosine", "higher", "wrong_speaker", "to the mean of the speaker's real clips"),
    )

    def missing(self) -> str | None:
        return activity.missing()

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        known = {id(clip): _embed(clip) for clip in real}
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
        return float(np.mean(real) - SPREADS * max(float(np.std(real)), MIN_SPREAD)), None


def _embed(clip: Clip) -> speaker.Samples | None:
    speech = activity.only_speech(clip.samples, activity.segments(clip.samples))
    return speaker.embed(speech) if len(speech) >= MIN_SPEECH_S * RATE_HZ else None
