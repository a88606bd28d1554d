"""DVC's temporary copies share with the project what would be deleted with them."""

from pathlib import Path

import pytest

from voicelathe import layout
from voicelathe.errors import CheckpointError
from voicelathe.runs import experiments


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    made = tmp_path / ".dvc/tmp/exps/standalone/tmpabc"
    made.mkdir(parents=True)
    return made


def test_weights_written_in_a_copy_lie_in_the_project(tmp_path: Path, copy: Path) -> None:
    experiments.share(copy)
    experiments.share(copy)  # every stage asks
    (copy / "checkpoints/tiny/run").mkdir(parents=True)
    (copy / ".cache/x").write_text("x")
    assert (tmp_path / "checkpoints/tiny/run").is_dir() and (tmp_path / ".cache/x").is_file()
    assert experiments.project_of(copy) == tmp_path


def test_a_project_itself_gets_no_links(tmp_path: Path) -> None:
    experiments.share(tmp_path)
    assert list(tmp_path.iterdir()) == [] and experiments.project_of(tmp_path) == tmp_path


def test_weights_that_would_be_deleted_with_the_copy_stop_the_stage_before_its_first_step(copy: Path) -> None:
    (copy / layout.CHECKPOINTS).mkdir()
    with pytest.raises(CheckpointError, match="would be deleted with it"):
        experiments.share(copy)


def test_a_disk_that_is_not_mounted_is_named(tmp_path: Path, copy: Path) -> None:
    (tmp_path / layout.CHECKPOINTS).symlink_to(tmp_path / "disk")
    for root in (tmp_path, copy):
        with pytest.raises(CheckpointError, match=rf"is a link to {tmp_path / 'disk'}, which is not there"):
            experiments.share(root)
    (tmp_path / "disk").mkdir()
    experiments.share(copy)
    (copy / "checkpoints/tiny").mkdir()
    assert (tmp_path / "disk/tiny").is_dir()
