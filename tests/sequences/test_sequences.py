"""Drawn sequences of 30 operations on a project in git, DVC and MLflow: nothing promoted is lost, production speaks the right bytes or refuses, advice helps.

One in the slow tests; `make campaign` runs ten. To repeat one that failed: python -m tests.sequences.lab FOLDER SEED
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sequences import advice, model
from tests.sequences.model import Model, Violation, Weights

ROOT = Path(__file__).parents[2]
NUM = int(os.environ.get("VOICELATHE_SEQUENCES", "1"))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_drawn_sequences_of_operations_keep_what_must_hold(tmp_path: Path) -> None:
    seeds = [str(seed) for seed in range(1, NUM + 1)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.sequences.lab", str(tmp_path), *seeds],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("every invariant held") == NUM


def test_the_model_sees_promoted_weights_that_are_gone_or_changed(tmp_path: Path) -> None:
    place = tmp_path / "checkpoints/a/run/step_0000010"
    place.mkdir(parents=True)
    (place / "weights").write_bytes(b"1")
    known = Model(ever={Weights("a", "checkpoints/a/run/step_0000010", str(model.tree(place)))})
    (place / "weights").write_bytes(b"2")
    with pytest.raises(Violation, match="promoted weights are gone or changed"):
        known.check(tmp_path)
    known.deleted(tmp_path)
    assert known.lost == known.ever


def test_advice_is_read_out_of_a_message_with_its_names_filled_in() -> None:
    text = 'Bring it: voicelathe restore URL; or train it again: voicelathe retrain a. Nothing else: voicelathe rollback --because "why"'
    found = advice.commands(text, {"URL": "file:///x"})
    assert found == [
        "voicelathe restore file:///x",
        "voicelathe retrain a",
        'voicelathe rollback --because "why"',
    ]


def test_a_refusal_without_a_way_on_is_a_dead_end() -> None:
    class Deaf:
        def type(self, command: str) -> advice.Told:
            return advice.Told(command, 1, "SomeError: no.")

    with pytest.raises(Violation, match="a dead end"):
        advice.settle(Deaf(), "voicelathe promote a", {})  # type: ignore[arg-type]
