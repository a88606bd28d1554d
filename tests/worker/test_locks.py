"""A GPU belongs to one worker that trains or measures, or to any number that only speak."""

from pathlib import Path

import pytest

from voicelathe.errors import RunLocked
from voicelathe.runs import locks


def test_those_who_speak_share_and_nobody_trains_beside_them(tmp_path: Path) -> None:
    place = tmp_path / "gpu.lock"
    with locks._flock(place, "in use", shared=True), locks._flock(place, "in use", shared=True):  # noqa: SIM117
        with pytest.raises(RunLocked, match="in use by process"), locks._flock(place, "in use"):
            pytest.fail("held alone beside others")
    with locks._flock(place, "in use"):
        for shared in (True, False):
            with pytest.raises(RunLocked), locks._flock(place, "in use", shared):
                pytest.fail("held beside one who wants it alone")
