"""IndexTTS2: what makes a directory whole, and where upstream's other models lie."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from voicelathe import families
from voicelathe.errors import BaseModelError, FamilyUnavailable
from voicelathe.families import bases
from voicelathe.families.indextts2 import multilingual, synthesis

Family: Any = families.find("indextts2")


def set_in_config(**entries: Any) -> Callable[[Path], None]:
    """Of config.yaml; None takes an entry away, `gpt` adds to its part."""

    def edit(base: Path) -> None:
        config = yaml.safe_load((base / "config.yaml").read_text())
        changed = {**config, **entries, "gpt": {**config["gpt"], **entries.get("gpt", {})}}
        kept = {name: value for name, value in changed.items() if value is not None}
        (base / "config.yaml").write_text(yaml.safe_dump(kept))

    return edit


def _with_weights_of_the_other(name: str) -> Callable[[Path], None]:
    def edit(base: Path) -> None:
        weights = torch.load(base / "gpt.pth", weights_only=True)
        torch.save({**weights, name: torch.ones(2, 32)}, base / "gpt.pth")
        Family.complete(base)

    return edit


TWO, LATER = "indextts2", "indextts25"


@pytest.mark.parametrize(
    ("name", "break_it", "said"),
    [
        (TWO, lambda base: (base / "bpe.model").unlink(), "bpe.model: missing"),
        (TWO, lambda base: (base / "gpt.safetensors").unlink(), "gpt.safetensors: missing; `voicelathe base add` makes it"),
        (TWO, lambda base: (base / "codec.pth").write_bytes(b"x"), "is no IndexTTS that is known here (config.yaml: version = 2.0; codec.pth is there)"),
        (TWO, set_in_config(version=2.5), "is IndexTTS 2.5 (config.yaml: version = 2.5; codec.pth is missing), and indextts2 is IndexTTS2"),
        (TWO, _with_weights_of_the_other("lang_embedding.weight"), "lang_embedding.weight: these are weights of IndexTTS 2.5"),
        (TWO, set_in_config(gpt={"layers": 3}), "gpt.safetensors: missing: gpt.h.2."),
        (TWO, set_in_config(gpt={"max_mel_tokens": 100}), "mel_pos_embedding.emb.weight has shape (203, 32), config.yaml says (103, 32)"),
        (TWO, set_in_config(gpt={"condition_type": "perceiver"}), "gpt.condition_type = 'perceiver': must be 'conformer_perceiver'"),
        (TWO, set_in_config(gpt={"heads": "four"}), "gpt.heads = 'four': must be a whole number"),
        (LATER, lambda base: (base / multilingual.VOCABULARY).unlink(), f"{multilingual.VOCABULARY}: missing"),
        (LATER, lambda base: (base / "codec.pth").unlink(), "codec.pth: missing"),
        (LATER, set_in_config(version=2.0), "is no IndexTTS that is known here (config.yaml: version = 2.0; codec.pth is there)"),
        (LATER, set_in_config(version=3.1), "is no IndexTTS that is known here (config.yaml: version = 3.1; codec.pth is there)"),
        (LATER, _with_weights_of_the_other("speed_emb.weight"), "speed_emb.weight: these are weights of IndexTTS2"),
    ],
)  # fmt: skip
def test_a_directory_that_is_not_whole_or_not_this_model_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, break_it: Callable[[Path], None], said: str
) -> None:
    base = shutil.copytree(request.getfixturevalue(f"{name}_dir"), tmp_path / "base")
    break_it(base)
    with pytest.raises(BaseModelError) as problem:
        families.find(name).describe(base, "x", False)
    assert said in str(problem.value)


def test_a_settings_file_with_a_tag_that_builds_objects_is_not_read(
    indextts2_dir: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(indextts2_dir, tmp_path / "base")
    (base / "config.yaml").write_text(f"gpt: !!python/object/apply:os.system ['touch {tmp_path}/owned']\n")
    with pytest.raises(BaseModelError):
        bases.recognise(base)
    assert not (tmp_path / "owned").exists()


# --- upstream's other models ---------------------------------------------------------------------------------------------


def _fetched(folder: Path) -> Path:
    """The names that upstream gives to what it fetches."""
    for name in ("w2v-bert-2.0/config.json", "semantic_codec_model.safetensors", "campplus_cn_common.bin", "bigvgan/config.json",
                 "bigvgan/bigvgan_generator.pt"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_upstreams_other_models_lie_beside_the_base_and_never_in_it(tmp_path: Path) -> None:
    base = tmp_path / "indextts2"
    base.mkdir()
    folder = _fetched(tmp_path / "indextts2-upstream/hf_cache")
    found = synthesis.other_models(base)
    assert found == {
        "w2v_bert": str(folder / "w2v-bert-2.0"),
        "semantic_codec": str(folder / "semantic_codec_model.safetensors"),
        "campplus": str(folder / "campplus_cn_common.bin"),
        "bigvgan": str(folder / "bigvgan"),
    }
    assert not any(base.iterdir())


def test_a_model_that_upstream_would_fetch_is_named_with_the_command_before_anything_is_loaded(
    tmp_path: Path,
) -> None:
    folder = _fetched(tmp_path / "indextts2-upstream/hf_cache")
    (folder / "bigvgan/bigvgan_generator.pt").unlink()
    with pytest.raises(FamilyUnavailable) as problem:
        synthesis.other_models(tmp_path / "indextts2")
    said = str(problem.value)
    assert "bigvgan/bigvgan_generator.pt" in said and "w2v-bert-2.0" not in said
    assert f'ensure_models_available("{tmp_path / "indextts2-upstream"}")' in said
    assert not (tmp_path / "indextts2").exists()


def test_what_upstream_fetched_into_a_base_is_one_fault_that_says_where_it_belongs(
    indextts2_dir: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(indextts2_dir, tmp_path / "base")
    _fetched(base / "hf_cache")
    with pytest.raises(BaseModelError) as problem:
        Family.describe(base, "x", False)
    said = str(problem.value)
    assert said.count("hf_cache/:") == 1 and "a pickle can run code" not in said
    assert f"mkdir -p {base}-upstream && mv {base / 'hf_cache'} {base}-upstream" in said


def test_a_clip_is_heard_as_a_prompt_for_as_long_as_upstream_hears_one() -> None:
    samples = np.arange(20 * 16000, dtype=np.float32)
    assert len(synthesis.prompt(samples)) == 15 * 16000
    assert synthesis.prompt(samples[:100]) is not None and len(synthesis.prompt(samples[:100])) == 100
