"""Formants, warping and the accent metric, on vowels that are made here: an accent is other vowels, a speaker another throat."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from voicelathe.evaluate.metrics import accent
from voicelathe.evaluate.metrics.base import Clip, NotApplicable
from voicelathe.speech import RATE_HZ, formants, warping

VOWELS = {"i": (280, 2250), "e": (450, 1950), "a": (750, 1300), "o": (480, 900), "u": (320, 800)}
SENTENCE = "iaeouaieoa"
OTHER_ACCENT = {"i": (380, 2000), "e": (620, 1700), "a": (600, 1700), "o": (600, 1150), "u": (330, 1500)}


def said(
    vowels: dict[str, tuple[float, float]] = VOWELS, throat: float = 1.0, hz: float = 110.0, pace: float = 1.0
) -> NDArray[np.float32]:
    """A sentence of vowels: a pulse train through four resonances; `throat` scales every formant."""
    parts = []
    for letter in SENTENCE:
        number = int(0.15 * pace * RATE_HZ)
        pulses = np.zeros(number)
        pulses[:: round(RATE_HZ / hz)] = 1.0
        first, second = vowels[letter]
        sound = glottal(pulses)
        for place, centre in enumerate((first, second, 2700, 3600)):
            sound = resonate(sound, centre * throat, 60 + 30 * place)
        parts.append(sound * np.hanning(number) / np.abs(sound).max())
    rng = np.random.default_rng(1)
    whole = np.concatenate(parts)
    return (0.3 * whole + 1e-4 * rng.normal(size=len(whole))).astype(np.float32)


def glottal(pulses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pulses of a throat fall by 6 dB an octave and more."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [1.0, -0.97], pulses))


def resonate(sound: NDArray[np.float64], hz: float, width_hz: float) -> NDArray[np.float64]:
    from scipy.signal import lfilter

    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    return np.asarray(lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * hz / RATE_HZ), radius**2], sound))


def clip(samples: NDArray[np.float32], text: str = "I would rather go.") -> Clip:
    return Clip(samples, text, "en")


@pytest.mark.parametrize("letter", list("iaeo"))
def test_the_two_lowest_resonances_are_found_within_a_tenth(letter: str) -> None:
    pulses = np.zeros(RATE_HZ // 2)
    pulses[:: RATE_HZ // 110] = 1.0
    pulses = glottal(pulses)
    for place, centre in enumerate((*VOWELS[letter], 2700, 3600)):
        pulses = resonate(pulses, centre, 60 + 30 * place)
    slow = formants._slowed(pulses.astype(np.float32))[1000:1500]
    (found,) = formants.resonances(slow[None].astype(np.float64))
    assert found == pytest.approx(VOWELS[letter], rel=0.1)


def test_silence_noise_and_a_moment_have_no_vowels() -> None:
    rng = np.random.default_rng(3)
    for samples in (
        np.zeros(RATE_HZ),
        0.1 * rng.normal(size=RATE_HZ),
        said()[:600],
        np.zeros(10),
    ):
        assert formants.tracks(samples.astype(np.float32)) is None


def test_the_warping_of_a_clip_with_itself_is_the_diagonal_and_with_a_slower_one_reaches_both_ends() -> None:
    one, slow = warping.cepstra(said()), warping.cepstra(said(pace=1.3))
    assert warping.path(one, one) == [(place, place) for place in range(len(one))]
    way = warping.path(one, slow)
    assert way[0] == (0, 0) and way[-1] == (len(one) - 1, len(slow) - 1)
    assert all(0 <= b[0] - a[0] <= 1 and 0 <= b[1] - a[1] <= 1 for a, b in pairwise(way))


def test_another_throat_or_pace_is_near_and_another_accent_is_far() -> None:
    """The point of the metric: speaker similarity ranks a wrong accent in the right voice first, this does not."""
    target = said()
    near = [
        accent.distance(said(throat=1.12, hz=140), target),
        accent.distance(said(throat=0.92, hz=90), target),
        accent.distance(said(pace=1.2), target),
    ]
    far = [
        accent.distance(said(OTHER_ACCENT), target),
        accent.distance(said(OTHER_ACCENT, throat=1.12), target),
    ]
    assert all(one is not None for one in near + far)
    assert max(near) < 0.6 * min(far), (near, far)  # type: ignore[type-var]
    assert accent.distance(target, target) == 0.0


def test_only_the_speakers_own_recording_of_the_same_words_is_compared() -> None:
    real = [clip(said(), "I would rather go!"), clip(said(OTHER_ACCENT), "Another sentence.")]
    rows = accent.Accent().measure([clip(said(), "i would, rather go"), clip(said(), "A third one.")], real)
    assert rows == [{"accent_distance": pytest.approx(0.0, abs=1e-9)}, {"accent_distance": None}]
    assert accent.Accent().measure(real, real) == [{"accent_distance": None}] * 2, "there is no second take"


def test_two_takes_of_the_speaker_say_how_far_the_speaker_is_from_itself() -> None:
    takes: Sequence[Clip] = [clip(said()), clip(said(pace=1.1))]
    assert all((row["accent_distance"] or 0.0) > 0.0 for row in accent.Accent().measure(takes, takes))


def test_without_a_line_that_the_speaker_said_it_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match=r"the pack in listen\.lines needs held-out lines"):
        accent.Accent().measure([clip(said(), "Something else.")], [clip(said())])
