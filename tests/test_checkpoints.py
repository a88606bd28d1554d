"""Committed directories: whole and verifiable, or absent; what is broken is set aside, never deleted, never loaded."""

import errno
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from voicelathe import checkpoints, digest
from voicelathe.errors import CheckpointError, DiskFull

Usage = namedtuple("Usage", "total used free")


def commit(root: Path, name: str = "step_0000001", value: float = 1.0) -> Path:
    draft = checkpoints.Draft(root / name)
    draft.tensors("weights.safetensors", {"w": torch.full((8, 8), value)})
    draft.json("config.json", {"rank": 8})
    return draft.commit({"step": 1})


def test_a_committed_directory_verifies_and_knows_its_size(tmp_path: Path) -> None:
    directory = commit(tmp_path)
    assert checkpoints.verify(directory)["step"] == 1
    assert checkpoints.size_bytes(directory) == sum(
        (directory / name).stat().st_size for name in ("weights.safetensors", "config.json")
    )


def test_a_file_that_is_copied_because_links_fail_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, synced = commit(tmp_path) / "weights.safetensors", set[int]()
    known = {"sha256": digest.of_file(source), "size": source.stat().st_size}

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    def seen(handle: int, sync: Callable[[int], None] = os.fsync) -> None:
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "fsync", seen)
    draft = checkpoints.Draft(tmp_path / "state_0000002")
    draft.link("rank.safetensors", source, known)
    kept = draft.commit({"step": 2})
    assert checkpoints.verify(kept)["step"] == 2 and (kept / "rank.safetensors").stat().st_ino in synced


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_one_flipped_bit_is_found_and_the_file_named(tmp_path: Path, name: str) -> None:
    path = commit(tmp_path) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name}: sha256 is"):
        checkpoints.verify(path.parent)


def test_a_missing_and_an_extra_file_are_named(tmp_path: Path) -> None:
    directory = commit(tmp_path)
    (directory / "extra.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"extra\.bin is not in the manifest"):
        checkpoints.verify(directory)
    (directory / "extra.bin").unlink()
    (directory / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        checkpoints.verify(directory)


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path) -> None:
    expected = checkpoints.identity(commit(tmp_path / "a"))
    other = commit(tmp_path / "b", value=2.0)
    with pytest.raises(CheckpointError, match="These are other weights"):
        checkpoints.verify(other, expected)


def test_committing_the_same_again_keeps_what_is_there_and_different_bytes_are_set_aside(
    tmp_path: Path,
) -> None:
    first = commit(tmp_path)
    born = first.stat().st_ino
    assert commit(tmp_path).stat().st_ino == born
    commit(tmp_path, value=3.0)
    assert first.stat().st_ino != born
    assert (tmp_path / "quarantine" / "step_0000001.0").stat().st_ino == born


def test_a_kept_directory_stays_in_its_place_whatever_comes_out_differently(tmp_path: Path) -> None:
    """Production speaks with it at this moment; only damage makes room for other bytes."""
    first, born = commit(tmp_path), commit(tmp_path).stat().st_ino
    digest.write_json(tmp_path / checkpoints.KEPT, [first.name])
    assert commit(tmp_path).stat().st_ino == born, "the same bytes are fine"
    with pytest.raises(
        CheckpointError, match=r"step_0000001 is or was in production and comes out differently"
    ):
        commit(tmp_path, value=3.0)
    assert first.stat().st_ino == born and not (tmp_path / "quarantine").exists()
    assert not list(tmp_path.glob(f"{checkpoints.TEMPORARY}*")), "the draft is gone"
    commit(tmp_path, "step_0000002")
    commit(tmp_path, "step_0000002", value=3.0)
    assert (tmp_path / "quarantine/step_0000002.0").is_dir(), "it is not kept"
    (first / "config.json").write_text("damaged")
    checkpoints.verify(commit(tmp_path, value=3.0))
    assert first.stat().st_ino != born and (tmp_path / "quarantine/step_0000001.0").stat().st_ino == born


def test_the_newest_whole_directory_wins_and_broken_ones_go_to_quarantine(tmp_path: Path) -> None:
    commit(tmp_path, "state_0000001")
    newer = commit(tmp_path, "state_0000002")
    (newer / "config.json").write_text("{}")
    found = checkpoints.newest_verified(tmp_path, "state_")
    assert found is not None and found.name == "state_0000001"
    assert (tmp_path / "quarantine" / "state_0000002.0").is_dir()


def test_what_a_killed_writer_left_is_swept_and_never_taken_for_a_checkpoint(tmp_path: Path) -> None:
    draft = checkpoints.Draft(tmp_path / "step_0000002")
    draft.tensors("weights.safetensors", {"w": torch.ones(4)})
    assert not (tmp_path / "step_0000002").exists() and checkpoints.newest_verified(tmp_path, "step_") is None
    checkpoints.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_refused_before_the_first_byte_and_the_previous_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = commit(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10, 9, 1))
    with pytest.raises(DiskFull, match="The previous checkpoint is intact"):
        commit(tmp_path, "step_0000002")
    checkpoints.verify(previous)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000001"]


