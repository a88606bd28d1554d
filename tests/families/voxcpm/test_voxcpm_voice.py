"""How long a text may be: up to the last position of the base, and then an error of ours instead of upstream's traceback."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import training
from tests.factories.training import DECODING
from voicelathe import families
from voicelathe.data.audio import waveform
from voicelathe.errors import RequestError
from voicelathe.families.base import Prompt, Spoken
from voicelathe.families.voxcpm import synthesis


@pytest.fixture(scope="module")
def voice() -> Any:
    family = families.find("voxcpm2")
    facts = family.describe(training.BASE, "Apache-2.0", False)
    return family.open_voice(training.BASE, facts, training.target().machine)


def text_of(voice: Any, positions: int) -> str:
    """A text of exactly so many tokens."""
    for words in range(positions, 0, -1):
        text = " ".join(["go"] * words)
        missing = positions - len(voice.core.text_tokenizer(text))
        if missing >= 0:
            text += "." * missing
            assert len(voice.core.text_tokenizer(text)) == positions
            return text
    raise AssertionError(positions)


def speak(voice: Any, text: str, prompt: Prompt | None) -> Spoken:
    if prompt is None:
        return voice.synthesize(text, "en", 1, 60.0, DECODING)
    return voice.synthesize_prompted(text, "en", 1, 60.0, DECODING, prompt)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_text_may_fill_the_base_to_its_last_position_and_no_further(
    voice: Any, tmp_path: Path, seconds: float
) -> None:
    prompt, heard = None, 0
    if seconds:
        reference, rate_hz = tmp_path / "reference.wav", voice.facts.encode_rate_hz
        waveform.write_wav(
            reference, 0.1 * np.sin(np.arange(round(seconds * rate_hz)) / 9).astype(np.float32), rate_hz
        )
        heard = int(np.ceil(seconds * voice.facts.positions_per_s))
        prompt = Prompt("reference", reference, "")
    most = voice.core.config.max_length - synthesis.MARKS - synthesis.SHORTEST - heard
    spoken = speak(voice, text_of(voice, most), prompt)
    assert len(spoken.samples) > 0
    long = text_of(voice, most + 1)
    with pytest.raises(
        RequestError,
        match=rf"takes {most + 1} positions, the reference {heard}, .* allows 512 .*begins \"go go",
    ):
        speak(voice, long, prompt)


def test_sound_is_cut_where_the_positions_end_and_says_so(voice: Any) -> None:
    free = 12
    text = text_of(voice, voice.core.config.max_length - synthesis.MARKS - free)
    spoken = speak(voice, text, None)
    assert len(spoken.samples) <= free / voice.facts.positions_per_s * spoken.rate_hz * 1.01
    assert not spoken.stopped, "random weights do not end by themselves"
