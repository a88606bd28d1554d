"""Metrics in processes of their own: what they find, how limits come from real clips, and that one broken plug-in harms nobody."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as made
from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.errors import SelectionError
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.metrics.base import Clip
from voicelathe.evaluate.metrics.waveform import Waveform
from voicelathe.evaluate.scoring import judging
from voicelathe.records import Candidate, CleanClip, ClipRef, SampleRecord

ROOT = Path(__file__).parents[2]
KNOWN = make.candidates(10, 20)
PLUGIN = """
import os, time
from voicelathe.records import Figure
class Fine:
    name, languages, needs_real = "fine", None, False
    figures = (Figure("length_s", "s", None, "long", "seconds"),)
    def missing(self): return None
    def measure(self, clips, real): print("chatter"); return [{"length_s": clip.duration_s} for clip in clips]
    def limits(self, figure, real): return None, 2 * max(real)
class Crash(Fine):
    def measure(self, clips, real): raise RuntimeError("model file is damaged")
class Killed(Fine):
    def measure(self, clips, real): os._exit(9)
class Hang(Fine):
    def measure(self, clips, real): time.sleep(600)
class Short(Fine):
    def measure(self, clips, real): return []
class Nan(Fine):
    def measure(self, clips, real): return [{"length_s": float("nan")} for clip in clips]
class Words(Fine):
    def measure(self, clips, real): return [{"length_s": "long"} for clip in clips]
class Stranger(Fine):
    def measure(self, clips, real): return [{"other": 1.0} for clip in clips]
class Limits(Fine):
    def limits(self, figure, real): return "low", None
class Absent(Fine):
    def missing(self): return "its model is not here. Put it there."
class German(Fine):
    languages = frozenset({"de"})
class Lonely(Fine):
    needs_real = True
class Unitless(Fine):
    figures = (Figure("length_s", None, None, "long", "seconds"),)
class Namesake(Fine):
    figures = (Figure("length_s", "ms", None, "endless", "milliseconds"),)
    def measure(self, clips, real): return [{"length_s": 1000 * clip.duration_s} for clip in clips]
"""
KINDS = [
    "fine",
    "crash",
    "killed",
    "hang",
    "short",
    "nan",
    "words2",
    "stranger",
    "limits",
    "absent",
    "german",
    "lonely",
    "unitless",
    "namesake",
]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's installed distribution with one metric of each kind; the project is the working directory."""
    site = tmp_path / "site"
    (site / "odd_metrics-1.0.dist-info").mkdir(parents=True)
    (site / "odd_metrics.py").write_text(PLUGIN)
    (site / "odd_metrics-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: odd-metrics\nVersion: 1.0\n"
    )
    points = "".join(f"{kind} = odd_metrics:{kind.rstrip('2').capitalize()}\n" for kind in KINDS)
    (site / "odd_metrics-1.0.dist-info/entry_points.txt").write_text(f"[{found.GROUP}]\n{points}")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, sys.path)]))
    monkeypatch.chdir(tmp_path)


def real(root: Path, number: int = 3) -> list[ClipRef]:
    refs = []
    for place in range(number):
        path = made.write(root / "real" / f"{place}.wav", made.speech(1.0 + 0.1 * place, place))
        refs.append(ClipRef("real", path.name, None, None, digest.of_file(path), "the lamp is on", "en"))
    return refs


def judge(
    root: Path,
    metrics: list[str],
    timeout_s: float = 60.0,
    num_real: int = 3,
    workers: int = 1,
    recogniser: records.RecogniserRef | None = None,
) -> records.SpeechMeasures:
    spoken = make.samples(KNOWN, root=root)
    languages = dict.fromkeys(make.LINES, "en")
    clips = real(root, num_real)
    engine = schema.Engine("processes", workers)
    return judging.judge(make.run(), spoken, languages, clips, metrics, timeout_s, {}, engine, recogniser)


def test_a_plug_in_of_a_third_party_measures_every_sample_and_sets_its_limit_from_real_clips(
    plugins: None, tmp_path: Path
) -> None:
    measured = judge(tmp_path, ["fine"])
    (figure,) = measured.figures
    assert (figure.real_median, figure.real_high, figure.low, figure.high) == (1.1, 1.2, None, 2.4)
    assert [one.values["length_s"] for one in measured.samples] == [0.5] * 6 and measured.num_real == 3
    assert not any(one.vetoes for one in measured.samples)


