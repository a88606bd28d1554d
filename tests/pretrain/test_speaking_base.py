"""The embedded base speaks: three fixed sentences, unseen in training, are understood and end in time. See docs/mini-base.md."""

from pathlib import Path

import pytest
import soundfile

from voicelathe.registry import say
from voicelathe.speech import words

HERE = Path(__file__).parents[2]
BASE = HERE / "data/bases/voxcpm2-mini"
SENTENCES = [
    "If the scarf is huge, keep it above the hotel.",
    "It takes seven minutes to follow the box.",
    "Robert asked the mother to repair the lamp.",
]


@pytest.mark.slow
def test_three_sentences_are_understood_and_end_in_time(tmp_path: Path) -> None:
    rates = []
    for text in SENTENCES:
        said = say.speak_base(text, BASE, tmp_path / "said.wav", HERE, {"seed": 1})
        samples, rate_hz = soundfile.read(said.path, dtype="float32")
        assert rate_hz == 16_000 and said.stopped and said.problem is None
        assert 8 < len(text) / (len(samples) / rate_hz) < 25, "characters a second"
        found = words.errors(text, words.recognise(samples))
        assert found is not None
        rates.append(found.cer)
    assert sum(rates) / len(rates) < 0.3, rates
