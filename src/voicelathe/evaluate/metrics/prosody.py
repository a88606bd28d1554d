"""Built-in metric `prosody`: is it delivered as the speaker delivers? Pauses, pitch range, pace and energy of every clip.

One clip says little: sentences differ. `evaluate.scoring.prosody` compares the distributions over lines and over real recordings.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from voicelathe.data.text import characters
from voicelathe.evaluate.metrics.base import RATE_HZ, Clip, Samples, Values
from voicelathe.records import Figure
from voicelathe.speech import activity, pitch

PAUSE_SHARE, LONGEST_PAUSE, PITCH_RANGE, PACE, ENERGY = (
    "pause_share",
    "longest_pause_s",
    "pitch_range_st",
    "letters_per_s",
    "energy_spread_db",
)
MIN_SPEECH_S = 0.3
MIN_VOICED = 10  # frames of 10 ms
FRAME = RATE_HZ // 50
INNER = (10, 90)  # percentiles: an octave error of the pitch tracker in one frame of ten changes nothing


class ProsodyFigures:
    """Figures without a limit of their own: no single sentence is flat, a voice is."""

    name = "prosody"
    languages = None
    needs_real = False
    figures = (
        Figure(PAUSE_SHARE, "share", None, None, "of the time from first to last speech that is pause"),
        Figure(LONGEST_PAUSE, "s", None, None, "longest pause inside the speech"),
        Figure(PITCH_RANGE, "semitones", None, None, "10th to 90th percentile of the pitch in speech"),
        Figure(PACE, "1/s", None, None, "letters of the text per second of speech, pauses left out"),
        Figure(ENERGY, "dB", None, None, "10th to 90th percentile of the level in speech"),
    )

    def missing(self) -> str | None:
        return activity.missing()

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        return [_measure(clip) for clip in clips]

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        return None, None


def _measure(clip: Clip) -> Values:
    found = activity.segments(clip.samples)
    speech_s = activity.speech_s(found)
    if speech_s < MIN_SPEECH_S:
        return {figure.name: None for figure in ProsodyFigures.figures}
    pauses = [after.start_s - before.end_s for before, after in itertools.pairwise(found)]
    speech = activity.only_speech(clip.samples, found)
    letters = characters.usual_letters(clip.text)
    return {
        PAUSE_SHARE: sum(pauses) / (found[-1].end_s - found[0].start_s),
        LONGEST_PAUSE: max(pauses, default=0.0),
        PITCH_RANGE: pitch_range_st(speech),
        PACE: letters / speech_s,
        ENERGY: energy_spread_db(speech),
    }


def pitch_range_st(speech: Samples) -> float | None:
    """Semitones between the inner percentiles of the voiced frames; None with too few of them."""
    track = pitch.track_hz(speech)
    voiced = track[np.isfinite(track)]
    if len(voiced) < MIN_VOICED:
        return None
    low, high = np.percentile(voiced, INNER)
    return float(12.0 * np.log2(high / low))


def energy_spread_db(speech: Samples) -> float | None:
    """Decibels between the inner percentiles of frames of 20 ms; None for digital silence."""
    frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    power = (frames**2).mean(axis=1)
    if not power.max(initial=0.0):
        return None
    levels = 10.0 * np.log10(np.maximum(power, power.max() * 1e-8))
    low, high = np.percentile(levels, INNER)
    return float(high - low)
