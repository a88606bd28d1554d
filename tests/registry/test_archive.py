"""To another machine and back: by sha256, nothing twice, nothing damaged, nothing that is not what its record says."""

import shutil
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import layout, records
from voicelathe.errors import CheckpointError
from voicelathe.registry import archive, promote, promoted, verify
from voicelathe.tracking import replay

RECIPE = "mini-lora"


@pytest.fixture
def files(tmp_path: Path, finished_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Path(shutil.copytree(finished_project, tmp_path / "project"))


def elsewhere(root: Path, name: str = "elsewhere") -> Path:
    """A clone with everything that git and DVC bring: not the weights."""
    return Path(
        shutil.copytree(root, root.with_name(name), ignore=shutil.ignore_patterns("checkpoints", "mlruns"))
    )


def directory(root: Path) -> Path:
    return root / records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord).directory


def test_a_second_machine_restores_verifies_and_promotes(
    files: Path, tmp_path: Path, empty_database: Path
) -> None:
    url = (tmp_path / "bucket").as_uri()
    first = archive.archive(url, [RECIPE], files)
    assert first.num_files > 20 and first.num_there < first.num_files
    again = archive.archive(url, [RECIPE], files)
    assert again.num_files == 0 and again.num_there == first.num_files + first.num_there
    other = elsewhere(files)
    assert verify.verify(RECIPE, other).broken is not None
    brought = archive.restore(url, [RECIPE], other)
    assert brought.num_files == first.num_files + first.num_there and brought.num_bytes >= first.num_bytes
    assert verify.verify(RECIPE, other).broken is None
    assert archive.restore(url, [RECIPE], other).num_files == 0
    shutil.copy(empty_database, other / "mlflow.db")
    replay.mirror_all(RECIPE, runs.tracking(), other)
    promote.promote(RECIPE, other)
    assert promoted.status(other).state == "in production"


def test_what_arrives_damaged_is_named_and_not_put_in_place(files: Path, tmp_path: Path) -> None:
    archive.archive(str(tmp_path / "bucket"), [RECIPE], files)
    largest = max(
        (path for path in (tmp_path / "bucket").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    other = elsewhere(files)
    with pytest.raises(CheckpointError, match=rf"holds damaged:\n .*{largest.name}"):
        archive.restore(str(tmp_path / "bucket"), [RECIPE], other)
    assert verify.verify(RECIPE, other).broken is not None
    assert not list(other.rglob("*.partial"))


def test_a_file_that_was_changed_is_not_archived(files: Path, tmp_path: Path) -> None:
    path = directory(files) / "step_0000030/lora_weights.safetensors"
    path.write_bytes(b"other")
    with pytest.raises(
        CheckpointError, match=r"step_0000030/lora_weights\.safetensors is not what its record says"
    ):
        archive.archive(str(tmp_path / "bucket"), [RECIPE], files)


def test_an_interrupted_upload_is_sent_again(files: Path, tmp_path: Path) -> None:
    archive.archive(str(tmp_path / "bucket"), [RECIPE], files)
    half = next(
        path
        for path in sorted((tmp_path / "bucket").rglob("*"))
        if path.is_file() and path.stat().st_size > 10
    )
    half.write_bytes(half.read_bytes()[:5])
    assert archive.archive(str(tmp_path / "bucket"), [RECIPE], files).num_files == 1
    archive.restore(str(tmp_path / "bucket"), [RECIPE], elsewhere(files))


def test_a_url_of_an_unknown_kind_is_refused_without_its_password(files: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be used") as caught:
        archive.archive("quark://anna:hunter2@host/x", [RECIPE], files)
    assert "hunter2" not in str(caught.value)
