"""The same performance is known again through codec, level, rate and cut; another performance is not, and a cliff in the spectrum
shows a lower sample rate than the file claims."""

import io
import random
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from tests.factories import audio, rows
from voicelathe.data.audit import rules
from voicelathe.data.audit.rules import MeasuredRow, repeats
from voicelathe.data.measures import fingerprint, measure, spectrum
from voicelathe.data.measures.fingerprint import Words
from voicelathe.data.near_duplicates import performances
from voicelathe.records import Finding, Heard

Samples = NDArray[np.float32]


def melody(seed: int, seconds: float = 4.0, rate_hz: int = 16_000) -> Samples:
    """A voice whose vowels and pitch wander, as in no other seed: overtones under two moving formants, in syllables."""
    draw = np.random.default_rng(seed)
    num, at = round(seconds * rate_hz), np.arange(round(seconds * rate_hz)) / rate_hz
    knots = np.linspace(0, seconds, round(seconds * 6))

    def wander(low: float, high: float) -> NDArray[np.float64]:
        return np.asarray(np.interp(at, knots, draw.uniform(low, high, len(knots))))

    pitch, one, two = wander(90, 180), wander(300, 900), wander(1000, 2400)
    phase, voice = 2 * np.pi * np.cumsum(pitch) / rate_hz, np.zeros(num)
    for overtone in range(1, 30):
        hz = overtone * pitch
        voice += (np.exp(-(((hz - one) / 200) ** 2)) + np.exp(-(((hz - two) / 300) ** 2)) + 0.02) * np.sin(
            overtone * phase
        )
    made = 0.05 * voice * np.clip(wander(-0.3, 1.0), 0, None) + 1e-4 * draw.standard_normal(num)
    return made.astype(np.float32)


def through(samples: Samples, rate_hz: int, **how: str) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, **how)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def noisy(samples: Samples, below_db: float) -> Samples:
    level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-below_db / 20)
    return samples + audio.noise(len(samples) / 16_000, 7, level)


CHANGES = {
    "opus": lambda x: (through(x, 16_000, format="OGG", subtype="OPUS"), 16_000),
    "mp3": lambda x: (through(x, 16_000, format="MP3"), 16_000),
    "quieter": lambda x: (0.2 * x, 16_000),
    "upside down": lambda x: (-x, 16_000),
    "8 kHz": lambda x: (soxr.resample(x, 16_000, 8_000), 8_000),
    "48 kHz": lambda x: (soxr.resample(x, 16_000, 48_000), 48_000),
    "brighter": lambda x: (x - 0.6 * np.concatenate([x[:1], x[:-1]]), 16_000),
    "noise": lambda x: (noisy(x, 25.0), 16_000),
    "other cut": lambda x: (x[2_345:-3_210], 16_000),
    "in silence": lambda x: (np.concatenate([audio.silence(1.1), x, audio.silence(0.7)]), 16_000),
}


def words(samples: Samples, rate_hz: int = 16_000) -> Words:
    text = fingerprint.of(samples.astype(np.float64), rate_hz)
    assert text is not None
    return fingerprint.words(text)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_no_other_clip_with_it(change: str) -> None:
    voices = [melody(seed) for seed in range(6)]
    changed, rate_hz = CHANGES[change](voices[2])
    prints = [words(voice) for voice in voices] + [words(changed, rate_hz)]
    assert [(one.first, one.second) for one in performances.find(prints, 0.18, 0.7)] == [(2, 6)]


def test_the_pairs_are_those_of_a_plain_comparison_of_everything_with_everything() -> None:
    draw = np.random.default_rng(5)
    made = [draw.integers(0, 1 << 16, draw.integers(14, 60)).astype(np.uint16) for _ in range(40)]
    for at in range(0, 20, 2):  # the next one is a cut of this one with some bits turned
        flips = (draw.random((len(made[at]), 16)) < 0.08) @ (1 << np.arange(16))
        made[at + 1] = (made[at] ^ flips.astype(np.uint16))[draw.integers(0, 3) :]
    found = {(one.first, one.second): one.error for one in performances.find(made, 0.18, 0.7)}
    expected = {}
    for second in range(len(made)):
        for first in range(second):
            if (error := plainly(made[first], made[second])) <= 0.18:
                expected[first, second] = error
    assert found == pytest.approx(expected) and len(found) >= 10


