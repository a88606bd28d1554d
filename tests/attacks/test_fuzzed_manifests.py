"""Ten thousand hostile manifests: no crash, no hang, every bad row with its line number and code, no good row lost.

They are read in worker processes with 512 MiB and ten seconds for each, so that memory and time are part of the test.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import hostile, rows
from voicelathe.data.manifest import formats
from voicelathe.data.manifest.formats import RawRow
from voicelathe.parallel import local

LIMITS = local.ItemLimits(memory_bytes=512 << 20, silent_s=10.0)


def complaints(seeds: range) -> Iterator[str]:
    """For each seed what was wrong with the reading of its manifest; empty when nothing was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        for seed in seeds:
            made = hostile.manifest(random.Random(seed))
            path.write_bytes(made.content)
            yield complaint(made, formats.read(hostile.reading(path, Path(folder)))[0])


def complaint(made: hostile.Manifest, found: list[formats.Read]) -> str:
    if [one.line for one in found] != list(range(1, len(made.good) + len(made.bad) + len(made.free) + 1)):
        return "lines are missing or numbered wrongly"
    for one in found:
        if one.line in made.good:
            wanted = made.good[one.line]
            if not isinstance(one, RawRow) or (one.audio, one.text, one.user_id) != (
                *(wanted["audio"], wanted["text"], wanted["id"]),
            ):
                return f"line {one.line} is a good row and became {one}"
        elif one.line in made.bad and (isinstance(one, RawRow) or one.problem != made.bad[one.line]):
            return f"line {one.line} is {made.bad[one.line]} and became {one}"
    return ""


def check(num: int, each: int) -> None:
    shards = [range(start, start + each) for start in range(0, num, each)]
    attempts = local.try_each(complaints, shards, rows.PARALLEL, LIMITS)
    assert [attempt.lost for attempt in attempts if attempt.lost] == []
    found = [text for attempt in attempts for text in attempt.results]
    assert len(found) == num
    assert [f"seed {seed}: {text}" for seed, text in enumerate(found) if text] == []


@pytest.mark.timeout(120)
def test_two_hundred_hostile_manifests_lose_no_good_row() -> None:
    check(200, each=100)


@pytest.mark.campaign
@pytest.mark.timeout(3000)
def test_ten_thousand_hostile_manifests_lose_no_good_row() -> None:
    check(10_000, each=250)


def test_the_check_notices_a_lost_row_a_wrong_number_and_a_wrong_code() -> None:
    made = hostile.manifest(random.Random(3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        path.write_bytes(made.content)
        found = formats.read(hostile.reading(path, Path(folder)))[0]
        path.write_bytes(made.content.replace(b"blank", b"").replace(b"\n", b"\n\n", 1))
        shifted = formats.read(hostile.reading(path, Path(folder)))[0]
    assert made.bad and complaint(made, found) == ""
    assert "missing or numbered wrongly" in complaint(made, shifted)
    assert "missing or numbered wrongly" in complaint(made, found[1:])
    swapped = hostile.Manifest(made.content, made.good, dict.fromkeys(made.bad, "other"), made.free)
    assert "and became" in complaint(swapped, found)
