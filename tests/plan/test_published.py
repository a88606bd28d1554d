"""The plan reproduces what others measured, within five per cent, with nothing fitted but one named CUDA context."""

import pytest

from benchmarks import bench_plan


@pytest.mark.slow
def test_the_published_figures_are_reproduced_within_five_per_cent() -> None:
    memory, adapter, directory, _adamw = bench_plan.figures()
    for one in (memory, adapter, directory):
        assert one.ratio == pytest.approx(1.0, abs=0.05), one
