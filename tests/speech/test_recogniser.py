"""A real Whisper hears real clips: the words that were said, nothing where nobody speaks, the same every time and beside anything."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio, recognisers
from voicelathe.data.audio.waveform import mono, read_clip, resample
from voicelathe.errors import RecogniserError
from voicelathe.speech import RATE_HZ, recogniser, transcripts
from voicelathe.speech.activity import Segment
from voicelathe.speech.recogniser import Reading, is_doubtful, pieces, repeats

ROOT = Path(__file__).parents[2]
TEXT = "I think the horse should stay across the attic."


@cache
def said() -> np.ndarray:
    samples, rate_hz = read_clip(ROOT / "data/demo/audio", "rec_23.opus", 7.06, 10.05, None)
    return np.ascontiguousarray(resample(mono(samples), rate_hz, RATE_HZ), np.float32)


def whisper() -> recogniser.Recogniser:
    return recogniser.of(recognisers.reference())


def test_the_words_of_a_clip_are_heard_and_those_of_another_text_are_not() -> None:
    heard = whisper().hear(said(), "en")
    right = transcripts.errors(TEXT, heard.text, "en")
    wrong = transcripts.errors("The kitchen is twenty miles from the thick playground.", heard.text, "en")
    assert right is not None and wrong is not None and right.cer < 0.2 and right.missing_end == 0
    assert wrong.cer > 0.5
    assert heard.log_prob is not None and heard.log_prob > -1.0


def test_what_was_heard_before_changes_nothing() -> None:
    alone = whisper().hear(said(), "en")
    whisper().hear(audio.speech(3.0), "en")
    whisper().hear(said()[:RATE_HZ], "en")
    assert (
        whisper().hear(said(), "en")
        == alone
        == recogniser.Recogniser(Path(recognisers.reference().directory), "cpu").hear(said().copy(), "en")
    )


@pytest.mark.parametrize(
    "samples",
    [
        audio.silence(0.0),
        audio.silence(0.01),
        audio.silence(4.0),
        audio.noise(4.0),
        audio.tone(4.0),
        audio.noise(4.0, level=0.001),
    ],
)
def test_nothing_is_invented_where_nobody_speaks(samples: np.ndarray) -> None:
    assert whisper().hear(samples, "en").text == ""


def test_a_sentence_cut_in_the_middle_lacks_its_end() -> None:
    heard = whisper().hear(said()[: len(said()) * 6 // 10], "en")
    found = transcripts.errors(TEXT, heard.text, "en")
    assert found is not None and found.missing_end >= 2


@pytest.mark.slow
def test_more_than_a_minute_is_heard_to_its_end() -> None:
    pause = audio.silence(0.8)
    long = np.concatenate([part for _ in range(20) for part in (said(), pause)])
    heard = whisper().hear(long, "en")
    once = whisper().hear(said(), "en").text
    found = transcripts.errors(" ".join([once] * 20), heard.text, "en")
    assert found is not None and found.cer < 0.2 and found.missing_end == 0


def test_a_model_for_english_does_not_pretend_to_know_another_language_token() -> None:
    assert whisper()._prompt("en") == whisper()._prompt("en-GB")


def test_a_torn_model_says_so(tmp_path: Path) -> None:
    folder = recognisers.copy(tmp_path / "torn")
    weights = folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(RecogniserError, match="cannot be loaded on cpu as int8"):
        recogniser.Recogniser(folder, "cpu")
    (folder / "tokenizer.json").write_text("{}")
    weights.write_bytes((Path(recognisers.reference().directory) / "model.bin").read_bytes())
    with pytest.raises(RecogniserError, match=r"tokenizer\.json"):
        recogniser.Recogniser(folder, "cpu")
    with pytest.raises(RecogniserError, match="is not the recogniser that was pinned"):
        recogniser.opened(str(folder), recognisers.reference().digest, "cpu")


def test_what_is_read_covers_all_speech_and_nothing_longer_than_fits() -> None:
    found = [Segment(1.0, 9.0), Segment(12.0, 20.0), Segment(21.0, 40.0), Segment(41.0, 104.0)]
    spans = pieces(found, 110 * RATE_HZ)
    assert all(0 < last - first <= 30 * RATE_HZ for first, last in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for one in found:
        inside = sum(
            max(0.0, min(last, one.end_s * RATE_HZ) - max(first, one.start_s * RATE_HZ))
            for first, last in spans
        )
        assert inside == pytest.approx((one.end_s - one.start_s) * RATE_HZ, abs=4)
    assert pieces([Segment(0.2, 1.0)], round(1.1 * RATE_HZ)) == [(0, round(1.1 * RATE_HZ))]


@pytest.mark.parametrize(
    "text, doubtful",
    [
        ("The lamp is on.", False),
        ("very very good", False),
        ("no no no no", True),
        ("press one to call press one to call", True),
        ("", True),
        ("x" * 200, True),
    ],
)
def test_a_reading_that_loops_or_says_more_than_fits_is_read_again(text: str, doubtful: bool) -> None:
    assert is_doubtful(Reading(text, -0.2, 0.0), 2.0) is doubtful
    assert is_doubtful(Reading("The lamp is on.", -1.5, 0.0), 2.0)
    assert not repeats("")
