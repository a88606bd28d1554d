"""Long texts, second takes and the tag in every file, without a model."""

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voicelathe.data.audio import waveform
from voicelathe.errors import WorkerError
from voicelathe.records import SampleRecord
from voicelathe.registry.speaking import sentences


def record(problem: str | None) -> SampleRecord:
    return SampleRecord(
        "base",
        0,
        None,
        "request",
        "x",
        1,
        {},
        "x.wav",
        "0" * 64,
        1.0,
        -3.0,
        -6.0,
        problem != "runaway",
        problem,
    )


def wav(tmp_path: Path, seconds: float, level: float = 0.5, rate_hz: int = 16000) -> bytes:
    waveform.write_wav(tmp_path / "one.wav", np.full(int(seconds * rate_hz), level, np.float32), rate_hz)
    return (tmp_path / "one.wav").read_bytes()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The lamp is on.", ["The lamp is on."]),
        ("  One. Two! Three?  ", ["One. Two! Three?"]),
        ("First sentence here. Second one is here.", ["First sentence here.", "Second one is here."]),
        ('He said: "Go on." Then he left.', ['He said: "Go on."', "Then he left."]),
        ("It costs 3.50 in all of them.", ["It costs 3.50 in all of", "them."]),
        ("one two three four, five six seven eight", ["one two three four,", "five six seven eight"]),
        ("abcdefghijklmnopqrstuvwxyz0123456789", ["abcdefghijklmnopqrstuvwx", "yz0123456789"]),
        ("你好吗？我很好。", ["你好吗？ 我很好。"]),
    ],
)
def test_a_text_is_cut_at_sentence_ends_and_within_them_only_when_it_must(
    text: str, expected: list[str]
) -> None:
    assert sentences.pieces(text, limit=24) == expected


def test_no_word_is_lost_or_changed_by_cutting() -> None:
    text = " ".join(f"Sentence number {n}, which has a middle, and an end." for n in range(60))
    found = sentences.pieces(text)
    assert " ".join(found) == text and max(map(len, found)) <= sentences.PIECE_CHARS and len(found) > 10


def test_a_useless_take_is_repeated_with_another_seed_a_bounded_number_of_times() -> None:
    asked: list[int] = []

    def speak(_piece: str, seed: int) -> tuple[SampleRecord, bytes]:
        asked.append(seed)
        return record("silent" if len(asked) < 3 else None), b""

    assert sentences.best_take("x", 5, 3, speak)[0].problem is None
    assert asked == [5, 5 + sentences.RETRY_SEED, 5 + 2 * sentences.RETRY_SEED]
    asked.clear()
    with pytest.raises(WorkerError, match=r"2 takes, and the last is silent.*voicelathe rollback"):
        sentences.best_take("x", 5, 2, speak)
    assert len(asked) == 2


def test_a_take_that_only_did_not_end_is_given_out_and_says_so() -> None:
    assert sentences.best_take("x", 5, 2, lambda *_: (record("runaway"), b""))[0].problem == "runaway"


def test_pieces_are_joined_with_pauses_and_every_reader_opens_the_file(tmp_path: Path) -> None:
    about = json.dumps(
        {"version": "3", "consent": {"awb": ["train", "clone"]}, "odd": "é"}, ensure_ascii=False
    )
    joined = sentences.join([wav(tmp_path, 1.0), wav(tmp_path, 0.5, -0.25)], about)
    assert (
        sentences.duration_s(joined) == pytest.approx(1.5 + sentences.PAUSE_S)
        and sentences.rate_hz(joined) == 16000
    )
    samples, rate_hz = soundfile.read(io.BytesIO(joined))
    assert rate_hz == 16000 and samples[8000] == pytest.approx(0.5, abs=1e-4)
    assert not samples[16000 : 16000 + int(sentences.PAUSE_S * 16000)].any() and samples[-1] == pytest.approx(
        -0.25, abs=1e-4
    )
    with soundfile.SoundFile(io.BytesIO(joined)) as file:
        assert json.loads(file.comment) == json.loads(about) and file.software.startswith("voicelathe")
    with wave.open(io.BytesIO(joined)) as file:
        assert file.getnframes() == len(samples)


@pytest.mark.parametrize("about", ["", "x", "xy"])
def test_the_tag_leaves_a_well_formed_file_whatever_its_length(tmp_path: Path, about: str) -> None:
    tagged = sentences.tagged(wav(tmp_path, 0.1), about)
    assert int.from_bytes(tagged[4:8], "little") == len(tagged) - 8 and len(tagged) % 2 == 0
    assert len(soundfile.read(io.BytesIO(tagged))[0]) == 1600
