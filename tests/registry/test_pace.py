"""A take that is too short for its text has lost words: repeated, then spoken in halves, then given out with a warning."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from voicelathe import layout, records
from voicelathe.data.audio import waveform
from voicelathe.records import CleanClip, SampleRecord
from voicelathe.registry import gates, served
from voicelathe.registry.speaking import pace, sentences, takes
from voicelathe.tracking import files as local
from voicelathe.tracking.files import Shown

LONG = (
    "When the morning came at last the old captain walked down to the harbour with his dog and a small brown bag, and he told the young "
    "men who were waiting there that nobody would go out to sea before the wind had turned to the south."
)
USUAL = pace.Pace(8.0, 25.0, 120)
Takes = list[tuple[str, int]]


def speaker(tmp_path: Path, rate: Callable[[str, int], float]) -> tuple[sentences.Speak, Takes]:
    """Speaks real silence of the length that `rate` (letters a second, of text and seed) makes of a text."""
    asked: Takes = []

    def speak(text: str, seed: int) -> tuple[SampleRecord, bytes]:
        asked.append((text, seed))
        seconds = pace.letters(text) / rate(text, seed)
        waveform.write_wav(tmp_path / "x.wav", np.full(round(seconds * 8000), 0.5, np.float32), 8000)
        sample = SampleRecord(
            "base", 0, None, "request", text, seed, {}, "x.wav", "0" * 64, seconds, -3.0, -6.0, True, None
        )
        return sample, (tmp_path / "x.wav").read_bytes()

    return speak, asked


def test_a_take_at_a_usual_pace_is_taken_as_it_is(tmp_path: Path) -> None:
    speak, asked = speaker(tmp_path, lambda *_: 15.0)
    sample, audio = takes.take(LONG, 5, 3, speak, takes.TakeChecks(USUAL))
    assert sample.problem is None and asked == [(LONG, 5)] and audio == speak(LONG, 5)[1]


@pytest.mark.parametrize("rate", [103.0, 2.0])
def test_a_take_at_an_odd_pace_is_repeated_with_another_seed(tmp_path: Path, rate: float) -> None:
    speak, asked = speaker(tmp_path, lambda _text, seed: rate if seed == 5 else 15.0)
    assert takes.take(LONG, 5, 3, speak, takes.TakeChecks(USUAL))[0].problem is None
    assert asked == [(LONG, 5), (LONG, 5 + sentences.RETRY_SEED)]


def test_a_text_that_never_comes_out_right_is_spoken_in_smaller_pieces(tmp_path: Path) -> None:
    speak, asked = speaker(tmp_path, lambda text, _seed: 42.0 if len(text) > 150 else 15.0)
    sample, audio = takes.take(LONG, 5, 2, speak, takes.TakeChecks(USUAL))
    halves = [text for text, _seed in asked[2:]]
    assert (
        [text for text, _seed in asked[:2]] == [LONG, LONG] and " ".join(halves) == LONG and len(halves) == 2
    )
    assert sample.problem is None and sample.text == LONG
    spoken = sum(pace.letters(half) / 15.0 for half in halves)
    assert sentences.duration_s(audio) == pytest.approx(spoken + sentences.PAUSE_S, abs=0.01)
    assert sample.duration_s == sentences.duration_s(audio)


@pytest.mark.parametrize(("rate", "fault"), [(103.0, pace.TOO_FAST), (2.0, pace.TOO_SLOW)])
def test_what_stays_wrong_is_given_out_with_its_fault_after_a_bounded_number_of_takes(
    tmp_path: Path, rate: float, fault: str
) -> None:
    speak, asked = speaker(tmp_path, lambda *_: rate)
    assert takes.take(LONG, 5, 2, speak, takes.TakeChecks(USUAL))[0].problem == fault
    assert len(asked) == 2 + 2 * 2


def test_short_texts_and_numbers_are_not_taken_for_odd(tmp_path: Path) -> None:
    assert USUAL.fault("Yes.", 0.1) is None and USUAL.fault("Yes.", 4.0) is None
    number = "It is 1234567890 and 1234567890."
    assert (
        USUAL.fault(number, pace.letters(number) / 15.0) is None and pace.letters(number) == len(number) + 60
    )
    speak, asked = speaker(tmp_path, lambda *_: 103.0)
    assert (
        takes.take(LONG, 5, 2, speak, takes.TakeChecks(pace.Pace()))[0].problem is None and len(asked) == 1
    ), "an earlier version"


def test_the_pace_is_that_of_the_training_clips_and_of_what_was_judged(
    finished_project: Path, tmp_path: Path
) -> None:
    """No line that was judged is objected to, and no piece is longer than the longest text that was learned."""
    root = finished_project
    config = served.configuration(gates.examine("mini-lora", root, gates.load_params(root), None))
    found = pace.of_config(json.loads(json.dumps(config)))
    samples = records.read(root / layout.run("mini-lora", "samples.jsonl"), SampleRecord)
    clips = records.read(root / layout.split("train"), CleanClip)
    assert all(found.fault(one.text, one.duration_s) is None for one in samples if one.problem is None)
    longest = max(len(one.text) for one in [*samples, *clips])
    assert found.piece_chars == max(longest, pace.LEAST_PIECE) < sentences.PIECE_CHARS


def test_of_a_language_that_nothing_was_learned_from_no_pace_is_usual(tmp_path: Path) -> None:
    english = pace.Pace(8.0, 25.0, 120, ("en",))
    assert english.spoken_in("en-GB") == english and pace.Pace(8.0, 25.0).spoken_in("zh").slowest == 8.0
    chinese = english.spoken_in("zh")
    assert (chinese.slowest, chinese.fastest, chinese.piece_chars) == (None, None, 120)
    speak, asked = speaker(tmp_path, lambda *_: 4.3)
    assert takes.take(LONG, 5, 3, speak, takes.TakeChecks(chinese))[0].problem is None and len(asked) == 1


def test_the_limits_are_half_again_beyond_the_training_clips_and_hold_every_judged_line(
    finished_project: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(finished_project, tmp_path / "project"))
    (first,) = records.read(root / layout.split("train"), CleanClip)[:1]
    text = "A sentence of the training text, forty-eight long."
    spoken = [
        replace(first, clip_id=str(n), text=text, duration_s=len(text) / (12.0 + n * 0.06))
        for n in range(101)
    ]
    odd = [replace(first, clip_id="odd", text=text, duration_s=0.1)]
    records.write(root / layout.split("train"), [*spoken, *odd])
    files = local.read("mini-lora", root)
    shown = next(one for one in files.candidates if one.candidate.step == 40)
    found = pace.of_recipe(files, paced(shown, 20.0))
    assert found.fastest == pytest.approx(18.0 * pace.MARGIN, abs=0.1), (
        "one clip of a hundred decides nothing"
    )
    assert (
        found.slowest == pytest.approx(12.0 / pace.MARGIN, abs=0.1) and found.piece_chars == pace.LEAST_PIECE
    )
    assert found.languages == (first.language.split("-")[0],)
    judged = pace.of_recipe(files, paced(shown, 40.0))
    assert judged.fastest == pytest.approx(40.0, abs=0.01) and judged.slowest == found.slowest


def paced(shown: Shown, rate: float) -> Shown:
    """A candidate whose samples are so many letters a second."""
    samples = [replace(one, duration_s=pace.letters(one.text) / rate) for one in shown.samples]
    return replace(shown, samples=samples)