def test_a_tensor_file_is_the_same_bytes_as_the_library_s(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(0)
    tensors = {
        f"{name}.{dtype}".removeprefix("torch."): (torch.rand((3, 5), generator=draw) * 100).to(dtype)
        for name in ("b", "a", "layers.10.w", "layers.9.w")
        for dtype in (
            torch.uint8, torch.int8, torch.int16, torch.bfloat16, torch.float16, torch.int32, torch.float32, torch.int64, torch.bool,
        )
    }  # fmt: skip
    tensors |= {"scalar": torch.tensor(7), "empty": torch.zeros(0, 4), "one": torch.ones(1)}
    for chosen in (tensors, {"w": torch.arange(6).view(2, 3).T}):
        library = tmp_path / "library.safetensors"
        save_file({name: t.contiguous() for name, t in chosen.items()}, library, metadata={"format": "pt"})
        draft = checkpoints.Draft(tmp_path / "step_0000001")
        draft.tensors("ours.safetensors", chosen)
        assert (draft.directory / "ours.safetensors").read_bytes() == library.read_bytes()
        assert draft.files["ours.safetensors"]["sha256"] == digest.of_file(library)


def test_a_file_larger_than_a_block_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "BLOCK_BYTES", 7)
    directory = commit(tmp_path)
    checkpoints.verify(directory)
    assert torch.equal(load_file(directory / "weights.safetensors")["w"], torch.full((8, 8), 1.0))


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_disk_that_fills_up_at_any_write_keeps_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Every write and fsync of a commit, in turn, finds no room; eight of them, and a ninth that would be one too many."""
    previous = commit(tmp_path)
    calls = 0

    def full(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.ENOSPC, "No space left on device")

    fsync, blocks = os.fsync, checkpoints._blocks
    monkeypatch.setattr(checkpoints, "BLOCK_BYTES", 100)
    monkeypatch.setattr(checkpoints, "_blocks", lambda t: (b for b in blocks(t) if full() is None))
    monkeypatch.setattr(os, "fsync", lambda handle: (full(), fsync(handle)))
    with pytest.raises((DiskFull, OSError)) as problem:
        commit(tmp_path, "step_0000002")
    assert isinstance(problem.value, DiskFull) or problem.value.errno == errno.ENOSPC
    monkeypatch.undo()
    checkpoints.verify(previous)
    assert checkpoints.newest_verified(tmp_path, "step_") == previous
    checkpoints.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000001"]


def test_a_link_is_the_same_file_and_is_listed_like_any_other(tmp_path: Path) -> None:
    source = tmp_path / "tokenizer.json"
    source.write_text("{}")
    draft = checkpoints.Draft(tmp_path / "step_0000001")
    draft.link("nested/tokenizer.json", source)
    directory = draft.commit({})
    assert (directory / "nested/tokenizer.json").stat().st_ino == source.stat().st_ino
    assert set(checkpoints.verify(directory)["files"]) == {"nested/tokenizer.json"}
