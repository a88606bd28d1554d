"""To another machine and back: by sha256, nothing twice, nothing damaged, nothing that is not what its record says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import checkpoints, digest, layout, records
from voicelathe.errors import CheckpointError, RecordError
from voicelathe.registry import promote, promoted, verify
from voicelathe.registry.weights import archive, companions, place
from voicelathe.runs import identity, tombstones
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("which", "way"),
    [("step_*/MANIFEST.json", f"voicelathe retrain {RECIPE}"), ("speech/*/*.wav", f"listen@{RECIPE}")],
)
def test_what_is_gone_here_is_named_with_what_brings_it_back(
    files: Path, tmp_path: Path, which: str, way: str
) -> None:
    next(iter(sorted(directory(files).glob(which)))).unlink()
    with pytest.raises(CheckpointError, match=rf"is gone; nothing wrong is archived\. .*{way}"):
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


@pytest.fixture
def beside(files: Path) -> Path:
    """Everything that training leaves beside the weights, the mark of data for research among it."""
    place = directory(files)
    digest.write_json(place / identity.IDENTITY, {"who": "this run"})
    digest.write_json(place / identity.FINISHED, {"num_trainable": 90_000})
    digest.write_json(place / identity.RESEARCH, {"gate_sha256": "0" * 64})
    digest.write_json(place / identity.NOTED, ["a" * 32])
    return files


def left_of(root: Path) -> dict[str, str]:
    found = {name: directory(root) / name for name in companions.NAMES}
    return {name: digest.of_file(path) for name, path in found.items() if path.is_file()}


def list_of(bucket: Path) -> Path:
    (found,) = (bucket / companions.LISTS).iterdir()
    return found


@pytest.mark.parametrize("name", companions.NAMES)
@pytest.mark.parametrize("how", ["lost", "rotten"])
def test_what_lies_beside_the_weights_is_checked_and_sent_again(
    beside: Path, tmp_path: Path, name: str, how: str
) -> None:
    bucket = tmp_path / "bucket"
    archive.archive(str(bucket), [RECIPE], beside)
    sha256 = left_of(beside)[name]
    stored = bucket / sha256[:2] / sha256
    stored.unlink() if how == "lost" else stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    assert archive.check(str(bucket), [RECIPE], beside).num_files == 1
    assert archive.check(str(bucket), [RECIPE], beside).num_files == 0
    stored.write_bytes(b"rotten again")
    other = elsewhere(beside)
    with pytest.raises(CheckpointError, match=rf"holds damaged:\n .*{name} \({sha256}\)"):
        archive.restore(str(bucket), [RECIPE], other)
    if name == identity.RESEARCH:  # no weights without it
        assert not list(directory(other).rglob(checkpoints.MANIFEST))
        return
    (directory(other) / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=rf"here they are no better:\n .*{name}"):
        archive.check(str(bucket), [RECIPE], other)


HARMS = {
    "lost": lambda path: path.unlink(),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "without the mark": lambda path: digest.write_json(
        path,
        {name: sha for name, sha in digest.read_json(path).items() if not name.endswith(identity.RESEARCH)},
    ),
}


@pytest.mark.parametrize("how", HARMS)
def test_a_list_that_is_not_as_it_was_written_is_named_and_written_anew(
    beside: Path, tmp_path: Path, how: str
) -> None:
    """Without it nobody knows whether the data were for research only, and weights without their mark could be promoted."""
    bucket, other = tmp_path / "bucket", elsewhere(beside)
    archive.archive(str(bucket), [RECIPE], beside)
    sound = list_of(bucket).read_bytes()
    HARMS[how](list_of(bucket))
    with pytest.raises(CheckpointError, match=rf"{companions.LISTS}/\w+\.json"):
        archive.restore(str(bucket), [RECIPE], other)
    assert archive.check(str(bucket), [RECIPE], beside).num_files == 1
    assert list_of(bucket).read_bytes() == sound
    archive.restore(str(bucket), [RECIPE], other)
    assert left_of(other) == left_of(beside) and len(left_of(other)) == len(companions.NAMES)


def test_a_list_of_an_earlier_version_is_read_and_sealed(beside: Path, tmp_path: Path) -> None:
    bucket, other = tmp_path / "bucket", elsewhere(beside)
    archive.archive(str(bucket), [RECIPE], beside)
    sealed = digest.read_json(list_of(bucket))
    digest.write_json(list_of(bucket), {name: sha for name, sha in sealed.items() if name != companions.SEAL})
    archive.restore(str(bucket), [RECIPE], other)
    assert left_of(other) == left_of(beside)
    archive.archive(str(bucket), [RECIPE], beside)
    assert digest.read_json(list_of(bucket)) == sealed


def test_who_archives_without_the_mark_does_not_take_it_from_the_archive(
    beside: Path, tmp_path: Path
) -> None:
    """The same weights, trained with consent on another machine: the mark stays, and so do the names by which git knows the run."""
    bucket, other = tmp_path / "bucket", Path(shutil.copytree(beside, beside.with_name("other")))
    archive.archive(str(bucket), [RECIPE], beside)
    (directory(other) / identity.RESEARCH).unlink()
    digest.write_json(directory(other) / identity.NOTED, ["b" * 32])
    archive.archive(str(bucket), [RECIPE], other)
    third = elsewhere(beside, "third")
    archive.restore(str(bucket), [RECIPE], third)
    assert (directory(third) / identity.RESEARCH).is_file()
    assert digest.read_json(directory(third) / identity.NOTED) == ["a" * 32, "b" * 32]
    archive.restore(str(bucket), [RECIPE], beside)
    assert digest.read_json(directory(beside) / identity.NOTED) == ["a" * 32, "b" * 32]
    assert not list((tmp_path).rglob("*.brought"))


def test_the_mark_arrives_before_the_weights(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever kills a restore, nobody has weights without it."""
    archive.archive(str(tmp_path / "bucket"), [RECIPE], beside)
    other, arrived = elsewhere(beside), []
    fetch = place.Place.fetch
    monkeypatch.setattr(place.Place, "fetch", lambda *words: arrived.append(words[1].name) or fetch(*words))
    archive.restore(str(tmp_path / "bucket"), [RECIPE], other)
    assert arrived[0] == identity.RESEARCH and arrived.count(checkpoints.MANIFEST) == 6


