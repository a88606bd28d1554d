"""Metrics that are asked again and again: loaded once, limits from recordings measured once, and whatever dies costs one question."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as made
from tests.factories import recognisers
from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.audio.waveform import mono, read_clip, resample
from voicelathe.errors import SelectionError
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.scoring import judging
from voicelathe.evaluate.scoring.questioning import MAX_DEATHS, MetricAnswer, Panel, Told
from voicelathe.records import ClipRef, MetricRun, RecogniserRef

TWO = schema.Engine("processes", 2)
ROOT = Path(__file__).parents[2]
TEXT = "I think the horse should stay across the attic."
PLUGIN = """
import os, time
from voicelathe.evaluate.metrics.recogniser import HeardWords
from voicelathe.records import Figure
class Once:
    name, languages, needs_real = "once", None, False
    figures = (Figure("pid", "1", None, None, "of the process"), Figure("asked", "times", None, "often", "measure was called"))
    asked = 0
    def missing(self): return None
    def measure(self, clips, real):
        self.asked += 1
        return [{"pid": float(os.getpid()), "asked": float(self.asked)} for clip in clips]
    def limits(self, figure, real): return None, max(real)
class Mortal(HeardWords):
    name = "mortal"
    def measure(self, clips, real):
        for clip in clips:
            if clip.text == "die": os._exit(11)
            if clip.text == "hang": time.sleep(600)
        return super().measure(clips, real)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third party's metrics; the project is the working directory."""
    site = tmp_path / "site"
    (site / "odd-1.0.dist-info").mkdir(parents=True)
    (site / "odd.py").write_text(PLUGIN)
    (site / "odd-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    points = "".join(f"{name} = odd:{name.capitalize()}\n" for name in ("once", "mortal"))
    (site / "odd-1.0.dist-info/entry_points.txt").write_text(f"[{found.GROUP}]\n{points}")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, sys.path)]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def clip(place: Path, name: str, samples: np.ndarray, text: str, language: str = "en") -> ClipRef:
    path = made.write(place / f"{name}.wav", samples)
    return ClipRef(".", path.name, None, None, digest.of_file(path), text, language)


def said(
    place: Path, name: str = "said", text: str = TEXT, share: float = 1.0, language: str = "en"
) -> ClipRef:
    samples, rate_hz = read_clip(ROOT / "data/demo/audio", "rec_23.opus", 7.06, 10.05, None)
    samples = resample(mono(samples), rate_hz, 16_000)
    return clip(place, name, samples[: round(share * len(samples))], text, language)


def tone(place: Path, name: str = "tone", text: str = "x") -> ClipRef:
    return clip(place, name, made.speech(1.0), text)


def test_a_panel_keeps_its_processes_and_measures_the_recordings_once(place: Path) -> None:
    real, one = [tone(place, "a"), tone(place, "b")], tone(place)
    with Panel(["once"], 60.0) as panel:
        first, second = panel.ask(real, [one]), panel.ask(real, [one, one])
        other = panel.ask(real[:1], [one])
    values = [told.answer.values for (told,) in (first, second, other) if told.answer]
    assert [[row["asked"] for row in rows] for rows in values] == [[2.0], [3.0, 3.0], [5.0]]
    assert len({row["pid"] for rows in values for row in rows}) == 1
    assert first[0].answer and second[0].answer and first[0].answer.limits == second[0].answer.limits
    pid = int(values[0][0]["pid"] or 0)
    assert not Path(f"/proc/{pid}").exists(), "it ends with the panel"