def plainly(one: Words, other: Words) -> float:
    errors = [1.0]
    for shift in range(-len(other) + 1, len(one)):
        start, num = max(0, shift), min(len(one), len(other) + shift) - max(0, shift)
        if num >= max(12, 0.7 * min(len(one), len(other))):
            bits = [
                f"{int(a) ^ int(b):016b}".count("1")
                for a, b in zip(one[start:], other[start - shift :], strict=False)
            ]
            worst = max(sum(bits[at : at + 8]) / 128 for at in range(num - 7))
            errors += [sum(bits) / 16 / num] if worst <= 0.3 else []
    return min(errors)


def test_two_sentences_that_share_all_but_one_word_are_no_twins() -> None:
    one, other = melody(1, 6.0), melody(2, 6.0)
    mixed = one.copy()
    mixed[40_000:52_000] = other[40_000:52_000]  # three quarters of a second of six
    prints = [words(one), words(mixed)]
    assert performances.differences(prints[0], prints[1])[0] < 0.18
    assert performances.find(prints, 0.18, 0.7) == []


def test_clips_of_digital_silence_or_under_half_a_second_are_no_twins() -> None:
    quiet = measure.of_samples("c", audio.silence(4.0)[:, None], 16_000, -50.0)
    assert quiet.fingerprint is None
    assert fingerprint.of(melody(1, 0.45).astype(np.float64), 16_000) is None
    almost = [audio.silence(4.0), audio.silence(4.0)]
    for number, sound in enumerate(almost):
        sound[20_000] = 0.1 * (number + 1)  # one click keeps it from being silence
    assert performances.find([words(sound) for sound in almost], 0.18, 0.7) == []


def test_two_alarms_are_no_twins_although_nobody_could_tell_them_apart() -> None:
    def alarm(loudness: float, seconds: float) -> Samples:
        is_on = np.arange(round(seconds * 16_000)) % 8_000 < 4_000
        return audio.tone(seconds, 420.0, loudness) * is_on.astype(np.float32)

    one, other = words(alarm(0.2, 4.0)), words(alarm(0.1, 3.0))
    assert performances.differences(one[: len(other)], other)[0] < 0.18
    assert performances.find([one, other], 0.18, 0.7) == []


def test_a_word_said_twice_is_still_known_again() -> None:
    said = melody(4, 1.3)
    twice = np.concatenate([said, melody(5, 2.0), said])
    assert [one.error for one in performances.find([words(twice), words(0.5 * twice)], 0.18, 0.7)] == [0.0]


def test_a_fingerprint_is_the_same_text_every_time() -> None:
    assert fingerprint.of(melody(3).astype(np.float64), 16_000) == fingerprint.of(
        melody(3).astype(np.float64), 16_000
    )


def judged(clips: list[MeasuredRow], dropped: Collection[str] = ()) -> list[Finding]:
    return repeats.judge(clips, dropped, rows.AUDIT, rows.alike(clips, dropped))


def clip(number: int, samples: Samples, **row: object) -> MeasuredRow:
    text = fingerprint.of(samples.astype(np.float64), 16_000)
    return rows.clip(number, row={"text": f"Sentence {number} of this test."} | row, fingerprint=text)


def test_of_twins_the_first_in_the_manifest_stays_and_a_bad_row_pushes_out_none() -> None:
    one, quiet, faint = melody(1), 0.5 * melody(1), 0.1 * melody(1)
    clips = [clip(1, one), clip(2, quiet), clip(3, melody(2)), clip(4, faint)]
    random.Random(1).shuffle(clips)
    found = judged(clips)
    assert [(one.clip_id, one.rule, one.action) for one in found] == [
        ("c0002", "near_duplicate", "drop"),
        ("c0004", "near_duplicate", "drop"),
    ]
    assert found[0].value.startswith('as line 1, 0 % of the bits differ; kept "Sentence 1')
    same = [clip(number, level * melody(1), text="One text.") for number, level in ((1, 1.0), (2, 0.5))]
    assert judged(same)[0].value == "as line 1, 0 % of the bits differ"
    assert {one.clip_id for one in judged(clips, {"c0001"})} == {"c0001", "c0004"}