@pytest.mark.parametrize(
    "kind, status, said",
    [
        ("crash", "crashed", "model file is damaged"),
        ("killed", "crashed", "exit code 9"),
        ("short", "crashed", "0 answers for 6 clips"),
        ("nan", "crashed", "nan"),
        ("words2", "nonsense", "is not a finite number"),
        ("stranger", "nonsense", "did not announce"),
        ("limits", "nonsense", "limits of length_s"),
        ("unitless", "nonsense", "unit"),
        ("absent", "not_applicable", "its model is not here"),
        ("german", "not_applicable", "judges de only"),
    ],
)
def test_a_broken_plug_in_is_recorded(
    plugins: None, tmp_path: Path, kind: str, status: str, said: str
) -> None:
    measured = judge(tmp_path, [kind])
    assert measured.metrics[0].status == status and said in measured.metrics[0].detail
    assert measured.figures == [] and all(one.values == {} and one.vetoes == {} for one in measured.samples)


def test_one_that_hangs_and_one_that_crashes_leave_the_others_intact(plugins: None, tmp_path: Path) -> None:
    measured = judge(tmp_path, ["crash", "hang", "fine", "lonely"], timeout_s=4.0, num_real=1)
    assert [one.status for one in measured.metrics] == ["crashed", "timed_out", "measured", "not_applicable"]
    assert "4 s" in measured.metrics[1].detail and "two held-out recordings" in measured.metrics[3].detail
    assert all("length_s" in one.values for one in measured.samples)
    assert measured.figures[0].high is None, "one real clip sets no limit"


def test_a_figure_that_another_metric_gives_already_does_not_overwrite_it(
    plugins: None, tmp_path: Path
) -> None:
    measured = judge(tmp_path, ["fine", "namesake"])
    assert [(one.metric, one.status) for one in measured.metrics] == [
        ("fine", "measured"),
        ("namesake", "nonsense"),
    ]
    assert "'length_s' is one of fine, too" in measured.metrics[1].detail
    assert [one.values["length_s"] for one in measured.samples] == [0.5] * 6
    assert [one.metric for one in measured.figures] == ["fine"]


def test_metrics_at_the_same_time_say_what_they_say_one_after_the_other(
    plugins: None, tmp_path: Path
) -> None:
    one_by_one = judge(tmp_path, ["fine", "crash", "lonely"])
    assert judge(tmp_path, ["fine", "crash", "lonely"], workers=3) == one_by_one


def test_a_metric_that_is_not_installed_is_an_error_that_lists_those_that_are(
    plugins: None, tmp_path: Path
) -> None:
    with pytest.raises(
        SelectionError, match=r"'utmos', which no installed package offers\. There are: .*words"
    ):
        judge(tmp_path, ["utmos"])


def test_the_stage_calibrates_on_the_speaker_with_most_validation_clips(
    plugins: None, tmp_path: Path
) -> None:
    rows = []
    for place in range(5):
        path = made.write(tmp_path / "voices" / f"{place}.wav", made.speech(1.0, place))
        speaker = "anna" if place < 3 else "bert"
        sha256 = digest.of_file(path)
        rows.append(
            CleanClip(
                f"c{place}", path.name, 0.0, 0.9, "x", f"r{place}", speaker, "en", sha256, sha256, 0.9, None
            )
        )
    records.write(tmp_path / "data/split/validation.jsonl", rows)
    real = judging.real_clips("voices", make.run(), set(make.LINES.values()))
    spoken = make.samples(KNOWN, root=tmp_path)
    languages = dict.fromkeys(make.LINES, "en")
    measured = judging.judge(make.run(), spoken, languages, real, ["fine"], 60.0, {})
    assert measured.num_real == 3 and measured.figures[0].real_high == 0.9
    assert len(measured.samples) == 6


def test_a_sample_outside_the_limits_is_vetoed_with_the_number_and_the_limit() -> None:
    figure = records.Figure("cer", "share", "lower", "garbled", "errors")
    answer = judging.MetricAnswer("words", [figure], {"cer": (None, 0.4)}, [], [], [])
    assert judging.vetoes(answer, {"cer": 0.81}) == {"garbled": "cer 0.81, at most 0.4"}
    assert judging.vetoes(answer, {"cer": 0.4}) == {} == judging.vetoes(answer, {"cer": None})
    assert judging.outside(0.1, 0.5, None) == "0.1, at least 0.5"


