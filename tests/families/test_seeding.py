"""The seed of a line decides its sound, whatever global generators say and whatever upstream's next release does with them."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import training
from tests.factories.upstream_seed import reseeding
from voicelathe import records
from voicelathe.families.shared import seeding, torchaudio_shim
from voicelathe.process import jobs
from voicelathe.worker import speak

LINES = [records.Line("one", "The lamp is on.", "en", 3), records.Line("two", "Nobody speaks.", "en", 4)]


def disturb(number: int) -> None:
    """As a library, or the sample before, leaves the generators of the process."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def sweep(out: Path) -> dict[str, bytes]:
    base = jobs.WeightsRef(
        records.Candidate(0, None), "base", str(training.BASE), training.target().base_digest
    )
    job = jobs.SpeakJob(
        training.target(), None, [base], LINES, 0.5, training.DECODING, None, str(out), interactive=False
    )
    speak.run(job, lambda kind, values: None)
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*.wav"))}


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int | None]]:
    """Upstream's class as its next release is: a `seed` that is drawn at random when none is given. Gives the seeds it got."""
    torchaudio_shim.ensure()
    from voxcpm.model import voxcpm2

    got: list[int | None] = []
    monkeypatch.setattr(voxcpm2.VoxCPM2Model, "_generate", reseeding(voxcpm2.VoxCPM2Model._generate, got))
    yield got


def test_two_runs_of_a_sweep_give_equal_bytes_whatever_the_global_generators_say(tmp_path: Path) -> None:
    disturb(1)
    first = sweep(tmp_path / "one")
    disturb(2)
    assert len(first) == 2 and sweep(tmp_path / "two") == first


def test_upstreams_next_release_gets_the_seed_of_every_line_and_its_sweeps_repeat(
    tmp_path: Path, next_release: list[int | None]
) -> None:
    disturb(1)
    first = sweep(tmp_path / "one")
    disturb(2)
    assert sweep(tmp_path / "two") == first and next_release == [3, 4, 3, 4]


def test_a_seed_is_given_only_to_what_names_it() -> None:
    def swallows(**more: Any) -> None: ...
    def swallows_as_seed(**seed: Any) -> None: ...
    def takes(text: str, *, seed: int | None = None) -> None: ...

    assert (seeding.given(3, takes), seeding.given(3, swallows), seeding.given(3, swallows_as_seed)) == (
        {"seed": 3},
        {},
        {},
    )


def test_the_generators_of_others_go_on_as_before() -> None:
    disturb(5)
    expected = (np.random.rand(), random.random())
    disturb(5)
    with seeding.of(2**40 + 7):
        drawn = (torch.rand(1).item(), np.random.rand(), random.random())
    assert (np.random.rand(), random.random()) == expected
    with seeding.of(2**40 + 7):
        assert (torch.rand(1).item(), np.random.rand(), random.random()) == drawn
