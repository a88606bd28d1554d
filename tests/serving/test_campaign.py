"""Fifty clients, workers that are killed: no wrong answer, none that hangs. Timings are printed, not judged (benchmarks/RESULTS.md has them)."""

import os

import pytest

from benchmarks import bench_serving

REQUESTS = int(os.environ.get("VOICELATHE_REQUESTS", "200"))
KILLS = int(os.environ.get("VOICELATHE_SERVER_KILLS", "2"))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_every_client_hears_its_own_words_while_workers_are_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = bench_serving.main(REQUESTS, KILLS, repeats=3)
    told = capsys.readouterr().out
    with capsys.disabled():
        print(told)
    assert code == 0, told