def test_calibration_clips_are_spread_over_recordings_and_do_not_depend_on_the_order() -> None:
    clips = [
        CleanClip(
            f"c{number:02d}",
            f"r{number % 4}.wav",
            0.0,
            1.0,
            f"text {number}",
            f"r{number % 4}",
            "anna",
            "en",
            "a" * 64,
            "b" * 64,
            1.0,
            None,
        )
        for number in range(60)
    ]
    chosen = judging.held_out(clips, "audio", 7)
    assert len(chosen) == judging.MAX_REAL_CLIPS
    assert {one.audio for one in chosen[:4]} == {f"r{number}.wav" for number in range(4)}
    assert judging.held_out(clips[::-1], "audio", 7) == chosen
    assert judging.held_out(clips, "audio", 8) != chosen
    (first, *_) = judging.held_out(clips, "audio", 7, {"text 59", "a text that no clip has"})
    assert first.text == "text 59", "what candidates speak is compared with the speaker's own recording of it"


@pytest.mark.parametrize(
    "change, figure",
    [
        (lambda x: np.clip(12 * x, -0.5, 0.5), "clipped_share"),
        (lambda x: x + made.noise(2.0, level=0.02), "floor_db"),
        (lambda x: np.repeat(x[::4], 4)[: len(x)] * 0 + np.convolve(x, np.ones(24) / 24, "same"), "highs_db"),
        (lambda x: np.interp(np.arange(0, len(x), 1.3), np.arange(len(x)), x), "f0_median_hz"),
    ],
)
def test_each_figure_of_the_waveform_moves_past_its_limit_with_its_damage(
    change: object, figure: str
) -> None:
    metric = Waveform()
    good = [Clip(made.speech(2.0, seed), "the lamp is on", "en") for seed in (0, 0, 9, 9)]
    rows = metric.measure(good, [])
    low, high = metric.limits(figure, [row[figure] for row in rows])  # type: ignore[misc]
    assert not any(judging.outside(row[figure], low, high) for row in rows)
    damaged = Clip(np.asarray(change(good[0].samples), np.float32), "the lamp is on", "en")  # type: ignore[operator]
    assert judging.outside(metric.measure([damaged], [])[0][figure], low, high)


def test_silence_and_next_to_nothing_have_no_figures_instead_of_wrong_ones() -> None:
    for samples in (made.silence(1.0), made.silence(0.0), made.tone(0.01)):
        (row,) = Waveform().measure([Clip(samples, "x", "en")], [])
        assert set(row.values()) == {None}


def test_failed_samples_are_not_given_to_metrics(plugins: None, tmp_path: Path) -> None:
    spoken = make.samples(KNOWN, problems={("base", "short"): "empty"}, root=tmp_path)
    measured = judging.judge(make.run(), spoken, dict.fromkeys(make.LINES, "en"), [], ["fine"], 60.0, {})
    assert len(measured.samples) == 5 and measured.num_real == 0


def test_a_torn_sample_is_the_metrics_problem_and_not_the_stages(plugins: None, tmp_path: Path) -> None:
    spoken = make.samples([Candidate(0, None)], root=tmp_path)
    torn: list[SampleRecord] = [replace(one, sha256="0" * 64) for one in spoken]
    measured = judging.judge(make.run(), torn, dict.fromkeys(make.LINES, "en"), [], ["fine"], 60.0, {})
    assert measured.metrics[0].status == "crashed"


def test_accent_is_measured_in_its_own_process_and_without_a_line_that_the_speaker_said_it_is_not_applicable(
    plugins: None, tmp_path: Path
) -> None:
    clips = real(tmp_path)  # all of them say one of the lines

    def asked(clips: list[ClipRef]) -> records.SpeechMeasures:
        spoken = make.samples(KNOWN, root=tmp_path)
        languages = dict.fromkeys(make.LINES, "en")
        return judging.judge(make.run(), spoken, languages, clips, ["accent"], 60.0, {})

    (run,) = asked([replace(one, text="Another sentence.") for one in clips]).metrics
    assert run.status == "not_applicable" and "the pack in listen.lines needs held-out lines" in run.detail
    assert asked(clips).metrics[0].status == "measured"
