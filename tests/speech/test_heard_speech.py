"""Measures of one clip, on clips of the demo corpus: real speech passes, and each kind of change moves the right measure."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as made
from voicelathe.data.audio import waveform
from voicelathe.errors import MetricUnavailable
from voicelathe.speech import RATE_HZ, activity, mel, pitch, speaker, words

DEMO = Path(__file__).parents[2] / "data" / "demo"


@cache
def rows(kind: str) -> list[dict[str, object]]:
    truth = [json.loads(line) for line in (DEMO / "ground_truth.jsonl").read_text().splitlines()]
    wanted = {row["id"] for row in truth if row["kind"] == kind}
    manifest = [json.loads(line) for line in (DEMO / "manifest.jsonl").read_text().splitlines()]
    return [row for row in manifest if row["id"] in wanted]


@cache
def clip(kind: str, number: int) -> tuple[waveform.Samples, str]:
    """Audio at 16 kHz and text of a row of the demo corpus."""
    row = rows(kind)[number]
    samples, rate_hz = waveform.read_clip(DEMO / "audio", row["audio"], row["start_s"], row["end_s"], None)
    return waveform.resample(waveform.mono(samples), rate_hz, RATE_HZ), row["text"]


def voice(samples: waveform.Samples) -> np.ndarray:
    return speaker.embed(activity.only_speech(samples, activity.segments(samples)))


# --- speech ----------------------------------------------------------------------------------------------------------


def test_most_of_a_clean_clip_is_speech_and_its_silence_is_not() -> None:
    samples, _ = clip("clean", 0)
    found = activity.speech_s(activity.segments(samples))
    padded = np.concatenate([samples, made.silence(3.0)])
    assert 0.7 * len(samples) / RATE_HZ < found <= len(samples) / RATE_HZ
    assert activity.speech_s(activity.segments(padded)) == pytest.approx(found, abs=0.2)
    assert activity.segments(padded)[-1].end_s < len(samples) / RATE_HZ + 0.2


@pytest.mark.parametrize(
    "sound", [made.silence(2.0), made.noise(2.0), made.tone(2.0), made.silence(0.0), made.tone(0.02)]
)
def test_silence_noise_a_tone_and_next_to_nothing_hold_no_speech(sound: waveform.Samples) -> None:
    assert activity.segments(sound) == []
    assert len(activity.only_speech(sound, [])) == 0


# --- words -----------------------------------------------------------------------------------------------------------


def test_a_clip_is_recognised_the_same_whatever_was_heard_before_it() -> None:
    first, text = clip("clean", 0)
    alone = words.recognise(first)
    words.recognise(made.noise(1.0, level=0.3))
    assert words.recognise(first) == alone
    found = words.errors(text, alone)
    assert found is not None and found.cer < 0.5 and found.wer < 0.8


def test_errors_count_against_the_text_and_hearing_nothing_is_an_error_of_one() -> None:
    assert words.errors("The cat sat.", "the cat sat") == words.WordErrors(0.0, 0.0)
    assert words.errors("The cat sat.", "the cat") == words.WordErrors(
        pytest.approx(1 / 3), pytest.approx(4 / 11)
    )
    assert words.errors("The cat sat.", "") == words.WordErrors(1.0, 1.0)
    assert words.errors("…", "the cat") is None
    twice = words.errors("the cat", "the cat the cat")
    assert twice is not None and twice.wer == 1.0


def test_other_texts_fit_a_wrong_text_as_well_and_the_right_one_not_even_when_it_is_badly_heard() -> None:
    texts = [words.normalise(str(row["text"])) for row in rows("clean")]
    heard = "i'm an event officers did because central"  # PocketSphinx, of the first of these, with 68 % character errors
    assert words.share_that_fits(heard, "how many brown boxes did the cousin draw", texts) < 0.05
    assert words.share_that_fits(heard, "if the newspaper is fresh keep it near the valley", texts) > 0.2
    assert words.share_that_fits("", "if the newspaper is fresh", texts) == 1.0


def test_alignment_finds_every_word_in_order_and_fails_when_the_end_is_cut() -> None:
    samples, text = clip("clean", 1)
    found = words.align(samples, text)
    assert found is not None and [one.word for one in found] == words.normalise(text).split()
    assert all(one.start_s < one.end_s <= len(samples) / RATE_HZ + 0.02 for one in found)
    assert [one.start_s for one in found] == sorted(one.start_s for one in found)
    assert words.align(samples[: int(0.75 * len(samples))], text) is None
    assert words.align(made.silence(2.0), text) is None
    assert words.align(samples, text) == found


def test_a_word_outside_the_dictionary_is_named_before_an_alignment() -> None:
    assert words.unknown_words("The voicelathe turns") == ["voicelathe"]
    with pytest.raises(ValueError, match="voicelathe"):
        words.align(made.silence(1.0), "The voicelathe turns")
    with pytest.raises(ValueError, match="no words"):
        words.align(made.silence(1.0), "...")


# --- the speaker -----------------------------------------------------------------------------------------------------


def test_clips_of_the_target_speaker_agree_and_other_voices_are_further_away() -> None:
    own = [voice(clip("clean", number)[0]) for number in range(6)]
    middle = speaker.centroid(own[:3])
    same = [speaker.similarity(one, middle) for one in own[3:]]
    others = [speaker.similarity(voice(clip("wrong_speaker", number)[0]), middle) for number in range(3)]
    assert min(same) > 0.88 and max(others) < 0.83


def test_an_embedding_has_length_one_and_does_not_change_with_the_level() -> None:
    samples, _ = clip("clean", 2)
    one = speaker.embed(samples)
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
    assert speaker.similarity(one, speaker.embed(samples * np.float32(0.05))) == pytest.approx(1.0, abs=1e-5)
    assert not speaker.embed(made.silence(1.0)).any()


@pytest.mark.slow  # librosa alone takes seconds to import
def test_the_mel_bands_are_those_the_weights_were_trained_with() -> None:
    import librosa

    expected = librosa.filters.mel(sr=RATE_HZ, n_fft=speaker.FRAME, n_mels=speaker.BANDS)
    np.testing.assert_allclose(mel.filters(speaker.FRAME, speaker.BANDS), expected, atol=1e-7)
    samples, _ = clip("clean", 0)
    spectrum = librosa.feature.melspectrogram(
        y=samples, sr=RATE_HZ, n_fft=speaker.FRAME, hop_length=speaker.STEP, n_mels=speaker.BANDS
    ).T
    # the last frames see our padding of the last window instead of librosa's
    np.testing.assert_allclose(
        speaker._mel(samples)[: len(spectrum) - 3], spectrum[:-3], rtol=2e-4, atol=1e-6
    )


def test_an_embedding_equals_the_stored_one() -> None:
    """Any change of framing, windows, bands or weights moves it; numbers of clip 0, made once and kept."""
    stored = [0.0, 0.0474, 0.1429, 0.1434, 0.0886, 0.0899, 0.0, 0.0, 0.2055, 0.0907, 0.0, 0.0571, 0.2399]
    np.testing.assert_allclose(voice(clip("clean", 0)[0])[8:21], stored, atol=2e-4)


# --- pitch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hz", [80.0, 120.0, 200.0, 330.0])
def test_the_pitch_of_a_voice_of_many_overtones_is_found_without_octave_errors(hz: float) -> None:
    at = np.arange(RATE_HZ) / RATE_HZ
    sound = sum(np.sin(2 * np.pi * hz * n * at) / n for n in range(1, 12)).astype(np.float32) * 0.1
    track = pitch.track_hz(sound + made.noise(1.0, level=0.002))
    assert np.isfinite(track).mean() > 0.95
    assert pitch.median_hz(track) == pytest.approx(hz, rel=0.02)


@pytest.mark.parametrize("sound", [made.silence(1.0), made.noise(1.0), made.silence(0.01)])
def test_what_has_no_pitch_gets_none(sound: waveform.Samples) -> None:
    assert pitch.median_hz(pitch.track_hz(sound)) is None


def test_a_missing_tool_is_a_clear_error_and_not_an_import_error() -> None:
    """In a process of its own, because the tools are kept once loaded."""
    script = (
        "import sys; sys.modules['pocketsphinx'] = None; import numpy\n"
        "from voicelathe.errors import MetricUnavailable\n"
        "from voicelathe.speech import words\n"
        "try: words.recognise(numpy.zeros(16000, 'f4'))\n"
        "except MetricUnavailable as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'voicelathe[metrics]'" in done.stdout
    assert issubclass(MetricUnavailable, Exception)
