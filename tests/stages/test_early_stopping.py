"""When does a run with early stopping end? What counts as better, which lines are spoken, and what is refused before the hours are spent."""

import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import training
from voicelathe import layout, records
from voicelathe.config import checks, params, schema
from voicelathe.errors import MetricUnavailable, ParamsError
from voicelathe.records import EarlyCheck
from voicelathe.runs import early_lines, early_stopping
from voicelathe.stages import preflight
from voicelathe.stages.early_stopping import checking, improvement

ROOT = Path(__file__).parents[2]
EARLY = schema.EarlyStopping(patience=2, lines=4)
FLAT = dict.fromkeys("abcdefgh", 0.5)


def checked(losses: list[float], gains: list[float] | None = None, spread: float = 0.0) -> list[EarlyCheck]:
    """Checkpoints of these losses; `gains`: what every line's words x likeness is above 0.5, `spread` up and down by turns."""
    found: list[EarlyCheck] = []
    for step, (loss, gain) in enumerate(zip(losses, gains or [0.0] * len(losses), strict=True), 1):
        lines = {
            name: value + gain + (spread if place % 2 else -spread) * (step - 1)
            for place, (name, value) in enumerate(FLAT.items())
        }
        found.append(improvement.check(found, step, "0" * 64, "1" * 64, loss, lines))
    return found


def test_the_first_checkpoint_is_the_mark_and_equal_ones_after_it_are_no_improvement() -> None:
    found = checked([1.0, 1.0, 1.0])
    assert [one.improved for one in found] == [["loss", "speech"], [], []]
    assert [(one.since, one.stale) for one in found] == [(1, 0), (1, 1), (1, 2)]


def test_either_a_lower_loss_or_better_speech_begins_the_count_anew() -> None:
    by_loss = checked([1.0, 1.1, 0.9, 0.95])
    assert [one.stale for one in by_loss] == [0, 1, 0, 1] and by_loss[-1].since == 3
    by_speech = checked([1.0, 1.1, 1.2, 1.3], [0.0, 0.0, 0.2, 0.2])
    assert [one.stale for one in by_speech] == [0, 1, 0, 1] and by_speech[2].improved == ["speech"]


def test_the_last_digits_of_a_loss_are_no_improvement_but_small_gains_add_up() -> None:
    assert [one.stale for one in checked([1.0, 1.0 - 5e-9, 1.0 - 9e-9])] == [0, 1, 2]
    creeping = [1.0 - 6e-5 * step for step in range(5)]
    assert [one.stale for one in checked(creeping)] == [0, 1, 0, 1, 0]


def test_one_lucky_line_is_no_better_speech_and_small_gains_of_all_lines_add_up() -> None:
    lucky = improvement.check(checked([1.0]), 2, "0" * 64, "1" * 64, 1.0, {**FLAT, "a": 1.0})
    assert lucky.improved == [], "0.5 of one line in eight is 0.06 on average, and no test believes it"
    assert [one.stale for one in checked([1.0] * 4, [0.0, 0.03, 0.06, 0.09])] == [0, 1, 0, 1]


def test_worse_speech_is_never_an_improvement_whatever_its_spread() -> None:
    assert [one.stale for one in checked([1.0] * 3, [0.0, -0.2, -0.4], spread=0.1)] == [0, 1, 2]


def test_where_nothing_changes_at_most_one_checkpoint_in_ten_is_called_better() -> None:
    """Speech that scatters as much as the floor assumes, drawn 2,000 times."""
    draw, better = random.Random(7), 0
    for _ in range(2000):
        noisy = {name: value + draw.gauss(0.0, 0.1) for name, value in FLAT.items()}
        found = improvement.check(checked([1.0]), 2, "0" * 64, "1" * 64, 1.0, noisy)
        better += improvement.SPEECH in found.improved
    assert 0 < better <= 220


def settings(early: schema.EarlyStopping | None, **changed: object) -> schema.Params:
    known = params.load(ROOT / "params.yaml")
    one = known.recipes["mini-lora"]
    train = replace(one.train, steps=60, checkpoint_every=10, early_stopping=early)
    return replace(known, recipes={"mini-lora": replace(one, train=train)}, **changed)  # type: ignore[arg-type]


def test_a_run_that_could_never_stop_early_is_refused_with_the_checkpoints_that_it_takes() -> None:
    assert not list(checks.contradictions(settings(replace(EARLY, patience=3))))
    (told,) = checks.contradictions(settings(replace(EARLY, patience=4)))
    assert "recipes.mini-lora.train.early_stopping.patience = 4" in told
    assert "a run of 6 checkpoints" in told and "takes 7" in told and "early_stopping: null" in told


