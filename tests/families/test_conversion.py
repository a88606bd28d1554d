"""A pickle is opened by a process of its own, for its tensors alone, once."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from voicelathe import digest, families
from voicelathe.errors import BaseModelError
from voicelathe.families.shared import conversion


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """As trainers save: two names share memory, and a counter stands beside the weights."""
    table = torch.arange(12.0).view(4, 3)
    torch.save({"embed.weight": table, "head.weight": table, "epoch": 3}, tmp_path / "llm.pt")
    return tmp_path / "llm.pt"


def test_tensors_come_over_whole_and_the_new_file_names_its_source(shipped: Path) -> None:
    target = shipped.with_suffix(".safetensors")
    assert conversion.convert(shipped, target)
    found = load_file(target)
    assert set(found) == {"embed.weight", "head.weight"}
    assert all(torch.equal(tensor, torch.arange(12.0).view(4, 3)) for tensor in found.values())
    files = digest.of_tree(shipped.parent)
    assert list(conversion.problems(shipped.parent, files, "llm.pt", "llm.safetensors")) == []
    assert not conversion.convert(shipped, target), "made from the same bytes: nothing to do"


@pytest.mark.slow
def test_the_same_bytes_in_give_the_same_bytes_out(shipped: Path) -> None:
    targets = [shipped.parent / f"{name}.safetensors" for name in "ab"]
    for target in targets:
        conversion.convert(shipped, target)
    assert digest.of_file(targets[0]) == digest.of_file(targets[1])


@pytest.mark.slow
def test_another_source_is_converted_again_and_until_then_refused(shipped: Path) -> None:
    target = shipped.with_suffix(".safetensors")
    conversion.convert(shipped, target)
    torch.save({"model": {"embed.weight": torch.ones(2)}}, shipped)
    (said,) = conversion.problems(shipped.parent, digest.of_tree(shipped.parent), "llm.pt", "llm.safetensors")
    assert "was made from other bytes than llm.pt has now" in said
    assert conversion.convert(shipped, target)
    assert load_file(target)["embed.weight"].tolist() == [1.0, 1.0]


def test_weights_of_unknown_origin_beside_a_pickle_are_refused_too(shipped: Path) -> None:
    save_file({"embed.weight": torch.ones(2)}, shipped.with_suffix(".safetensors"))
    files = digest.of_tree(shipped.parent)
    (said,) = conversion.problems(shipped.parent, files, "llm.pt", "llm.safetensors")
    assert "was made from other bytes" in said


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'owned'}",)

    torch.save({"w": torch.ones(1), "x": Hostile()}, tmp_path / "new.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Hostile()))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(BaseModelError, match=rf"{name} cannot be read as weights alone"):
            conversion.convert(tmp_path / name, tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.pt", "old.pt"]


@pytest.mark.slow
def test_what_is_no_weights_is_said(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(BaseModelError, match="no tensors in it, but list"):
        conversion.convert(tmp_path / "list.pt", tmp_path / "out.safetensors")


@pytest.mark.slow
def test_an_export_gets_a_pickle_of_tensors_that_opens_without_running_anything(shipped: Path) -> None:
    ours, back = shipped.with_suffix(".safetensors"), shipped.with_name("back.pt")
    conversion.convert(shipped, ours)
    conversion.restore(ours, back)
    found = torch.load(back, weights_only=True)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        name: tensor.tolist() for name, tensor in load_file(ours).items()
    }
    with pytest.raises(BaseModelError, match=r"back.pt could not be made from .*gone\.safetensors"):
        conversion.restore(shipped.with_name("gone.safetensors"), back)


def test_the_pickles_of_every_family_are_made_from_files_of_its_full_checkpoints() -> None:
    for name in families.TABLE:
        for pickle_name, source in families.spec(name).pickled.items():
            assert Path(pickle_name).suffix in (".pt", ".pth") and source.endswith(".safetensors")
