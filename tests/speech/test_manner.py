"""Seconds of sound, level and pitch of one sample: what opposite controls are compared by."""

import numpy as np
import pytest

from voicelathe.speech import RATE_HZ, manner


def voiced(hz: float, seconds: float, gain: float = 0.1) -> np.ndarray:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * hz * n * at) / n for n in range(1, 8))
    return (gain * wave).astype(np.float32)


def test_pitch_level_and_seconds_are_those_of_the_sound_and_not_of_the_silence_around_it() -> None:
    quiet = np.zeros(RATE_HZ // 2, np.float32)
    bare, padded = (
        manner.of(one) for one in (voiced(150, 1.0), np.concatenate([quiet, voiced(150, 1.0), quiet]))
    )
    assert bare is not None and padded is not None
    assert padded.seconds == pytest.approx(1.0, abs=0.05) and bare.seconds == pytest.approx(1.0, abs=0.05)
    assert padded.level_dbfs == pytest.approx(bare.level_dbfs, abs=0.3)
    assert padded.pitch_hz == pytest.approx(150, rel=0.02)


def test_twice_as_loud_is_six_decibels_and_an_octave_is_twice_the_pitch() -> None:
    soft, loud, high = (
        manner.of(voiced(hz, 1.0, gain)) for hz, gain in ((110, 0.05), (110, 0.1), (220, 0.05))
    )
    assert soft and loud and high and soft.pitch_hz and high.pitch_hz
    assert loud.level_dbfs - soft.level_dbfs == pytest.approx(6.02, abs=0.05)
    assert 12 * np.log2(high.pitch_hz / soft.pitch_hz) == pytest.approx(12.0, abs=0.3)


def test_silence_and_a_click_have_no_manner_and_noise_has_no_pitch() -> None:
    assert manner.of(np.zeros(RATE_HZ, np.float32)) is None
    assert manner.of(voiced(110, 0.05)) is None
    noise = np.random.default_rng(1).normal(0, 0.1, RATE_HZ).astype(np.float32)
    found = manner.of(noise)
    assert found is not None and found.pitch_hz is None
