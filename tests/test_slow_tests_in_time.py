"""Where `.ci/run` has no time left, slow tests are named and not run; others never are."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = "tests/stages/test_early_stopping.py"
SLOW = f"{FILE}::test_a_judge_that_can_write_nothing_ends_the_training_that_waits_for_it_with_the_cause"
QUICK = f"{FILE}::test_the_first_checkpoint_is_the_mark_and_equal_ones_after_it_are_no_improvement"


def test_a_slow_test_that_begins_too_late_is_skipped_by_name_and_a_quick_one_is_not() -> None:
    command = [sys.executable, "-m", "pytest", "-m", "slow or not slow", "-rs", "-n", "0", SLOW, QUICK]
    env = {**os.environ, "VOICELATHE_SLOW_UNTIL": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"not run, the time of slow tests is used up: {SLOW}" in done.stdout and QUICK not in done.stdout
    assert done.stdout.splitlines()[0].startswith("s."), "the quick one ran"
