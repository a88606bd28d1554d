"""Two seeds of the demo's LoRA, really trained for a few steps through dvc, heard on the same lines, and reported.

Minutes, not seconds: marked slow.
"""

from pathlib import Path

import pytest

from tests.factories import runs
from tests.pipeline.conftest import command, make, write
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.records import RunRecord, SampleRecord

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]
LINES = {
    "short": "The lamp is on.",
    "other": "We walked home in the rain.",
    "third": "Nobody knew the answer.",
}


def test_two_seeds_of_one_recipe_are_trained_heard_and_reported(tmp_path: Path) -> None:
    root = make(tmp_path / "project")
    raw = params.read_yaml(root / "params.yaml")
    raw["recipes"]["tiny"]["train"].update(steps=4, checkpoint_every=2)
    raw["recipes"]["tiny"]["listen"].update(metrics=["waveform", "activity", "speaker"])
    write(root, raw)
    records.write(root / "lines/tiny.jsonl", runs.pack(LINES))
    told = command(root, "voicelathe", "replicate", "tiny", "--seeds", "2", "--run").stdout
    mine, theirs = (
        records.read_one(root / layout.run(name, "run.json"), RunRecord) for name in ("tiny", "tiny-seed-2")
    )
    assert mine.identity.train.seed is None and theirs.identity.train.seed == 2
    assert mine.identity.latents_digest == theirs.identity.latents_digest, "the same data"
    weights = [digest.of_tree(root / one.directory / "step_0000004") for one in (mine, theirs)]
    assert weights[0] != weights[1], "other seeds, other weights"
    spoken = [
        {
            (one.line_id, one.seed): one.sha256
            for one in records.read(root / layout.run(name, "samples.jsonl"), SampleRecord)
            if one.candidate == "base"
        }
        for name in ("tiny", "tiny-seed-2")
    ]
    assert spoken[0] == spoken[1] and len(spoken[0]) == len(LINES), "both are heard beside the very same base"
    assert "tiny: 2 trainings that differ in nothing but the seed" in told
    assert "of every training: likeness " in told and "(2 trainings, 3 lines)" in told
    assert command(root, "voicelathe", "replicate", "tiny", "--report").stdout.splitlines()[-1] in told
    again = command(root, "dvc", "repro", "track@tiny", "track@tiny-seed-2").stdout
    assert "Running stage" not in again
    assert "Was it luck?" in _page(root)


def _page(root: Path) -> str:
    command(root, "voicelathe", "compare")
    return (root / layout.COMPARISON).read_text()
