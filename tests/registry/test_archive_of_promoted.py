"""What was promoted goes to the archive and comes back, also when the recipe has other settings by now and no record names it."""

import shutil
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.errors import CheckpointError
from voicelathe.registry import promoted as production
from voicelathe.registry.history import journal
from voicelathe.registry.weights import archive

RECIPE = "mini-lora"


def trained_on(root: Path) -> str:
    """The recipe goes on with other settings; returns where the weights are that were promoted before."""
    before = journal.read(root)[-1].promotion.path
    runs.finished(root, RECIPE, seed=8)
    assert (
        Path(before).parent.as_posix()
        != records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord).directory
    )
    return before


def test_what_was_promoted_is_archived_and_comes_back_though_no_record_of_now_names_it(
    promoted: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "bucket").as_uri()
    before = trained_on(promoted)
    archive.archive(url, [RECIPE], promoted)
    rotten = next(
        path
        for path in (tmp_path / "bucket").rglob("*")
        if path.name == digest.of_file(promoted / before / "lora_weights.safetensors")
    )
    rotten.write_bytes(b"rotten")
    assert archive.check(url, [RECIPE], promoted).num_files == 1, "read with the others, and sent again"
    sound = digest.of_tree(promoted / before)
    shutil.rmtree((promoted / before).parent)
    brought = archive.restore(url, [RECIPE], promoted)
    assert digest.of_tree(promoted / before) == sound and brought.nowhere == []
    assert production.look(promoted)[0].state == "in production"


def test_of_what_was_promoted_once_it_is_said_when_it_is_nowhere(promoted: Path, tmp_path: Path) -> None:
    url = (tmp_path / "bucket").as_uri()
    before = trained_on(promoted)
    shutil.rmtree(promoted / before)
    assert archive.archive(url, [RECIPE], promoted).nowhere == [before], "the others are sent all the same"
    with pytest.raises(CheckpointError, match=f"does not hold, or holds damaged:\n  {before}"):
        archive.restore(url, [RECIPE], promoted)


def test_weights_that_lie_where_others_were_promoted_are_not_overwritten(
    promoted: Path, tmp_path: Path
) -> None:
    url = (tmp_path / "bucket").as_uri()
    run = records.read_one(promoted / layout.run(RECIPE, "run.json"), records.RunRecord)
    before = trained_on(promoted)
    archive.archive(url, [RECIPE], promoted)
    shutil.rmtree(promoted / before)
    runs.checkpoint(promoted, run, int(before[-7:]), seed=9)
    others = digest.of_tree(promoted / before)
    assert archive.restore(url, [RECIPE], promoted).nowhere == [before]
    assert digest.of_tree(promoted / before) == others