@pytest.mark.parametrize("again", [archive.archive, archive.check])
def test_who_has_no_mark_never_writes_a_damaged_list_anew(
    beside: Path, tmp_path: Path, again: Callable[..., object]
) -> None:
    bucket, other = tmp_path / "bucket", Path(shutil.copytree(beside, beside.with_name("other")))
    archive.archive(str(bucket), [RECIPE], beside)
    HARMS["torn"](list_of(bucket))
    torn = list_of(bucket).read_bytes()
    (directory(other) / identity.RESEARCH).unlink()
    with pytest.raises(
        CheckpointError, match=r"damaged\. Whether the data were for research only is not known"
    ):
        again(str(bucket), [RECIPE], other)
    assert list_of(bucket).read_bytes() == torn


def test_where_the_mark_cannot_be_had_no_weights_are_brought(beside: Path, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    archive.archive(str(bucket), [RECIPE], beside)
    mark = digest.of_file(directory(beside) / identity.RESEARCH)
    (kept,) = [one for one in bucket.rglob("*") if one.is_file() and digest.of_file(one) == mark]
    kept.unlink()
    other = elsewhere(beside)
    with pytest.raises(CheckpointError, match=identity.RESEARCH):
        archive.restore(str(bucket), [RECIPE], other)
    assert not list(directory(other).rglob(checkpoints.MANIFEST)), (
        "weights without their mark could be promoted"
    )
    HARMS["torn"](list_of(bucket))
    with pytest.raises(CheckpointError, match="no weights are sent or brought"):
        archive.restore(str(bucket), [RECIPE], other)
    assert not list(directory(other).rglob(checkpoints.MANIFEST))