def test_the_process_of_a_metric_outlives_no_parent(place: Path) -> None:
    script = (
        "import os, sys, time\nfrom voicelathe.evaluate.scoring.questioning import Panel\n"
        "panel = Panel(['once'], 60.0)\ntold = panel.ask([], [])\n"
        "print(panel._processes['once']._process._process.pid, flush=True)\nos._exit(9)\n"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid, until = int(done.stdout), time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists(), done.stderr


@pytest.mark.slow
def test_a_recogniser_that_dies_loses_one_question_and_is_started_again(place: Path) -> None:
    ref, good, bad = recognisers.reference(), said(place), tone(place, text="die")
    with Panel(["mortal"], 120.0, ref) as panel:
        parts = [(len(asked), panel.ask([], asked)) for asked in ([good], [good, bad], [good])]
    assert [told.run.status for _, (told,) in parts] == ["measured", "crashed", "measured"]
    (whole,) = judging.joined(parts)
    assert whole.run == MetricRun(
        "mortal", "measured", "no value for 2 of 4 samples: crashed: exit code 11: it printed nothing", 2
    )
    assert whole.answer is not None
    assert [row.get("cer") for row in whole.answer.values] == [
        whole.answer.values[0]["cer"],
        None,
        None,
        whole.answer.values[0]["cer"],
    ]
    assert whole.answer.values[1] == {}, "never a zero"
    assert whole.answer.said[1] is None and whole.answer.said[0] == whole.answer.said[3]


@pytest.mark.slow
def test_one_that_dies_every_time_is_given_up_and_one_that_hangs_at_once(place: Path) -> None:
    ref, bad, hanging = recognisers.reference(), tone(place, text="die"), tone(place, "t", text="hang")
    with Panel(["mortal"], 120.0, ref) as panel:
        runs = [panel.ask([], [bad])[0].run for _ in range(MAX_DEATHS + 1)]
    assert [run.status for run in runs] == ["crashed"] * (MAX_DEATHS + 1) and "not asked again" in runs[
        -1
    ].detail
    with Panel(["mortal"], 15.0, ref) as panel:
        first, second = panel.ask([], [hanging])[0].run, panel.ask([], [said(place)])[0].run
    assert (first.status, first.lost) == ("timed_out", 1) and "15 s" in first.detail
    assert (second.status, second.lost) == ("timed_out", 1) and "not asked again" in second.detail
    (whole,) = judging.joined([(1, [Told(first, None)]), (1, [Told(second, None)])])
    assert whole.answer is None and whole.run.lost == 2


def test_words_that_are_there_that_are_missing_and_that_nobody_said(place: Path) -> None:
    silent, empty = (
        clip(place, "silent", made.silence(2.0), TEXT),
        clip(place, "empty", made.silence(0.0), TEXT),
    )
    clips = [said(place), said(place, "cut", share=0.6), silent, empty, said(place, "mute", text="...")]
    with Panel(["recogniser"], 120.0, recognisers.reference()) as panel:
        ((told,), (again,)) = panel.ask([], clips), panel.ask([], clips[::-1])
    assert told.answer and again.answer
    whole, cut, nothing, none, wordless = told.answer.values
    assert whole["cer"] is not None and whole["cer"] < 0.2 and whole["truncated"] == 0.0
    assert cut["truncated"] is not None and cut["truncated"] >= 2.0
    assert (nothing["cer"], nothing["truncated"]) == (none["cer"], none["truncated"]) == (1.0, 9.0)
    assert set(wordless.values()) == {None}, "a line without words cannot be judged"
    assert told.answer.said[-1] is None and "horse" not in (told.answer.said[2] or "")
    assert again.answer.values[::-1] == told.answer.values and again.answer.said[::-1] == told.answer.said


@pytest.mark.slow
def test_no_metric_dies_of_a_file_without_a_sample(place: Path) -> None:
    real = [said(place, f"r{number}") for number in range(2)]
    clips = [said(place), clip(place, "empty", made.silence(0.0), TEXT)]
    with Panel(list(found.BUILT_IN), 120.0, recognisers.reference(), TWO) as panel:
        told = panel.ask(real, clips)
    assert [one.run.status for one in told] == ["measured"] * len(found.BUILT_IN), [one.run for one in told]


def test_the_limits_come_from_the_recordings(place: Path) -> None:
    real = [said(place, f"r{number}") for number in range(3)]
    with Panel(["recogniser"], 120.0, recognisers.reference()) as panel:
        (told,) = panel.ask(real, [said(place, "cut", share=0.6)])
    assert told.answer is not None
    (low, high), usual = told.answer.limits["cer"], told.answer.real[0]["cer"]
    assert low is None and high == pytest.approx((usual or 0.0) + 0.15)
    assert told.answer.limits["truncated"] == (None, 0.5)
    assert "truncated" in judging.vetoes(told.answer, told.answer.values[0])


def test_a_language_that_the_model_does_not_know_is_not_judged(place: Path) -> None:
    italian = said(place, "it", "Penso che il cavallo resti.", language="it-IT")
    with Panel(["recogniser"], 120.0, recognisers.reference()) as panel:
        (alone,) = panel.ask([italian], [italian])
        (mixed,) = panel.ask([], [italian, said(place)])
    assert (alone.run.status, alone.answer, alone.run.lost) == ("not_applicable", None, 0)
    assert "judges en only" in alone.run.detail
    assert (
        mixed.answer is not None
        and mixed.answer.values[0] == {}
        and mixed.answer.values[1]["cer"] is not None
    )
    (whole,) = judging.joined([(1, [alone]), (2, [mixed])])
    assert whole.run == MetricRun("recogniser", "measured", "", 0) and whole.answer is not None
    assert [bool(row) for row in whole.answer.values] == [False, False, True]


def test_without_a_recogniser_pocketsphinx_stands_in_and_says_how_weak_it_is(place: Path) -> None:
    with Panel(["recogniser"], 120.0, None) as panel:
        assert panel.metrics == ["recogniser", "words"]
        ears, words = panel.ask([], [said(place)])
    assert ears.run.status == "not_applicable" and "voicelathe recogniser add" in ears.run.detail
    assert words.run.status == "measured" and "10 to 20 %" in words.run.detail
    assert words.answer is not None and set(words.answer.values[0]) == {"rough_cer", "rough_wer", "aligned"}


def test_what_a_metric_says_of_itself_stays_where_it_is_asked_in_several_questions() -> None:
    weak = Told(
        MetricRun("words", "measured", "PocketSphinx loses 10 to 20 %", 0),
        MetricAnswer("words", [], {}, [], [{}], []),
    )
    (whole,) = judging.joined([(1, [weak]), (1, [weak])])
    assert whole.run == weak.run


def test_both_may_be_asked_without_a_clash(place: Path) -> None:
    with Panel(["recogniser", "words"], 120.0, recognisers.reference(), TWO) as panel:
        ears, words = panel.ask([], [said(place)])
    assert ears.answer and words.answer
    assert not set(ears.answer.values[0]) & set(words.answer.values[0])


def test_a_directory_that_changed_after_the_start_is_not_listened_to(place: Path) -> None:
    folder = recognisers.copy(place / "whisper")
    ref = RecogniserRef(str(folder), recognisers.reference().digest, "cpu", ["en"])
    (folder / "config.json").write_text("{}")
    with Panel(["recogniser"], 120.0, ref) as panel:
        (told,) = panel.ask([], [said(place)])
    assert (told.run.status, told.answer) == ("not_applicable", None)
    assert "is not the recogniser that was pinned" in told.run.detail


@pytest.mark.parametrize("device", ["cuda"])
def test_a_device_that_is_not_there_is_no_verdict_on_a_voice(place: Path, device: str) -> None:
    pytest.importorskip("torch")
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without a card")
    with Panel(["recogniser"], 120.0, replace(recognisers.reference(), device=device)) as panel:
        (told,) = panel.ask([], [said(place)])
    assert told.run.status == "crashed" and told.answer is None and told.run.lost == 1
    assert "on cuda as float16" in told.run.detail


def test_a_metric_that_nobody_offers_is_refused_before_anything_starts(place: Path) -> None:
    with pytest.raises(SelectionError, match="'utmos'"):
        Panel(["utmos"], 1.0)
