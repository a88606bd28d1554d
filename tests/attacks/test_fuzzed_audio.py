"""Twenty thousand mutated audio files through the measuring of the pipeline: a measure or a reason each, no crash, no hang.

Good files lie among them and must measure what they measure alone. Workers have 512 MiB, and their peak is looked at.
"""

import random
import resource
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import hostile, rows
from voicelathe import digest
from voicelathe.data.audit.rules import UNUSABLE_AUDIO
from voicelathe.data.measures import measure
from voicelathe.records import ClipMeasure, ManifestRow

REPOSITORY = Path(__file__).parents[2]
GOOD_EVERY = 10


def measured(root: Path, files: dict[str, bytes]) -> list[ClipMeasure]:
    """The measures of files, in their order."""
    listed: list[ManifestRow] = []
    for number, (name, content) in enumerate(files.items(), 1):
        (root / name).write_bytes(content)
        listed.append(
            rows.manifest_row(
                number, clip_id=f"{number:08d}", audio=name, audio_sha256=digest.of_bytes(content)
            )
        )
    found = measure.measure(listed, root, rows.MEASURE, rows.PARALLEL)
    for name in files:
        (root / name).unlink()
    return found


def campaign(root: Path, num: int, seed: int, at_once: int = 1000) -> Counter[str]:
    """How many mutants ended in which way; fails when a good file did not measure as it should."""
    seeds = hostile.audio_seeds(root / "seeds")
    good = {
        name: replace(one, clip_id="")
        for name, one in zip(seeds, measured(root, seeds), strict=True)
        if one.problem is None
    }
    assert len(good) == len(seeds) - 1  # all but the one that lies
    outcomes: Counter[str] = Counter()
    chance = random.Random(seed)
    for start in range(0, num, at_once):
        files: dict[str, bytes] = {}
        kinds: list[str | None] = []
        for number in range(start, min(num, start + at_once)):
            name = chance.choice(list(seeds))
            files[f"{number:06d}{Path(name).suffix}"] = hostile.mutated(seeds[name], chance)
            kinds.append(None)
            if number % GOOD_EVERY == 0:
                kind = chance.choice(list(good))
                files[f"{number:06d}_good{Path(kind).suffix}"] = seeds[kind]
                kinds.append(kind)
        for kind, one in zip(kinds, measured(root, files), strict=True):
            if kind is not None:
                assert replace(one, clip_id="") == good[kind]
            outcomes["good" if kind else one.problem or "measured"] += 1
            assert "process ended" not in one.detail and "no result in" not in one.detail, one
    return outcomes


def check(outcomes: Counter[str], num: int) -> None:
    assert outcomes.total() - outcomes["good"] == num
    assert set(outcomes) <= {"good", "measured", *UNUSABLE_AUDIO}
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{num} mutants: {dict(outcomes.most_common())}; largest worker {peak_mib:.0f} MiB")
    assert peak_mib < 512


def alone(root: Path, num: int, seed: int) -> None:
    """In a process of its own: the peak is that of every child a process ever had."""
    code = f"from pathlib import Path; from tests.attacks import test_fuzzed_audio as t; t.check(t.campaign(Path({str(root)!r}), {num}, {seed}), {num})"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.timeout(120)
def test_three_hundred_mutated_files_are_measured_or_refused(tmp_path: Path) -> None:
    alone(tmp_path, 300, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(3400)
def test_twenty_thousand_mutated_files_are_measured_or_refused(tmp_path: Path) -> None:
    alone(tmp_path, 20_000, seed=5)