def heard_as(one: MeasuredRow, cer: float | None) -> MeasuredRow:
    return replace(one, heard=Heard(one.row.clip_id, 3.0, cer, None, None, "x", None))


@pytest.mark.parametrize(
    ("cers", "gone", "why"),
    [
        ((0.9, 0.05), "c0001", "5 % against 90 % of the characters misheard"),
        ((0.05, 0.9), "c0002", "5 % against 90 % of the characters misheard"),
        ((None, None), "c0002", "which is right was not heard, listen to both"),
        ((0.11, 0.08), "c0002", "which is right was not heard, listen to both"),
    ],
)
def test_of_twins_with_two_texts_the_one_that_was_heard_stays_and_both_are_named(
    cers: tuple[float | None, float | None], gone: str, why: str
) -> None:
    clips = [
        heard_as(clip(number, level * melody(1)), cer)
        for number, level, cer in zip((1, 2), (1.0, 0.5), cers, strict=True)
    ]
    (found,) = judged(clips)
    kept, lost = (1, 2) if gone == "c0002" else (2, 1)
    assert (found.clip_id, found.rule) == (gone, "near_duplicate")
    assert f'kept "Sentence {kept} of this test.", dropped "Sentence {lost} of this test."' in found.value
    assert why in found.value


def test_a_clip_that_is_dropped_anyway_pushes_out_no_twin_however_well_it_was_heard() -> None:
    clips = [heard_as(clip(1, melody(1)), 0.0), heard_as(clip(2, 0.5 * melody(1)), 0.9)]
    assert [one.clip_id for one in judged(clips, {"c0001"})] == ["c0001"]


# --- the spectrum ----------------------------------------------------------------------------------------------------


def cutoff(samples: Samples, rate_hz: int) -> float | None:
    power = spectrum.power(samples.astype(np.float64), rate_hz)
    assert power is not None
    return spectrum.cutoff_hz(power, rate_hz)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(8_000, 16_000), (8_000, 48_000), (16_000, 24_000), (16_000, 48_000)]
)
def test_a_file_that_was_sampled_up_breaks_off_below_half_of_its_old_rate(from_hz: int, to_hz: int) -> None:
    sound = audio.speech(3.0, rate_hz=from_hz) + audio.noise(3.0, 1, 3e-3, from_hz)
    found = cutoff(soxr.resample(sound, from_hz, to_hz), to_hz)
    assert found == pytest.approx(from_hz / 2, rel=0.1)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_speech_at_its_own_rate_and_noise_do_not_break_off(rate_hz: int) -> None:
    room = audio.noise(3.0, 1, 0.02, rate_hz)
    assert cutoff(audio.speech(3.0, rate_hz=rate_hz) + room, rate_hz) is None
    assert cutoff(audio.noise(3.0, 1, 0.1, rate_hz), rate_hz) is None


def judged_at(samples: Samples, rate_hz: int) -> list[str]:
    row = {"sample_rate_hz": rate_hz}
    clip = rows.clip(row=row, file_rate_hz=rate_hz, cutoff_hz=cutoff(samples, rate_hz))
    return [one.rule for one in rules.judge(clip, rows.limits(sample_rates_hz=[rate_hz]))]


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_what_an_mp3_leaves_out_above_15_khz_is_no_lower_sample_rate(rate_hz: int) -> None:
    sound = audio.speech(3.0, rate_hz=rate_hz) + audio.noise(3.0, 1, 3e-3, rate_hz)
    read = through(sound, rate_hz, format="MP3")  # some 90 kbit/s
    assert 15_000 < (cutoff(read, rate_hz) or 0) < 0.8 * rate_hz / 2
    assert judged_at(read, rate_hz) == []
    low = audio.speech(3.0, rate_hz=24_000) + audio.noise(3.0, 1, 3e-3, 24_000)
    assert judged_at(soxr.resample(low, 24_000, rate_hz), rate_hz) == ["band_limited"]


def test_a_clip_too_short_for_a_spectrum_has_no_cliff() -> None:
    assert cutoff(audio.noise(0.01), 16_000) is None
