"""To another machine and back: by sha256, nothing twice, nothing damaged, nothing that is not what its record says."""

import json
import shutil
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import checkpoints, digest, layout, records
from voicelathe.errors import CheckpointError, RecordError
from voicelathe.registry import promote, promoted, verify
from voicelathe.registry.weights import archive
from voicelathe.runs import tombstones
from voicelathe.tracking import files as run_files
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


OUTSIDE = ("../outside/keys", "/outside/keys", "checkpoints/../../keys", "..", "")


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_record_that_leads_out_of_the_project_moves_nothing_in_or_out(
    files: Path, tmp_path: Path, path: str
) -> None:
    """Neither is a file of the machine uploaded, nor one of the place written beside the project."""
    secret = tmp_path / "outside" / "keys"
    secret.parent.mkdir()
    secret.write_bytes(b"private")
    place = tmp_path / "bucket"
    archive.archive(str(place), [RECIPE], files)
    named = digest.of_bytes(b"planted")
    (place / named[:2]).mkdir(exist_ok=True)
    (place / named[:2] / named).write_bytes(b"planted")
    path = path.replace("/outside", str(tmp_path / "outside")) if path.startswith("/") else path
    samples = layout.run(RECIPE, "samples.jsonl")
    lines = (files / samples).read_text().splitlines()
    first = {**json.loads(lines[0]), "path": path, "sha256": named}
    (files / samples).write_text("\n".join([digest.canonical_json(first), *lines[1:]]) + "\n")
    before = sorted(tmp_path.rglob("*"))
    for move in (archive.restore, archive.archive, archive.check):
        with pytest.raises(RecordError, match=r"samples\.jsonl:1: path .* leads out of the project"):
            move(str(place), [RECIPE], files)
    assert sorted(tmp_path.rglob("*")) == before and secret.read_bytes() == b"private"


def test_every_record_that_names_a_file_keeps_inside(files: Path) -> None:
    """Checkpoints (which prune removes), the run's folder, what was pruned, and the names in a manifest of weights."""
    for file, change in (
        ("run.json", {"directory": "../elsewhere"}),
        (
            "checkpoints.json",
            {"checkpoints": [{"step": 1, "kind": "lora", "path": "/", "bytes": 1, "sha256": "0"}]},
        ),
    ):
        path = files / layout.run(RECIPE, file)
        sound = path.read_bytes()
        digest.write_json(path, {**digest.read_json(path), **change})
        with pytest.raises(RecordError, match="leads out of the project"):
            run_files.read(RECIPE, files)
        path.write_bytes(sound)
    removed = tombstones.Pruned("../../home", "a" * 64, 7, "mara", "2026-11-21T12:00:00+00:00", None, "plan")
    with pytest.raises(RecordError, match="leads out of the project"):
        tombstones.parse(tombstones.chained([], [removed])[0].line)


def test_a_manifest_of_weights_brings_no_file_beside_them(files: Path, tmp_path: Path) -> None:
    step = directory(files) / "step_0000030"
    manifest = digest.read_json(step / checkpoints.MANIFEST)
    manifest["files"]["../../../planted"] = {"sha256": digest.of_bytes(b"planted"), "bytes": 7}
    digest.write_json(step / checkpoints.MANIFEST, manifest)
    index = files / layout.run(RECIPE, "checkpoints.json")
    listed = digest.read_json(index)
    for one in listed["checkpoints"]:
        if one["step"] == 30:
            one["sha256"] = checkpoints.identity(step)
    digest.write_json(index, listed)
    with pytest.raises(
        RecordError, match=r"step_0000030/MANIFEST\.json: path '\.\./\.\./\.\./planted' leads out"
    ):
        archive.archive(str(tmp_path / "bucket"), [RECIPE], files)


def test_a_file_that_rots_in_the_archive_is_found_and_sent_again(files: Path, tmp_path: Path) -> None:
    place = tmp_path / "bucket"
    archive.archive(str(place), [RECIPE], files)
    stored = sorted(path for path in place.rglob("*") if path.is_file())
    rotten, lost = stored[3], stored[5]
    rotten.write_bytes(bytes([rotten.read_bytes()[0] ^ 1]) + rotten.read_bytes()[1:])  # of the same size
    lost.unlink()
    assert archive.check(str(place), [RECIPE], files).num_files == 2
    assert digest.of_file(rotten) == rotten.name and lost.is_file() and not list(place.rglob("*.partial"))
    assert archive.check(str(place), [RECIPE], files).num_files == 0
    rotten.write_bytes(b"rotten again")
    with pytest.raises(CheckpointError, match=r"MANIFEST\.json is not here, so it is not known"):
        archive.check(str(place), [RECIPE], elsewhere(files))
    for path in files.rglob("*"):
        if path.is_file() and digest.of_file(path) == rotten.name:
            path.write_bytes(b"rotten here, too")
    expected = rf"holds damaged, and here they are no better:\n .*{rotten.name}"
    with pytest.raises(CheckpointError, match=expected):
        archive.check(str(place), [RECIPE], files)