def test_several_machines_are_refused_by_name() -> None:
    nodes = schema.Nodes(2, None, 60.0)
    machine = schema.Machine("cpu", 1, 2)
    clips = {"clips_per_pass": 4}
    known = settings(EARLY, nodes=nodes, machine=machine)
    one = known.recipes["mini-lora"]
    known = replace(known, recipes={"mini-lora": replace(one, train=replace(one.train, **clips))})
    (told,) = checks.contradictions(known)
    assert told.startswith(
        "recipes.mini-lora.train.early_stopping: only on one machine; set nodes.count (2) to 1"
    )


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[records.CleanClip]:
    monkeypatch.chdir(tmp_path)
    clips = [replace(training.clip(n, "validation"), text=f"Sentence number {n}.") for n in range(9)]
    clips[7] = replace(clips[7], duration_s=16.0)
    clips[8] = replace(clips[8], text=clips[0].text)
    records.write(layout.split("validation"), clips)
    return clips


def test_lines_are_texts_of_short_validation_clips_the_same_whatever_the_order_of_the_file(
    split: list[records.CleanClip],
) -> None:
    known = settings(EARLY)
    train = known.recipes["mini-lora"].train
    first = early_lines.lines(known, "mini-lora", train)
    assert len(first) == 4 and len({line.text for line in first}) == 4
    assert {line.text for line in first} <= {clip.text for clip in split[:7]}, "the eighth takes too long"
    records.write(layout.split("validation"), split[::-1])
    assert early_lines.lines(known, "mini-lora", train) == first
    assert early_lines.lines(replace(known, seed=known.seed + 1), "mini-lora", train) != first


def test_more_lines_than_the_validation_split_has_are_refused_with_their_number(
    split: list[records.CleanClip],
) -> None:
    known = settings(replace(EARLY, lines=8))
    with pytest.raises(ParamsError, match=r"early_stopping\.lines = 8: the validation split has 7 clips"):
        early_lines.notices(known, "mini-lora")
    records.write(layout.split("validation"), [replace(one, language="xx") for one in split])
    with pytest.raises(ParamsError, match="has 0 clips"):
        early_lines.notices(settings(EARLY), "mini-lora")


def test_preflight_tries_a_few_steps_without_it() -> None:
    assert preflight.trial(settings(EARLY).recipes["mini-lora"]).early_stopping is None


def test_a_run_without_it_has_the_identity_of_before() -> None:
    known = params.load(ROOT / "params.yaml").recipes["mini-lora"].train
    assert known.early_stopping is None and "early_stopping" not in records.to_json(known)
    assert early_lines.digest_of(settings(None), "mini-lora", known) is None


def test_a_metric_that_lost_a_sample_judges_nothing() -> None:
    whole = records.MetricRun("speaker", "measured", "")
    checking.require_whole([whole])
    with pytest.raises(MetricUnavailable, match="recogniser: measured, without 2 samples: its process died"):
        checking.require_whole([whole, records.MetricRun("recogniser", "measured", "its process died", 2)])
    with pytest.raises(MetricUnavailable, match="speaker: timed_out: 600 s"):
        checking.require_whole([records.MetricRun("speaker", "timed_out", "600 s")])


JUDGE = """
import resource, sys, time
from dataclasses import replace
from pathlib import Path
from tests.factories import evaluations, training
from voicelathe.config import params, schema
from voicelathe.runs import early_stopping
from voicelathe.stages.early_stopping import beside

root = Path(sys.argv[1])
train = replace(training.train_settings(steps=6, every=1), early_stopping=schema.EarlyStopping(patience=2, lines=4))
plain = evaluations.run()
run = replace(plain, identity=replace(plain.identity, train=train), directory=str(root))
early_stopping.weights(root, 1).mkdir()
known = params.load(Path("params.yaml"))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
with beside.judged(known, run):
    time.sleep(120)
"""


@pytest.mark.slow
def test_a_judge_that_can_write_nothing_ends_the_training_that_waits_for_it_with_the_cause(
    tmp_path: Path,
) -> None:
    """A full disk, for example: the training would wait for ever."""
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == -signal.SIGTERM
    assert "the checkpoint of step 1 could not be judged, 2 times. FileNotFoundError" in done.stderr
    assert "failed.json could not be written: " in done.stderr and "File too large" in done.stderr


def test_who_waits_long_is_told_what_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_stopping, "TOLD_S", 0.0)
    train, told = replace(training.train_settings(steps=6, every=1), early_stopping=EARLY), list[str]()
    assert early_stopping.ends(tmp_path, train, "1" * 64, 3, lambda: bool(told), told.append) is None
    assert told == [
        "step 3 is saved and training waits: early stopping still judges the checkpoint of step 2"
    ]
