"""`voicelathe base`: a directory becomes a base in params.yaml, or is refused with the file and the remedy."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import bases as factory
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.errors import BaseModelError
from voicelathe.families import bases
from voicelathe.records import BaseFacts


def test_a_base_is_recognised_entered_and_shown(project: Path, run: Run) -> None:
    factory.write(project / "models" / "VoxCPM2 (mine)")
    done = run("base", "add", "models/VoxCPM2 (mine)")
    assert done.code == 0, done.told
    entry = params.load().bases["voxcpm2-mine"]
    assert (entry.family, entry.path, entry.licence, entry.trained) == (
        "voxcpm2",
        "models/VoxCPM2 (mine)",
        "Apache-2.0",
        True,
    )
    record = records.read_one(layout.base_record("voxcpm2-mine"), BaseFacts)
    assert record.digest == entry.digest == digest.of_value(digest.of_tree(Path(entry.path)))
    for shown in (
        "voxcpm2, voxcpm2",
        "16,000 Hz, 48,000 Hz",
        "6.25 a second",
        f"{record.num_parameters:,}",
        "Apache-2.0",
        entry.digest,
    ):
        assert shown in done.out
    assert "Licence Apache-2.0, as models/VoxCPM2 (mine)/README.md says" in done.out
    assert "base: voxcpm2-mine" in done.out
    assert bases.pinned("voxcpm2-mine", entry) == record


def test_a_directory_with_dots_gets_a_name_without_them(project: Path, run: Run) -> None:
    """DVC looks `bases.NAME` up by its dots; a base called x-1.7b made every stage fail with "parameters are missing"."""
    factory.write(project / "models" / "Qwen3-TTS-12Hz-1.7B-Base")
    assert run("base", "add", "models/Qwen3-TTS-12Hz-1.7B-Base").code == 0
    assert "qwen3-tts-12hz-1-7b-base" in params.load().bases
    refused = run("base", "add", "models/Qwen3-TTS-12Hz-1.7B-Base", "--name", "qwen-1.7b")
    assert refused.code == 1 and "digits, '_' and '-' only" in refused.err


def test_other_entries_and_comments_stay(project: Path, run: Run) -> None:
    before = Path("params.yaml").read_text()
    factory.write(project / "models" / "other")
    assert run("base", "add", "models/other").code == 0
    after = Path("params.yaml").read_text()
    assert all(line in after for line in before.splitlines() if "#" in line)
    assert params.load().bases.keys() == {"voxcpm2-mini", "other"}


def test_adding_the_same_base_again_changes_nothing(project: Path, run: Run) -> None:
    factory.write(project / "data/bases/voxcpm2-mini")
    again = ("base", "add", "data/bases/voxcpm2-mini", "--untrained", "--replace")
    assert run(*again).code == 0
    before = Path("params.yaml").read_text()
    assert "random weights; every player" in before
    assert run(*again).code == 0
    assert Path("params.yaml").read_text() == before


def test_a_base_outside_the_project_is_named_absolutely(project: Path, run: Run, tmp_path: Path) -> None:
    directory = factory.write(tmp_path / "elsewhere")
    assert run("base", "add", directory, "--name", "mine").code == 0
    assert params.load().bases["mine"].path == directory.as_posix()


def test_a_licence_is_asked_for_when_no_model_card_declares_one(project: Path, run: Run) -> None:
    factory.write(project / "base", card="# no front matter, license: mit\n")
    done = run("base", "add", "base")
    assert done.code == 1 and "--licence Apache-2.0" in done.err
    assert run("base", "add", "base", "--licence", "CC-BY-NC-4.0", "--untrained").code == 0
    entry = params.load().bases["base"]
    assert (entry.licence, entry.trained) == ("CC-BY-NC-4.0", False)


@pytest.mark.parametrize("architecture", ["llama", "qwen3_tts"])
def test_a_base_of_the_wrong_architecture_is_refused(project: Path, run: Run, architecture: str) -> None:
    before = Path("params.yaml").read_text()
    factory.write(project / "base", architecture=architecture)
    done = run("base", "add", "base")
    assert done.code == 1
    assert done.err.startswith(f"BaseModelError: base/config.json: architecture = {architecture!r}")
    assert "huggingface-cli download openbmb/VoxCPM2" in done.err and "Traceback" not in done.err
    assert Path("params.yaml").read_text() == before


def test_a_base_with_missing_files_lists_them_all(project: Path, run: Run) -> None:
    directory = factory.write(project / "base")
    for name in ("model.safetensors", "tokenizer.json"):
        (directory / name).unlink()
    (directory / "pytorch_model.bin").write_bytes(b"\x80")
    told = run("base", "add", "base").err
    assert "model.safetensors: missing" in told and "tokenizer.json: missing" in told
    assert (
        "pytorch_model.bin: a pickle can run code when it is opened; use model.safetensors of the same model"
        in told
    )


def test_a_changed_base_of_the_same_name_needs_to_be_accepted(project: Path, run: Run) -> None:
    directory = factory.write(project / "base")
    assert run("base", "add", "base").code == 0
    assert run("base", "add", "base").code == 0  # the same again changes nothing
    old = params.load().bases["base"].digest
    (directory / "tokenizer.json").write_text("{ }")
    refused = run("base", "add", "base")
    assert refused.code == 1 and "--replace" in refused.err
    assert params.load().bases["base"].digest == old
    done = run("base", "add", "base", "--replace")
    new = params.load().bases["base"].digest
    assert f"Replacing bases.base: digest {old[:16]} -> {new[:16]}" in done.out and new != old


def test_one_changed_byte_is_named_by_the_file(project: Path, run: Run) -> None:
    directory = factory.write(project / "base")
    run("base", "add", "base")
    assert "base: 6 files as pinned" in run("base", "check", "base").out
    content = bytearray((directory / "audiovae.safetensors").read_bytes())
    content[-1] ^= 1
    (directory / "audiovae.safetensors").write_bytes(content)
    done = run("base", "check", "base")
    assert done.code == 1
    assert "base is not the base that was pinned" in done.err and "audiovae.safetensors: changed" in done.err
    with pytest.raises(BaseModelError, match=r"audiovae\.safetensors: changed"):
        bases.pinned("base", params.load().bases["base"])


@pytest.mark.parametrize("name", ["Mine", "a/b", "-x", ""])
def test_a_name_that_cannot_be_a_stage_name_is_refused(project: Path, run: Run, name: str) -> None:
    factory.write(project / "Base")
    done = run("base", "add", "Base", "--name", name)
    if name:
        assert done.code == 1 and "lower-case letters" in done.err
    else:
        assert done.code == 0 and "base" in params.load().bases  # no name: made from the directory's


def test_the_record_is_plain_json_for_git(project: Path, run: Run) -> None:
    factory.write(project / "base")
    run("base", "add", "base")
    written = json.loads(layout.base_record("base").read_text())
    assert set(written["files"]) == set(digest.of_tree(project / "base"))


def test_an_edit_of_params_changes_no_line_but_its_own(project: Path, run: Run) -> None:
    before = Path("params.yaml").read_text().splitlines()
    factory.write(project / "base")
    run("base", "add", "base")
    added = [line for line in Path("params.yaml").read_text().splitlines() if line not in before]
    assert [line.split(":")[0].strip() for line in added] == ["base", "path", "digest", "trained"]
    kept = [line for line in Path("params.yaml").read_text().splitlines() if line in before]
    assert set(kept) == set(before)
