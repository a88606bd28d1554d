"""Beginnings and ends of speech to 10 ms: tones of known place in noise, in front of hum, with short and long gaps."""

import numpy as np
import pytest
from numpy.typing import NDArray

from voicelathe.speech import RATE_HZ, edges
from voicelathe.speech.activity import Segment

Samples = NDArray[np.float32]


def scene(
    *tones: tuple[float, float],
    seconds: float = 4.0,
    noise_dbfs: float = -60.0,
    hum_dbfs: float | None = None,
) -> Samples:
    """Tones of 300 Hz between the given times, over noise and hum."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = np.random.default_rng(3).standard_normal(len(time_s)) * 10 ** (noise_dbfs / 20)
    for start_s, end_s in tones:
        sound += 0.2 * np.sin(2 * np.pi * 300 * time_s) * ((time_s >= start_s) & (time_s < end_s))
    if hum_dbfs is not None:
        sound += 10 ** (hum_dbfs / 20) * np.sin(2 * np.pi * 50 * time_s)
    return sound.astype(np.float32)


def sharp(sound: Samples, *rough: tuple[float, float]) -> list[tuple[float, float]]:
    found = edges.sharpened([Segment(*one) for one in rough], edges.levels(sound))
    return [(one.start_s, one.end_s) for one in found]


@pytest.mark.parametrize("hum_dbfs", [None, -50.0])
@pytest.mark.parametrize("off_s", [-0.15, 0.0, 0.08])
def test_an_edge_that_is_roughly_known_is_found(off_s: float, hum_dbfs: float | None) -> None:
    sound = scene((1.0, 2.0), hum_dbfs=hum_dbfs)
    ((start_s, end_s),) = sharp(sound, (1.0 + off_s, 2.0 - off_s))
    assert start_s == pytest.approx(1.0, abs=0.011) and end_s == pytest.approx(2.0, abs=0.011)


def test_a_stop_is_no_pause_and_a_pause_that_was_bridged_is_one() -> None:
    assert len(sharp(scene((1.0, 1.5), (1.6, 2.0)), (1.0, 2.0))) == 1
    one, other = sharp(scene((1.0, 1.5), (1.75, 2.2)), (1.0, 2.2))
    assert one[1] == pytest.approx(1.5, abs=0.011) and other[0] == pytest.approx(1.75, abs=0.011)


def test_stretches_stay_apart_and_inside_the_recording() -> None:
    sound = scene((0.0, 1.0), (1.05, 2.0), (3.0, 4.0))
    found = sharp(sound, (0.0, 1.02), (1.03, 2.0), (3.0, 4.0))
    flat = [at_s for one in found for at_s in one]
    assert flat == sorted(flat) and flat[0] == 0.0 and flat[-1] == pytest.approx(4.0, abs=0.011)


def test_silence_and_nothing_have_levels() -> None:
    assert edges.levels(np.zeros(0, np.float32)).tolist() == []
    assert edges.levels(np.zeros(1601, np.float32)).tolist() == [edges.QUIETEST] * 11
    assert edges.sharpened([], np.zeros(0, np.uint8)) == []


def test_the_quietest_place_is_found() -> None:
    of = edges.levels(scene((0.0, 1.5), (1.6, 4.0)))
    assert 1.5 <= edges.quietest(of, 1.2, 1.9) <= 1.6
