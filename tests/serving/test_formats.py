"""Formats, the first sentence, and keys, without a server."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voicelathe.errors import ParamsError
from voicelathe.registry.speaking import sentences
from voicelathe.serving import formats, keys


def sound(rate_hz: int, seconds: float = 1.0) -> formats.Sound:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate_hz)) / rate_hz)
    return formats.Sound((wave * 32767).astype("<i2").tobytes(), rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("form", ["wav", "mp3", "opus", "flac"])
@pytest.mark.parametrize("num", [1, 3])
def test_what_is_sent_piece_by_piece_is_one_sound_with_pauses_and_a_tag(
    form: str, rate_hz: int, num: int
) -> None:
    parts = list(formats.encoded([sound(rate_hz)] * num, num, form, '{"version": "1"}'))
    whole = io.BytesIO(b"".join(parts))
    samples, found_hz = soundfile.read(whole)
    expected_s = num + sentences.PAUSE_S * (num - 1)
    assert len(samples) / found_hz == pytest.approx(expected_s, abs=0.15 if form == "mp3" else 0.01)
    loud = np.abs(samples[found_hz // 4 : found_hz // 2]).max()
    assert loud == pytest.approx(0.3, abs=0.05)
    whole.seek(0)
    assert soundfile.SoundFile(whole).comment == '{"version": "1"}'
    if form != "flac":
        assert len([part for part in parts if part]) >= num, "each piece is sent as soon as it is there"


def test_pcm_is_the_frames_alone() -> None:
    one = sound(16_000)
    parts = list(formats.encoded([one, one], 2, "pcm", "x"))
    assert parts[0] == one.frames and parts[1] == b"\0\0" * 4000 + one.frames


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The lamp is on the long table. Two. Three.", ["The lamp is on the long table.", "Two. Three."]),
        ("No. Go away from here, all of you! Three.", ["No. Go away from here, all of you!", "Three."]),
        ("Short.", ["Short."]),
        ("a" * 50, ["a" * 40, "a" * 10]),
        ("  ", []),
    ],
)
def test_the_first_sentence_can_be_heard_while_the_rest_is_made(text: str, expected: list[str]) -> None:
    assert sentences.first_soon(text, 40) == expected


def test_keys_are_private_long_and_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    for content, message in (
        ("", "holds no key"),
        ("anna short", "at least 20 characters"),
        ("one-word-that-is-very-long", "expected NAME KEY"),
    ):
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(ParamsError, match=message):
            keys.read(path)
    path.write_text("# clients\nanna abcdefghijklmnopqrstuvwx\n\nmara 0123456789012345678901234\n")
    known = keys.read(path)
    assert (
        known.name_of("abcdefghijklmnopqrstuvwx") == "anna"
        and known.name_of("0123456789012345678901234") == "mara"
    )
    assert known.name_of("abcdefghijklmnopqrstuvw") is None and known.name_of("\udcff") is None
    assert "abcdefghijkl" not in repr(known)
    path.chmod(0o644)
    with pytest.raises(ParamsError, match="others on this machine may read it"):
        keys.read(path)
    with pytest.raises(ParamsError, match="there is no such file"):
        keys.read(tmp_path / "gone")
