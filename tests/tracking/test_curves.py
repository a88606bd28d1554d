"""From journal lines to the points of charts."""

import math
from dataclasses import replace

from tests.factories.runs import journals
from voicelathe.tracking.curves import Curves, Point, batches

START_MS = 1_700_000_000_000


def test_a_step_is_drawn_as_its_losses_norm_rate_and_speed() -> None:
    curves = Curves(START_MS)
    curves.take(*journals(1))
    names = [point.key for point in curves.ready(final=False)]
    assert names == [
        "train/loss_total",
        "train/loss_diff",
        "train/loss_stop",
        "train_gradients/norm",
        "train_gradients/norm_lm",
        "train/signs",
        "train/lr",
        "train_speed/clips_per_s",
    ]


def test_a_step_waits_for_its_timing_unless_the_run_is_over() -> None:
    steps, timings = journals(2)
    curves = Curves(START_MS)
    curves.take(steps, timings[:1])
    assert {point.step for point in curves.ready(final=False)} == {1}
    assert {point.step for point in curves.ready(final=True)} == {2}


def test_points_have_the_same_times_live_and_in_a_replay() -> None:
    steps, timings = journals(20)
    live, replay = Curves(START_MS), Curves(START_MS)
    points = []
    for step, timing in zip(steps, timings, strict=True):
        live.take([step], [])
        points += live.ready(final=False)
        live.take([], [timing])
        points += live.ready(final=False)
    replay.take(steps, timings)
    assert points == replay.ready(final=True)
    assert points[-1].at_ms == START_MS + 20 * 250


def test_numbers_that_are_not_finite_are_not_drawn() -> None:
    (step,), timings = journals(1)
    curves = Curves(START_MS)
    curves.take([replace(step, grad_norm=math.inf)], timings)
    assert "train_gradients/norm" not in {point.key for point in curves.ready(final=True)}


def test_a_batch_never_divides_a_step() -> None:
    points = [Point(f"k{number}", 0.0, step, 0) for step in range(10) for number in range(6)]
    cut = list(batches(points, 20))
    assert [point for batch in cut for point in batch] == points
    assert [len(batch) for batch in cut] == [18, 18, 18, 6]
